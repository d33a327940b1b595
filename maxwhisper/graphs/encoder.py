"""The audio encoder and the projection of its output to cross-attention keys and values.

Source: openai/whisper model.py:160-205 (AudioEncoder), :101-109 (cross keys and values, computed
once).
"""

from max.dtype import DType
from max.graph import DeviceRef, Graph, Module, TensorType, TensorValue, ops

from maxwhisper.graphs.layers import KERNELS, Scope, self_attention, split_heads
from maxwhisper.network.dims import Dims

ENCODER = "encoder"
CROSS_KV = "cross_kv"


def encoder_graph(module: Module, dims: Dims, dtype: DType, device: DeviceRef) -> None:
    """mel (B, T, M) float32 -> audio features (B, S, C)."""
    mel_type = TensorType(DType.float32, ("batch", dims.n_frames, dims.n_mels), device)
    with Graph(
        ENCODER, input_types=[mel_type], module=module, custom_extensions=[KERNELS]
    ) as graph:
        scope = Scope(graph, dtype, device)
        x = graph.inputs[0].tensor.cast(dtype)
        n_state = dims.n_audio_state
        x = ops.gelu(scope.linear(_windows(x, 1), "encoder.conv1", 3 * dims.n_mels, n_state))
        x = ops.gelu(scope.linear(_windows(x, 2), "encoder.conv2", 3 * n_state, n_state))
        x = x + scope.weight("encoder.positional_embedding", dims.n_audio_ctx, n_state)
        for layer in range(dims.n_audio_layer):
            x = _block(scope, x, f"encoder.blocks.{layer}", dims)
        graph.output(scope.layer_norm(x, "encoder.ln_post", n_state))


def _windows(x: TensorValue, stride: int) -> TensorValue:
    """(B, T, C) -> (B, T / stride, 3 C): the input of a kernel-3, padding-1 convolution at each
    output position.

    A convolution is then one matrix product, which MAX runs faster than its conv1d on both devices.
    """
    batch, length, width = x.shape
    edge = ops.broadcast_to(ops.constant(0.0, x.dtype, x.device), (batch, 1, width))
    if stride == 1:
        before = ops.concat([edge, x[:, :-1]], axis=1)
        after = ops.concat([x[:, 1:], edge], axis=1)
        return ops.concat([before, x, after], axis=2)
    pairs = x.reshape((batch, int(length) // 2, 2 * int(width)))  # frames 2i and 2i + 1
    odd = pairs[:, :, int(width) :]  # frame 2i + 1; frame 2i - 1 is the previous row's
    before = ops.concat([edge, odd[:, :-1]], axis=1)
    return ops.concat([before, pairs], axis=2)


def _block(scope: Scope, x: TensorValue, name: str, dims: Dims) -> TensorValue:
    """Pre-norm self-attention, then the MLP."""
    n_state, n_head = dims.n_audio_state, dims.n_audio_head
    h = scope.layer_norm(x, f"{name}.attn_ln", n_state)
    qkv = scope.linear(h, f"{name}.attn.qkv", n_state, 3 * n_state)
    x = x + scope.linear(self_attention(qkv, n_head), f"{name}.attn.out", n_state, n_state)
    h = scope.layer_norm(x, f"{name}.mlp_ln", n_state)
    return x + scope.mlp(h, f"{name}.mlp", n_state)


def cross_kv_graph(module: Module, dims: Dims, dtype: DType, device: DeviceRef) -> None:
    """audio features (B, S, C) -> for each decoder layer key, value (B, H, S, D)."""
    features_type = TensorType(dtype, ("batch", dims.n_audio_ctx, dims.n_audio_state), device)
    with Graph(CROSS_KV, input_types=[features_type], module=module) as graph:
        scope = Scope(graph, dtype, device)
        features = graph.inputs[0].tensor
        outputs = []
        for layer in range(dims.n_text_layer):
            name = f"decoder.blocks.{layer}.cross_attn.kv"
            kv = scope.linear(features, name, dims.n_audio_state, 2 * dims.n_text_state)
            outputs += [split_heads(part, dims.n_text_head) for part in ops.chunk(kv, 2, axis=2)]
        graph.output(*outputs)
