"""Greedy transcription with the network in training, for the word error rate in the log.

No rules, no timestamps, no fallback: `evaluate` measures the exported network with the engines.
"""

from collections.abc import Sequence

import numpy as np
import torch

from maxwhisper.network.dims import N_SAMPLES
from maxwhisper.text import wer as scoring
from maxwhisper.text.tokenizer import Tokenizer
from tools.train_demo.corpus import Corpus
from tools.train_demo.features import log_mel
from tools.train_demo.model import Learner
from tools.train_demo.placing import POSITION
from tools.train_demo.vocabulary import Vocabulary

MAX_TOKENS = 60  # the longest sentence, 140 letters, has about 40
_BATCH = 16


@torch.no_grad()
def greedy(
    learner: Learner,
    vocabulary: Vocabulary,
    tokenizer: Tokenizer,
    waveforms: Sequence[np.ndarray],
    in_windows: bool,
) -> list[str]:
    """Return the text of each int16 recording; `in_windows` pads to 30 s as the engines do."""
    learner.eval()
    order = np.argsort([len(waveform) for waveform in waveforms])
    texts = [""] * len(waveforms)
    for start in range(0, len(order), _BATCH):
        chosen = order[start : start + _BATCH]
        rows = _decode(learner, vocabulary, tokenizer, [waveforms[i] for i in chosen], in_windows)
        for index, row in zip(chosen, rows, strict=True):
            tokens = [int(vocabulary.tokens[r]) for r in row]
            tokens = tokens[: tokens.index(tokenizer.eot)] if tokenizer.eot in tokens else tokens
            texts[index] = tokenizer.decode([t for t in tokens if t < tokenizer.eot]).strip()
    learner.train()
    return texts


def _decode(
    learner: Learner,
    vocabulary: Vocabulary,
    tokenizer: Tokenizer,
    waveforms: Sequence[np.ndarray],
    in_windows: bool,
) -> list[list[int]]:
    """Return the rows decoded after <|startoftranscript|><|notimestamps|>, up to MAX_TOKENS
    each."""
    device = next(learner.parameters()).device
    n = N_SAMPLES if in_windows else -(-max(map(len, waveforms)) // POSITION) * POSITION
    samples = torch.zeros(len(waveforms), n, device=device)
    for row, waveform in zip(samples, waveforms, strict=True):
        kept = torch.from_numpy(np.asarray(waveform[:n], np.float32) / 32768)
        row[: len(kept)] = kept
    content = torch.tensor([len(waveform) for waveform in waveforms], device=device)
    elsewhere = torch.full((len(waveforms),), -torch.inf, device=device)
    mel = log_mel(samples, content, elsewhere)
    features = learner.encode(mel, torch.zeros(len(waveforms), dtype=torch.long, device=device))
    prompt = vocabulary.rows(np.array([[tokenizer.sot, tokenizer.no_timestamps]]))
    said = torch.from_numpy(prompt).to(device).repeat(len(waveforms), 1)
    end = int(vocabulary.rows(np.array([tokenizer.eot]))[0])
    cache, hooks = learner.whisper.install_kv_cache_hooks()
    try:
        unread, done = said, torch.zeros(len(waveforms), dtype=torch.bool, device=device)
        for _ in range(MAX_TOKENS):
            logits = learner.whisper.decoder(unread, features, kv_cache=cache)[:, -1]
            unread = logits[:, :-1].argmax(-1, keepdim=True)  # the shared row is not a token
            said = torch.cat([said, unread], dim=1)
            done |= unread[:, 0] == end
            if done.all():
                break
    finally:
        for hook in hooks:
            hook.remove()
    return said[:, prompt.shape[1] :].tolist()


def word_error_rate(references: Sequence[str], texts: Sequence[str]) -> float:
    """Return the word errors of all texts divided by all reference words, normalised by Whisper's
    normaliser."""
    counts = [scoring.word_error_rate(*pair) for pair in zip(references, texts, strict=True)]
    wrong = sum(c.substitutions + c.deletions + c.insertions for c in counts)
    return wrong / max(1, sum(c.n_words for c in counts))


def held_out_wer(
    learner: Learner,
    vocabulary: Vocabulary,
    tokenizer: Tokenizer,
    corpus: Corpus,
    count: int,
    in_windows: bool,
) -> tuple[float, list[tuple[str, str]]]:
    """Return the WER on the first `count` utterances of a held-out set, and three (reference,
    transcript) pairs."""
    chosen = [corpus[i] for i in range(min(count, len(corpus)))]
    texts = greedy(learner, vocabulary, tokenizer, [u.samples for u in chosen], in_windows)
    references = [utterance.text for utterance in chosen]
    return word_error_rate(references, texts), list(zip(references, texts, strict=True))[:3]
