"""The network while it is trained: openai-whisper's own module, a compact vocabulary, a phone head.

Owns the rows of the embedding during training and how they become all rows afterwards. Knows
nothing of data or optimisers. Axis letters as in `maxwhisper.reference`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization
from whisper.model import ModelDimensions, MultiHeadAttention, ResidualAttentionBlock, Whisper

from maxwhisper.dims import Dims
from maxwhisper.tokenizer import Tokenizer
from tools.train_demo.phones import PHONES, UNLABELLED

EMBEDDING = "decoder.token_embedding.weight"
RAW_EMBEDDING = "decoder.token_embedding.parametrizations.weight.original"


# How near is near: a token's place is guessed from its letters and the phones' times. Of 6,207 last
# tokens of words, the mean error was 0.06 s, the 90th percentile 0.13 s.
NEAR_POSITIONS = 10.0  # of 20 ms; the standard deviation of a bell curve

# A timestamp's row is a mean over its neighbours, weighted by a bell curve of so many of them. Rows
# that each learnt alone were no more than guessed after 100 sights of each: loss 5.2 to 8.0.
TIMESTAMP_SPREAD = 4.0
N_TIMESTAMPS = 1501


class Vocabulary:
    """The tokens that training texts use, as rows 0.. of a smaller embedding.

    One more row, the last, stands for all other tokens of the full vocabulary, which share it. It
    counts as many times in the softmax as there are such tokens, so that the exported network gives
    the very probabilities that were trained, and it learns to be unlikely. A third of the rows is
    used, so the output layer costs a third.
    """

    def __init__(self, n_vocab: int, used: Iterable[int]) -> None:
        self.tokens = np.array(sorted(set(used)), np.int64)
        self.n_vocab = n_vocab
        self.n_unused = n_vocab - len(self.tokens)
        self.shared_row = len(self.tokens)
        self.first_timestamp = self.shared_row - N_TIMESTAMPS
        if self.tokens[self.first_timestamp] != n_vocab - N_TIMESTAMPS:
            raise ValueError("expected all timestamps among the used tokens, the last ones there")
        self._row_of = np.full(n_vocab, self.shared_row, np.int64)
        self._row_of[self.tokens] = np.arange(len(self.tokens))

    @property
    def n_rows(self) -> int:
        return len(self.tokens) + 1

    def rows(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Rows of tokens; UNLABELLED stays. Raises `ValueError` for a token that is not used."""
        rows = np.where(tokens >= 0, self._row_of[np.maximum(tokens, 0)], tokens)
        if np.any(rows == self.shared_row):
            unknown = sorted(set(tokens[rows == self.shared_row].tolist()))
            raise ValueError(f"expected tokens of the training vocabulary, got {unknown[:5]}")
        return rows

    def full(self, embedding: Tensor) -> Tensor:
        """(n_rows, C) -> (n_vocab, C)."""
        return embedding[torch.from_numpy(self._row_of)]

    def compact(self, embedding: Tensor) -> Tensor:
        """(n_vocab, C) -> (n_rows, C), back from `full`: the shared row is the mean of those of all
        tokens that are not used."""
        is_used = torch.zeros(self.n_vocab, dtype=torch.bool)
        is_used[torch.from_numpy(self.tokens)] = True
        shared = embedding[~is_used].mean(0, keepdim=True)
        return torch.cat([embedding[is_used], shared])


def used_tokens(tokenizer: Tokenizer, texts: Iterable[str]) -> set[int]:
    """Tokens of the texts, letters alone and after a space (for spelling), and all specials that
    the labels use."""
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789'-.,?!$%"
    used = {token for letter in letters for token in tokenizer.encode(letter)}
    used |= {token for letter in letters for token in tokenizer.encode(" " + letter)}
    for tokens in tokenizer.encoding.encode_ordinary_batch([" " + text for text in texts]):
        used.update(tokens)
    used |= {tokenizer.eot, tokenizer.sot, tokenizer.sot_prev, tokenizer.no_speech}
    used |= {tokenizer.no_timestamps, *range(tokenizer.timestamp_begin, tokenizer.n_vocab)}
    return used


