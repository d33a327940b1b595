"""The layers of Whisper, as functions from graph values to graph values.

Input: values inside a `max.graph.Graph` under construction. Output: values. Weights are declared by
name and stay outside the compiled artifact; `runtime/weights.py` lays out arrays under the same
names. This file does not know checkpoints, real devices or sessions.
"""

from pathlib import Path

import numpy as np
from max.dtype import DType
from max.graph import DeviceRef, Graph, TensorType, TensorValue, Weight, ops

LAYER_NORM_EPS = 1e-5  # torch's default, which the reference uses
# Added to the score of a masked slot; its exp() is exactly 0 in float32.
MASKED = -1e30

KERNELS = Path(__file__).with_name("kernels")  # our own, in Mojo, for CPUs
KERNEL_HEAD_WIDTH = 64  # a head's width must be a multiple of it: whole vectors on every CPU


class Scope:
    """A graph under construction together with the precision and device of its weights.

    `matrices` is the type of the decoder's matrices on a CPU: float16 where that is exact, else
    float32. On a GPU they have the precision of the network.
    """

    def __init__(
        self, graph: Graph, dtype: DType, device: DeviceRef, matrices: DType = DType.float32
    ) -> None:
        self.graph = graph
        self.dtype = dtype
        self.device = device
        self.matrices = matrices if device.is_cpu() else dtype
        self._declared: dict[str, TensorValue] = {}  # a graph may declare a name only once

    def weight(self, name: str, *shape: int, dtype: DType | None = None) -> TensorValue:
        """Declare an external weight; it is filled from the registry at load."""
        if name not in self._declared:
            weight = Weight(name, dtype or self.dtype, shape, self.device)
            self._declared[name] = self.graph.add_weight(weight)
        return self._declared[name]

    def linear(self, x: TensorValue, name: str, n_in: int, n_out: int) -> TensorValue:
        """(..., n_in) -> (..., n_out). The weight is stored as (n_in, n_out), in reading order."""
        return x @ self.weight(f"{name}.weight", n_in, n_out) + self.weight(f"{name}.bias", n_out)

    def skinny_linear(self, x: TensorValue, name: str, n_in: int, n_out: int) -> TensorValue:
        """`linear` for the few rows of a decoder. On a CPU the weight is stored as (n_out, n_in)
        and multiplied by our own kernel."""
        if not self.device.is_cpu():
            return self.linear(x, name, n_in, n_out)
        return skinny_matmul(x, *self.skinny_weights(name, n_in, n_out))

    def skinny_weights(self, name: str, n_in: int, n_out: int) -> tuple[TensorValue, TensorValue]:
        """Weight (n_out, n_in) and bias (n_out,) of a linear layer, as our kernels read them."""
        weight = self.weight(f"{name}.weight", n_out, n_in, dtype=self.matrices)
        return weight, self.weight(f"{name}.bias", n_out)

    def layer_norm(self, x: TensorValue, name: str, n_state: int) -> TensorValue:
        """Normalise the last axis, in float32 as the reference does (model.py:39-41)."""
        gamma, beta = self.norm_weights(name, n_state)
        normed = ops.layer_norm(x.cast(DType.float32), gamma, beta, LAYER_NORM_EPS)
        return normed.cast(self.dtype)

    def norm_weights(self, name: str, n_state: int) -> tuple[TensorValue, TensorValue]:
        """Scale and offset of a layer norm, (n_state,) each."""
        gamma = self.weight(f"{name}.weight", n_state, dtype=DType.float32)
        return gamma, self.weight(f"{name}.bias", n_state, dtype=DType.float32)

    def mlp(self, x: TensorValue, name: str, n_state: int, *, skinny: bool = False) -> TensorValue:
        """Two linears around an exact (erf) GELU, four times wider inside."""
        linear = self.skinny_linear if skinny else self.linear
        hidden = ops.gelu(linear(x, f"{name}.0", n_state, 4 * n_state))
        return linear(hidden, f"{name}.2", 4 * n_state, n_state)


def skinny_matmul(
    x: TensorValue, weight: TensorValue, bias: TensorValue | None = None
) -> TensorValue:
    """x (B, L, K) float32 times weight (N, K) float16 or float32 -> (B, L, N), on a CPU."""
    batch, length, depth = x.shape
    n_out = weight.shape[0]
    if bias is None:
        bias = ops.constant(np.zeros(0, np.float32), DType.float32, x.device)
    flat = x.reshape((-1, depth))
    out_type = TensorType(DType.float32, (flat.shape[0], n_out), x.device)
    (product,) = ops.custom("maxwhisper_skinny_matmul", x.device, [flat, weight, bias], [out_type])
    return product.tensor.reshape((batch, length, n_out))


def self_attention(qkv: TensorValue, n_head: int) -> TensorValue:
    """qkv (B, S, 3 C) -> (B, S, C): each of the S positions attends to all of them, without a mask.

    A CPU uses our own kernel if the head width allows it, as in every Whisper; otherwise MAX's
    operations.
    """
    batch, length, n_qkv = qkv.shape
    n_state = int(n_qkv) // 3
    width = n_state // n_head
    if qkv.device.is_cpu() and width % KERNEL_HEAD_WIDTH == 0:
        out_type = TensorType(DType.float32, (batch, length, n_state), qkv.device)
        name, parameters = "maxwhisper_self_attention", {"width": width}
        return ops.custom(name, qkv.device, [qkv], [out_type], parameters)[0].tensor
    q, k, v = (split_heads(part, n_head) for part in ops.chunk(qkv, 3, axis=2))
    return merge_heads(attention(q, k, v))


def split_heads(x: TensorValue, n_head: int) -> TensorValue:
    """(B, L, C) -> (B, H, L, D)."""
    batch, length, n_state = x.shape
    return x.reshape((batch, length, n_head, int(n_state) // n_head)).permute([0, 2, 1, 3])


def merge_heads(x: TensorValue) -> TensorValue:
    """(B, H, L, D) -> (B, L, C)."""
    batch, n_head, length, width = x.shape
    return x.permute([0, 2, 1, 3]).reshape((batch, length, int(n_head) * int(width)))


def attention(
    q: TensorValue, k: TensorValue, v: TensorValue, mask: TensorValue | None = None
) -> TensorValue:
    """Scaled dot-product attention: q (B, H, L, D), k and v (B, H, S, D) -> (B, H, L, D).

    `mask` (L, S) float32 is added to the scores; it must be an *input* of the graph. MAX 26.7.0
    computes wrong numbers on a CPU when the mask is made inside the graph and L > 1 (error 1 to 2
    on unit-normal data), and its compiler crashes on `softmax(mask + (q * s) @ k^T) @ v`. This
    form, with the mask as an input, is exact for every L tried; `tests/evaluation/parity` checks
    it.
    """
    scores = (q @ k.transpose(2, 3)).cast(DType.float32) * (int(q.shape[3]) ** -0.5)
    if mask is not None:
        scores = scores + mask.reshape((1, 1, mask.shape[0], mask.shape[1]))
    return ops.softmax(scores).cast(v.dtype) @ v
