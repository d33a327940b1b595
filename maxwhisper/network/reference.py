"""The reference network: all of Whisper in plain numpy, without a cache. Tests compare the graphs
with it.

It has the names and the order of openai/whisper audio.py and model.py. Axis letters: B batch, T mel
frames, S audio positions, L tokens, C state, H heads, D head width, V vocabulary. It computes in
the precision of `dtype`. It is slow and never used to transcribe.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import erf, softmax

from maxwhisper.network.dims import HOP_LENGTH, N_FFT, Dims
from maxwhisper.network.mel_filters import DYNAMIC_RANGE, LOG_FLOOR, hann_window, mel_filters

Array = npt.NDArray[Any]


def log_mel_spectrogram(waveform: Array, n_mels: int, padding: int = 0) -> Array:
    """(n,) samples at 16 kHz -> (T, n_mels) float64, T = (n + padding) // 160.

    `padding` zeros are appended. Values are clamped to 8 (log10) below the maximum of the whole
    input. Source: openai/whisper audio.py:110-157, whose result has the mel axis first.
    """
    samples = np.pad(np.asarray(waveform, np.float64), (0, padding))
    samples = np.pad(samples, N_FFT // 2, mode="reflect")
    n_frames = (len(waveform) + padding) // HOP_LENGTH  # one more exists; the reference drops it
    starts = HOP_LENGTH * np.arange(n_frames)
    frames = samples[starts[:, None] + np.arange(N_FFT)]
    power = np.abs(np.fft.rfft(frames * hann_window())) ** 2
    log_mel = np.log10(np.maximum(power @ mel_filters(n_mels).T, LOG_FLOOR))
    log_mel = np.maximum(log_mel, log_mel.max() - DYNAMIC_RANGE)
    return (log_mel + 4.0) / 4.0


class Network:
    """Encoder and decoder with one set of canonical weights, converted once to `dtype`."""

    def __init__(self, dims: Dims, weights: Mapping[str, Array], dtype: Any = np.float32) -> None:
        self.dims = dims
        self.w = {name: np.asarray(array, dtype) for name, array in weights.items()}

    def encoder(self, mel: Array) -> Array:
        """mel (B, T, M) -> audio features (B, S, C)."""
        x = gelu(self._conv(mel, "encoder.conv1", stride=1))
        x = gelu(self._conv(x, "encoder.conv2", stride=2))
        x = x + self.w["encoder.positional_embedding"]
        for i in range(self.dims.n_audio_layer):
            name, n_head = f"encoder.blocks.{i}", self.dims.n_audio_head
            h = self._layer_norm(x, f"{name}.attn_ln")
            x = x + self._attention(h, h, f"{name}.attn", n_head)
            x = x + self._mlp(self._layer_norm(x, f"{name}.mlp_ln"), f"{name}.mlp")
        return self._layer_norm(x, "encoder.ln_post")

    def decoder(
        self, tokens: Array, features: Array, cross_scores: list[Array] | None = None
    ) -> Array:
        """tokens (B, L) and audio features (B, S, C) -> logits (B, L, V) of every position.

        If `cross_scores` is a list, the cross-attention scores of each layer before the softmax,
        (B, H, L, S), are appended to it.
        """
        embedding = self.w["decoder.token_embedding.weight"]
        n_tokens = tokens.shape[1]
        x = embedding[tokens] + self.w["decoder.positional_embedding"][:n_tokens]
        mask = np.triu(np.full((n_tokens, n_tokens), -np.inf), k=1)  # causal
        for i in range(self.dims.n_text_layer):
            name, n_head = f"decoder.blocks.{i}", self.dims.n_text_head
            h = self._layer_norm(x, f"{name}.attn_ln")
            x = x + self._attention(h, h, f"{name}.attn", n_head, mask)
            h = self._layer_norm(x, f"{name}.cross_attn_ln")
            x = x + self._attention(
                h, features, f"{name}.cross_attn", n_head, keep_scores=cross_scores
            )
            x = x + self._mlp(self._layer_norm(x, f"{name}.mlp_ln"), f"{name}.mlp")
        return self._layer_norm(x, "decoder.ln") @ embedding.T

    def _linear(self, x: Array, name: str) -> Array:
        y: Array = x @ self.w[f"{name}.weight"].T
        bias = self.w.get(f"{name}.bias")  # the key projections have none
        return y if bias is None else y + bias

    def _layer_norm(self, x: Array, name: str) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)
        return centred / deviation * self.w[f"{name}.weight"] + self.w[f"{name}.bias"]

    def _mlp(self, x: Array, name: str) -> Array:
        return self._linear(gelu(self._linear(x, f"{name}.0")), f"{name}.2")

    def _conv(self, x: Array, name: str, stride: int) -> Array:
        """Kernel 3, padding 1: (B, T, C_in), weight (C_out, C_in, 3) -> (B, T / stride, C_out)."""
        weight, length = self.w[f"{name}.weight"], x.shape[1]
        padded = np.pad(x, ((0, 0), (1, 1), (0, 0)))
        taps = (padded[:, k : k + length : stride] @ weight[:, :, k].T for k in range(3))
        return sum(taps) + self.w[f"{name}.bias"]

    def _attention(
        self,
        x: Array,
        source: Array,
        name: str,
        n_head: int,
        mask: Array | None = None,
        keep_scores: list[Array] | None = None,
    ) -> Array:
        """Queries from x (B, L, C), keys and values from source (B, S, C) -> (B, L, C)."""
        q, k, v = (
            split_heads(self._linear(value, f"{name}.{part}"), n_head)
            for part, value in (("query", x), ("key", source), ("value", source))
        )
        scores = q @ k.swapaxes(2, 3) / math.sqrt(q.shape[-1])
        if keep_scores is not None:
            keep_scores.append(scores)
        if mask is not None:
            scores = scores + mask.astype(scores.dtype)
        heads = softmax(scores, axis=-1) @ v
        return self._linear(heads.swapaxes(1, 2).reshape(x.shape), f"{name}.out")


def split_heads(x: Array, n_head: int) -> Array:
    """(B, L, C) -> (B, H, L, D)."""
    return x.reshape(*x.shape[:2], n_head, -1).swapaxes(1, 2)


def gelu(x: Array) -> Array:
    """Exact GELU, with erf; the tanh approximation gives other numbers."""
    return 0.5 * x * (1 + erf(x / np.asarray(math.sqrt(2), x.dtype)))