class SmoothTimestamps(nn.Module):
    """Rows of an embedding as they are used: those of timestamps are means over their neighbours.
    Beyond the first and the last one lie copies of them."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.rows = slice(first, first + N_TIMESTAMPS)
        offsets = torch.arange(-3 * TIMESTAMP_SPREAD, 3 * TIMESTAMP_SPREAD + 1)
        bell = torch.exp(-0.5 * (offsets / TIMESTAMP_SPREAD) ** 2)
        self.register_buffer("bell", bell / bell.sum(), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        """(rows, C) -> the same."""
        bell = cast(Tensor, self.bell)
        beyond = len(bell) // 2
        timestamps = weight[self.rows].T[:, None]
        padded = functional.pad(timestamps, (beyond, beyond), mode="replicate")
        smooth = functional.conv1d(padded, bell[None, None])[:, 0].T
        return torch.cat([weight[: self.rows.start], smooth, weight[self.rows.stop :]])

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Where rows are given, they are smoothed once more."""
        return weight


class Learner(nn.Module):
    """`whisper.model.Whisper` over the compact vocabulary, and a phone for every audio position."""

    def __init__(self, dims: Dims, vocabulary: Vocabulary) -> None:
        super().__init__()
        compact = {**dims.to_dict(), "n_vocab": vocabulary.n_rows}
        self.whisper = Whisper(ModelDimensions(**compact))
        self.phone_head = nn.Linear(dims.n_audio_state, len(PHONES))
        self.shared_log_count = math.log(max(1, vocabulary.n_unused))
        decoder = self.whisper.decoder
        # nn.Embedding's own scale of 1 makes tied logits of standard deviation 16 at width 256.
        nn.init.normal_(decoder.token_embedding.weight, std=0.05)
        smooth = SmoothTimestamps(vocabulary.first_timestamp)
        register_parametrization(decoder.token_embedding, "weight", smooth)
        nn.init.normal_(decoder.positional_embedding, std=0.02)

    def load(self, weights: Mapping[str, npt.NDArray[np.floating[Any]]], rows: Vocabulary) -> None:
        """Take weights under the package's names, with a row for every token."""
        tensors = {name: torch.tensor(array).float() for name, array in weights.items()}
        tensors[RAW_EMBEDDING] = rows.compact(tensors.pop(EMBEDDING))
        self.whisper.load_state_dict(tensors)

    def encode(self, mel: Tensor, first_position: Tensor) -> Tensor:
        """(B, M, T) -> (B, T / 2, C), any even T: example b begins at `first_position[b]`.

        The module's own forward takes 30 s alone. A short stretch with the right positions costs
        less and is what a full window looks like from inside.
        """
        encoder = self.whisper.encoder
        x = functional.gelu(encoder.conv1(mel))
        x = functional.gelu(encoder.conv2(x)).permute(0, 2, 1)
        steps = torch.arange(x.shape[1], device=x.device)
        places = (first_position[:, None] + steps).clamp(max=len(encoder.positional_embedding) - 1)
        x = (x + encoder.positional_embedding[places]).to(x.dtype)
        for block in encoder.blocks:
            x = block(x)
        return encoder.ln_post(x)

    def states(
        self, rows: Tensor, features: Tensor, first_token: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        """Decoder states (B * R, L, C) before the output layer, and where the first head of every
        layer but the first quarter listens: attention (B * R, L, S) each.

        `rows` (B * R, L): R texts of each of the B examples in `features`, one after the other, so
        that keys and values of an example are made once. Text i begins at `first_token[i]`.
        """
        decoder = self.whisper.decoder
        places = first_token[:, None] + torch.arange(rows.shape[1], device=rows.device)
        places = places.clamp(max=len(decoder.positional_embedding) - 1)
        x = decoder.token_embedding(rows) + decoder.positional_embedding[places]
        x = x.to(features.dtype)
        attention = []
        blocks = cast(Sequence[ResidualAttentionBlock], decoder.blocks)
        for layer, block in enumerate(blocks):
            x = x + block.attn(block.attn_ln(x), mask=decoder.mask)[0]
            h = block.cross_attn_ln(x).reshape(len(features), -1, x.shape[2])
            if layer >= len(blocks) // 4:
                heard = _first_head(block.cross_attn, h, features)
                attention.append(heard.reshape(*rows.shape, features.shape[1]))
            x = x + block.cross_attn(h, features)[0].reshape(x.shape)
            x = x + block.mlp(block.mlp_ln(x))
        return decoder.ln(x), attention

    def logits(self, states: Tensor) -> Tensor:
        """(..., C) -> (..., rows) logits; the shared row counts for all unused tokens."""
        weight = self.whisper.decoder.token_embedding.weight
        logits = (states @ weight.to(states.dtype).T).float()
        logits[..., -1] += self.shared_log_count
        return logits

    def phone_loss(self, features: Tensor, phones: Tensor) -> tuple[Tensor, Tensor]:
        """Cross entropy per labelled position, and the share of positions that are right."""
        logits = self.phone_head(features).float()
        loss = functional.cross_entropy(
            logits.flatten(0, 1), phones.flatten(), ignore_index=UNLABELLED
        )
        labelled = phones != UNLABELLED
        right = (logits.argmax(-1) == phones)[labelled].float().mean()
        return loss, right

    def text_loss(
        self,
        features: Tensor,
        rows: Tensor,
        targets: Tensor,
        heard_at: Tensor,
        first_token: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Cross entropy per token that is to be said, and -log of how much the guided heads listen
        to where it is heard.

        Only positions with a target meet the output layer, which would cost more than the rest of
        the decoder.
        """
        said = targets != UNLABELLED
        states, attention = self.states(rows, features, first_token)
        text_loss = functional.cross_entropy(self.logits(states[said]), targets[said])
        known = heard_at >= 0
        positions = torch.arange(features.shape[1], device=features.device)
        near = torch.exp(-0.5 * ((positions - heard_at[known][:, None]) / NEAR_POSITIONS) ** 2)
        listened = [(heads[known].float() * near).sum(-1) for heads in attention]
        if not known.any():
            return text_loss, text_loss.new_zeros(())
        return text_loss, -torch.log(torch.stack(listened) + 1e-6).mean()


def _first_head(attention: MultiHeadAttention, x: Tensor, features: Tensor) -> Tensor:
    """Cross-attention (B, L, S) of the first head alone."""
    width = attention.query.weight.shape[0] // attention.n_head
    bias = attention.query.bias
    query = functional.linear(x, attention.query.weight[:width], bias[:width])
    key = functional.linear(features, attention.key.weight[:width])
    return torch.softmax(query @ key.transpose(1, 2) * width**-0.5, dim=-1)


def canonical_weights(
    learner: Learner, vocabulary: Vocabulary
) -> dict[str, npt.NDArray[np.float32]]:
    """Weights under the package's names, float32, with a row for every token."""
    weights = {name: tensor.detach().cpu() for name, tensor in learner.whisper.state_dict().items()}
    del weights[RAW_EMBEDDING]
    embedding = learner.whisper.decoder.token_embedding.weight.detach().cpu()
    weights[EMBEDDING] = vocabulary.full(embedding)
    return {key: tensor.float().numpy() for key, tensor in weights.items()}


def restored(state: Mapping[str, Any]) -> tuple[Learner, Vocabulary]:
    """The network that a run saved, with the rows it was trained with."""
    dims = Dims(**state["dims"])
    vocabulary = Vocabulary(dims.n_vocab, state["tokens"].tolist())
    learner = Learner(dims, vocabulary)
    learner.load_state_dict(state["learner"])
    return learner, vocabulary
