"""Our CPU kernels, for operations where MAX's own are slow. Each graph that uses one says why."""

from .choose import Choose
from .decoder_layer import DecoderLayer
from .self_attention import SelfAttention
from .skinny_matmul import SkinnyMatmul
