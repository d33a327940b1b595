"""Choose the cross-attention heads that follow the speech, for word times, by measurement.

In: a checkpoint, and utterances with the word times of the synthesiser. Out: (layer, head) pairs
and the mean error of word starts. Attention becomes times as in openai-whisper, timing.py:164-246.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from whisper.audio import log_mel_spectrogram, pad_or_trim
from whisper.model import Whisper, disable_sdpa
from whisper.timing import dtw, median_filter

from maxwhisper.checkpoint.convert import to_openai
from maxwhisper.checkpoint.schema import Checkpoint, Heads
from maxwhisper.network.dims import N_FRAMES, SAMPLE_RATE, TIME_PRECISION_S
from maxwhisper.text.tokenizer import Tokenizer, get_tokenizer
from tools.train_demo.corpus import Utterance
from tools.train_demo.placing import POSITION, as_float

MEDIAN_WIDTH = 7  # positions, as in timing.py
MAX_HEADS = 6  # of 16; more heads reduce the accuracy


def alignment_heads(checkpoint: Checkpoint, utterances: Sequence[Utterance]) -> tuple[Heads, float]:
    """Return the heads whose mean attention places word starts best, and their mean error in
    seconds.

    Every head is measured alone; then the best one, the best two, and so on, together.
    """
    model, tokenizer = to_openai(checkpoint), get_tokenizer(checkpoint.dims)
    timed = [utterance for utterance in utterances if len(utterance.words)]
    if not timed:
        raise ValueError("expected utterances with word times: espeak-ng and festival give them")
    attentions = [_attention(model, tokenizer, utterance) for utterance in timed]
    pairs = [(i, j) for i in range(len(attentions[0])) for j in range(attentions[0].shape[1])]

    def error(heads: Sequence[tuple[int, int]]) -> float:
        errors = [
            _start_errors(np.mean([weights[head] for head in heads], axis=0), tokenizer, utterance)
            for weights, utterance in zip(attentions, timed, strict=True)
        ]
        return float(np.concatenate(errors).mean())

    ranked = sorted(pairs, key=lambda pair: error([pair]))
    prefixes = [tuple(ranked[: n + 1]) for n in range(MAX_HEADS)]
    best = min(prefixes, key=error)
    return tuple(sorted(best)), error(best)


@torch.no_grad()
def _attention(
    model: Whisper, tokenizer: Tokenizer, utterance: Utterance
) -> npt.NDArray[np.float32]:
    """Return normalised cross-attention (layers, heads, tokens, positions of the utterance)."""
    tokens = [tokenizer.sot, tokenizer.no_timestamps, *tokenizer.encode(" " + utterance.text)]
    mel = log_mel_spectrogram(torch.from_numpy(as_float(utterance.samples)))
    scores: list[torch.Tensor] = []
    hooks = [
        block.cross_attn.register_forward_hook(lambda _, __, out: scores.append(out[-1][0]))
        for block in model.decoder.blocks
    ]
    with disable_sdpa():
        model(pad_or_trim(mel, N_FRAMES)[None], torch.tensor([[*tokens, tokenizer.eot]]))
    for hook in hooks:
        hook.remove()
    weights = torch.stack(scores)[..., : len(utterance.samples) // POSITION].softmax(dim=-1)
    deviation, mean = torch.std_mean(weights, dim=-2, keepdim=True, unbiased=False)
    filtered = median_filter((weights - mean) / deviation, MEDIAN_WIDTH)
    return filtered[:, :, len(tokenizer.sot_sequence) : -1].numpy()


def _start_errors(
    weights: npt.NDArray[np.float32], tokenizer: Tokenizer, utterance: Utterance
) -> npt.NDArray[np.float64]:
    """Return the distance in seconds between each word's start by attention (tokens, positions) and
    its true start."""
    text_indices, time_indices = dtw(-torch.from_numpy(weights))
    jumps = np.pad(np.diff(text_indices), (1, 0), constant_values=1).astype(bool)
    starts_s = time_indices[jumps] * TIME_PRECISION_S
    lengths = [len(tokenizer.encode(" " + word)) for word in utterance.text.split()]
    first_tokens = np.cumsum([0, *lengths])[:-1]
    errors: npt.NDArray[np.float64] = np.abs(
        starts_s[first_tokens] - utterance.words[:, 0] / SAMPLE_RATE
    )
    return errors
