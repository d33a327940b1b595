"""The one form in which weights exist in this package, whatever file they came from.

Owns the `Checkpoint` type. Names are openai-whisper's state-dict names, arrays are numpy. Who reads
files is beside this one: `openai_pt`, `hf_safetensors`; who makes other formats: `convert`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from maxwhisper.dims import Dims

Array = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Checkpoint:
    """A network's weights under canonical names.

    `weights` holds float32 or float16 arrays exactly as stored (bfloat16 is widened to float32).
    `alignment_heads` are (decoder layer, head) pairs for word times.
    """

    name: str  # "tiny", "random", or the stem of a path
    dims: Dims
    weights: Mapping[str, Array]
    alignment_heads: tuple[tuple[int, int], ...]
    source: str  # one sentence for people: where these numbers came from
    digest: str  # sha256 hex of dims and all tensors, for caches
