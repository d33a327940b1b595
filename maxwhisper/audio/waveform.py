"""The type of audio samples in the whole package."""

import numpy as np
import numpy.typing as npt

Waveform = npt.NDArray[np.float32]  # (n,) mono, 16 kHz, nominally in -1..1
