"""Layer by layer: the error of the compiled network against the numpy reference, along one clip.

Input: a `Whisper` and samples. Output: `LayerErrors`, in the order of the network. Both sides start
from the same samples and continue with their own numbers, so a row contains the errors of all rows
before it.

Values that the compiled graphs return are compared directly: log-mel, encoder output, every decoder
layer's cross-attention keys, values and queries, and the logits. Blocks inside the encoder are not
exposed: block i is measured by running the whole compiled encoder with the later blocks' output
projections at zero, which leaves the output of block i behind the final layer norm.
"""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from maxwhisper.audio.waveform import Waveform
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.decoding.protocols import Float32, Int64
from maxwhisper.engine import Engine
from maxwhisper.errors import OptionError
from maxwhisper.evaluation.selftest.result import LayerErrors
from maxwhisper.graphs import PREFILL
from maxwhisper.network import reference
from maxwhisper.network.dims import HOP_LENGTH, SAMPLE_RATE, TIME_PRECISION_S
from maxwhisper.options import GREEDY
from maxwhisper.runtime.buffers import to_float32
from maxwhisper.runtime.model import Encoded, load_network
from maxwhisper.runtime.probe import tolerance
from maxwhisper.text.languages import spoken_language
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.whisper import Whisper

N_COLUMNS = 75  # of the audio's positions: 0.4 s a column in a full window
N_TOKENS = 40  # of the text, start sequence included: as many as can be read side by side
BUDGET_S = 90.0  # encoder blocks not begun by then are not measured: each loads the network again
LANGUAGE = "en"  # both sides get the same tokens: which language they claim does not matter


class TracedReference(reference.Network):
    """The reference, which keeps the inputs of the encoder blocks and, by canonical name, the
    projections that the decoder graphs return."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint.dims, checkpoint.weights)
        self.projections: dict[str, Float32] = {}
        self._block_inputs: list[Float32] = []

    def after_block(self, block: int) -> Float32:
        """The encoder's output without its later blocks; not for the last block."""
        return super()._layer_norm(self._block_inputs[block + 1], "encoder.ln_post")

    def _linear(self, x: Float32, name: str) -> Float32:
        y: Float32 = super()._linear(x, name)
        if ".cross_attn." in name:
            self.projections[name] = y
        return y

    def _layer_norm(self, x: Float32, name: str) -> Float32:
        if name.startswith("encoder.") and name.endswith(".attn_ln"):
            self._block_inputs.append(x)
        return super()._layer_norm(x, name)


def layer_errors(
    engine: Engine, waveform: Waveform, budget_s: float = BUDGET_S
) -> Iterator[LayerErrors]:
    """Compare every layer on the first window of `waveform`, 30 s, and on the text heard there.

    Encoder blocks that are not begun within `budget_s` have no errors. Raises `OptionError` for
    another engine than ours.
    """
    if not isinstance(engine, Whisper):
        raise OptionError(f"layers are read from maxwhisper, not from {engine.info.name}")
    deadline_s = time.monotonic() + budget_s
    both = _Comparison(engine, waveform)
    yield both.audio_row("log-mel", both.mel[0], both.wanted_mel[0])
    yield from both.encoder_blocks(deadline_s)
    got = engine.network.features(both.encoded)
    yield both.audio_row("encoder output", got[0], both.wanted_features[0])
    yield from both.decoder()


