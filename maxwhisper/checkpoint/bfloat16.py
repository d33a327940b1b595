"""bfloat16, which numpy does not have: the upper half of a float32."""

import numpy as np
import numpy.typing as npt

from maxwhisper.checkpoint.schema import Array


def widened(bits: npt.NDArray[np.uint16]) -> Array:
    """Return numbers given as the bits of bfloat16 in float32, which represents each exactly."""
    return (bits.astype(np.uint32) << 16).view(np.float32)
