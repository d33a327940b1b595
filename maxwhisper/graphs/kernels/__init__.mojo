"""Our CPU kernels, for operations where MAX's own are slow. Each graph that uses one says why."""

from .choose import Choose
from .decode_attention import DecodeAttention
from .self_attention import SelfAttention
from .skinny_matmul import SkinnyMatmul