class _Comparison:
    """One window through both networks. Audio positions after the clip are not compared."""

    def __init__(self, engine: Whisper, waveform: Waveform) -> None:
        dims, n_samples = engine.dims, engine.dims.n_frames * HOP_LENGTH
        self.engine, self.waveform = engine, waveform[:n_samples]
        self.reference = TracedReference(engine.checkpoint)
        padding = n_samples - len(self.waveform)
        wanted = reference.log_mel_spectrogram(self.waveform, dims.n_mels, padding)
        self.wanted_mel = wanted.astype(np.float32)[None]
        self.wanted_features: Float32 = self.reference.encoder(self.wanted_mel)
        self.mel = engine.network.log_mel(self.waveform, padding)[:][None]
        self.encoded: Encoded = engine.network.encode(self.mel)

    def encoder_blocks(self, deadline_s: float) -> Iterator[LayerErrors]:
        """All blocks but the last, whose output is that of the encoder."""
        for block in range(self.engine.dims.n_audio_layer - 1):
            name, want = f"encoder block {block + 1}", self.reference.after_block(block)[0]
            if time.monotonic() > deadline_s:
                yield self.audio_row(name, None, want)
                continue
            cut = _without_blocks_after(block, self.engine.checkpoint)
            network = load_network(cut, self.engine.placement, self.engine.cache_dir)
            got = network.features(network.encode(self.mel))[0]
            yield self.audio_row(name, got, want)

    def decoder(self) -> Iterator[LayerErrors]:
        """Cross keys and values along the audio; queries and logits along the text."""
        tokens, names = self._text()
        want_logits = self.reference.decoder(tokens, self.wanted_features)
        decoder = self.engine.network.decoder(self.encoded)
        rows = self.engine.network.positions(range(tokens.shape[1]))
        logits, *queries = decoder.forward(PREFILL, tokens, rows)
        for layer, query in enumerate(queries):
            part = f"decoder.blocks.{layer}.cross_attn"
            for offset, what in enumerate(("key", "value")):
                got = _merged(self.encoded.cross_kv[2 * layer + offset])
                want = self.reference.projections[f"{part}.{what}"][0]
                yield self.audio_row(f"decoder {layer + 1} {what}s", got, want)
            want = self.reference.projections[f"{part}.query"][0]
            name = f"decoder {layer + 1} queries"
            yield self._row(name, "text", names, _errors(_merged(query), want))
        errors = _errors(to_float32(logits)[0], want_logits[0])
        yield self._row("logits", "text", names, errors)

    def audio_row(self, layer: str, got: Float32 | None, want: Float32) -> LayerErrors:
        """From values (T, M) or (S, C), which cover a whole window; None: not measured."""
        window_s = self.engine.dims.n_audio_ctx * TIME_PRECISION_S
        clip_s = len(self.waveform) / SAMPLE_RATE
        n_columns = max(1, min(N_COLUMNS, int(clip_s / TIME_PRECISION_S)))
        names = tuple(f"{clip_s * column / n_columns:.2f} s" for column in range(n_columns))
        if got is None:
            return self._row(layer, "audio", names, ())
        n_inside = max(n_columns, round(len(want) * clip_s / window_s))
        errors = np.array_split(_errors(got, want)[:n_inside], n_columns)
        return self._row(layer, "audio", names, [float(part.max()) for part in errors])

    def _row(
        self, layer: str, axis: str, names: tuple[str, ...], errors: Sequence[float] | Float32
    ) -> LayerErrors:
        allowed = tolerance(self.engine.placement)
        return LayerErrors(layer, axis, names, tuple(float(e) for e in errors), allowed)

    def _text(self) -> tuple[Int64, tuple[str, ...]]:
        """Our engine's text of the clip: tokens (1, L) with the start sequence, and their names."""
        language = spoken_language(self.engine.dims, LANGUAGE, "transcribe")
        tokenizer = get_tokenizer(self.engine.dims, language=language)
        options = GREEDY.changed({"language": LANGUAGE, "sample_len": N_TOKENS})
        heard = self.engine.transcribe(self.waveform, options)
        said = [token for segment in heard.segments for token in segment.tokens]
        tokens = [*tokenizer.sot_sequence, *said][:N_TOKENS]
        names = tuple(tokenizer.decode_with_timestamps([token]) for token in tokens)
        return np.array([tokens], np.int64), names


def _without_blocks_after(block: int, checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with nothing added to the encoder's residual stream after `block`."""
    later = {
        f"encoder.blocks.{i}.{part}.{kind}"
        for i in range(block + 1, checkpoint.dims.n_audio_layer)
        for part in ("attn.out", "mlp.2")
        for kind in ("weight", "bias")
    }
    silent = {name: np.zeros_like(checkpoint.weights[name]) for name in later}
    return replace(checkpoint, weights={**checkpoint.weights, **silent})


def _merged(heads: Any) -> Float32:
    """(1, H, L, D) on the device -> (L, C) on the host."""
    values = to_float32(heads)[0]
    return values.swapaxes(0, 1).reshape(values.shape[1], -1)


def _errors(got: Float32, want: Float32) -> Float32:
    """(L, C) twice -> (L,): the largest error of a position over the largest value of all; a
    position with NaN has an infinite error."""
    errors = np.abs(got - want).max(axis=1) / np.abs(want).max()
    return np.where(np.isfinite(errors), errors, np.inf).astype(np.float32)
