"""Kernels of our own, for what MAX's are slow at on a CPU. The graphs that use one say why."""

from .choose import Choose
from .decode_attention import DecodeAttention
from .few_rows import FewRows
from .self_attention import SelfAttention
