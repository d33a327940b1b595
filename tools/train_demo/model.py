"""The network in training: openai-whisper's own module, a compact vocabulary, a phone head.

Owns the losses, and the conversion of weights back to the full vocabulary. Knows nothing of data or
optimisers. Axis letters as in `maxwhisper.network.reference`.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as functional
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization
from whisper.model import ModelDimensions, MultiHeadAttention, ResidualAttentionBlock, Whisper

from maxwhisper.network.dims import Dims
from tools.train_demo.labels import NOWHERE
from tools.train_demo.phones import PHONES, UNLABELLED
from tools.train_demo.vocabulary import N_TIMESTAMPS, Vocabulary

EMBEDDING = "decoder.token_embedding.weight"
RAW_EMBEDDING = "decoder.token_embedding.parametrizations.weight.original"

# The position of a token is estimated from its letters and the phones' times. Over 6,207 last
# tokens of words, the mean error was 0.06 s and the 90th percentile 0.13 s.
NEAR_POSITIONS = 10.0  # of 20 ms; the standard deviation of a Gaussian

# Where a word follows, the most probable word should exceed all ends together by this margin of
# logarithms; at 0 decoding closes the segment. Beyond the reach, the word has to be learnt first.
CLOSING_MARGIN = 2.0
CLOSING_REACH = 4.0

# A timestamp's row is a mean over its neighbours with Gaussian weights of this width. Rows learnt
# independently were still guesses after 100 examples of each: loss 5.2 to 8.0.
TIMESTAMP_SPREAD = 4.0


class SmoothTimestamps(nn.Module):
    """Effective rows of an embedding: those of timestamps are means over their neighbours. Beyond
    the first and the last one are copies of them."""

    def __init__(self, first: int) -> None:
        super().__init__()
        self.rows = slice(first, first + N_TIMESTAMPS)
        offsets = torch.arange(-3 * TIMESTAMP_SPREAD, 3 * TIMESTAMP_SPREAD + 1)
        bell = torch.exp(-0.5 * (offsets / TIMESTAMP_SPREAD) ** 2)
        self.register_buffer("bell", bell / bell.sum(), persistent=False)

    def forward(self, weight: Tensor) -> Tensor:
        """(rows, C) -> the same shape."""
        bell = cast(Tensor, self.bell)
        beyond = len(bell) // 2
        timestamps = weight[self.rows].T[:, None]
        padded = functional.pad(timestamps, (beyond, beyond), mode="replicate")
        smooth = functional.conv1d(padded, bell[None, None])[:, 0].T
        return torch.cat([weight[: self.rows.start], smooth, weight[self.rows.stop :]])

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Called when rows are assigned; they are then smoothed once more."""
        return weight


class Heard(NamedTuple):
    """Attention of the guided heads, (B * R, L, S) each: heads that attend to the next token, and
    heads that attend to the previous one."""

    next: list[Tensor]
    last: list[Tensor]


class TextLosses(NamedTuple):
    """The decoder's losses, each a mean over tokens.

    `text`: cross entropy. `early`: -log of the probability left for words where a word follows, and
    for timestamps where one does. Decoding closes a segment as soon as all timestamps together are
    more probable than the most probable word (decoding.py:492-503), so a network that is unsure
    only about the word stops there. What is missing to `CLOSING_MARGIN` is added.
    `next` and `last`: -log of the attention of the guided heads near the position of the next token
    and of the previous one.
    """

    text: Tensor
    early: Tensor
    next: Tensor
    last: Tensor


class Learner(nn.Module):
    """`whisper.model.Whisper` with the compact vocabulary, and a phone for every audio position."""

    def __init__(self, dims: Dims, vocabulary: Vocabulary) -> None:
        super().__init__()
        compact = {**dims.to_dict(), "n_vocab": vocabulary.n_rows}
        self.whisper = Whisper(ModelDimensions(**compact))
        self.phone_head = nn.Linear(dims.n_audio_state, len(PHONES))
        self.end_of_text, self.first_timestamp = vocabulary.end_of_text, vocabulary.first_timestamp
        self.shared_log_count = math.log(max(1, vocabulary.n_unused))
        for module in self.whisper.modules():
            if isinstance(module, MultiHeadAttention):
                module.qkv_attention = partial(_attended, module.n_head)
        decoder = self.whisper.decoder
        # nn.Embedding's default scale of 1 makes tied logits of standard deviation 16 at width 256.
        nn.init.normal_(decoder.token_embedding.weight, std=0.05)
        smooth = SmoothTimestamps(vocabulary.first_timestamp)
        register_parametrization(decoder.token_embedding, "weight", smooth)
        nn.init.normal_(decoder.positional_embedding, std=0.02)

    def load(self, weights: Mapping[str, npt.NDArray[np.floating[Any]]], rows: Vocabulary) -> None:
        """Load weights with the package's names and a row for every token."""
        tensors = {name: torch.tensor(array).float() for name, array in weights.items()}
        tensors[RAW_EMBEDDING] = rows.compact(tensors.pop(EMBEDDING))
        self.whisper.load_state_dict(tensors)

    def encode(self, mel: Tensor, first_position: Tensor) -> Tensor:
        """(B, M, T) -> (B, T / 2, C), for any even T: example b begins at `first_position[b]`.

        The module's own forward accepts only 30 s. A short stretch at the right positions costs
        less and looks like part of a full window.
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

    def states(self, rows: Tensor, features: Tensor, first_token: Tensor) -> tuple[Tensor, Heard]:
        """Return decoder states (B * R, L, C) before the output layer, and the attention of the
        guided heads.

        The first head of every layer except the first quarter is guided to the next token; the
        second head of the first half of those layers to the previous one. `rows` (B * R, L): R
        consecutive texts for each of the B examples in `features`, so keys and values of an example
        are computed once. Text i begins at `first_token[i]`.
        """
        decoder = self.whisper.decoder
        places = first_token[:, None] + torch.arange(rows.shape[1], device=rows.device)
        places = places.clamp(max=len(decoder.positional_embedding) - 1)
        x = decoder.token_embedding(rows) + decoder.positional_embedding[places]
        x = x.to(features.dtype)
        heard = Heard([], [])
        blocks = cast(Sequence[ResidualAttentionBlock], decoder.blocks)
        for layer, block in enumerate(blocks):
            x = x + block.attn(block.attn_ln(x), mask=decoder.mask)[0]
            h = block.cross_attn_ln(x).reshape(len(features), -1, x.shape[2])
            shape = (*rows.shape, features.shape[1])
            attended, scores = block.cross_attn(h, features)
            if layer >= len(blocks) // 4:
                heard.next.append(scores[:, 0].softmax(-1).reshape(shape))
            if layer < len(blocks) / 2:
                heard.last.append(scores[:, 1].softmax(-1).reshape(shape))
            x = x + attended.reshape(x.shape)
            x = x + block.mlp(block.mlp_ln(x))
        return decoder.ln(x), heard

    def logits(self, states: Tensor) -> Tensor:
        """(..., C) -> (..., rows) logits; the shared row stands for all unused tokens."""
        weight = self.whisper.decoder.token_embedding.weight
        logits = (states @ weight.to(states.dtype).T).float()
        logits[..., -1] += self.shared_log_count
        return logits

    def phone_loss(self, features: Tensor, phones: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cross entropy per labelled position, and the share of correct positions."""
        logits = self.phone_head(features).float()
        loss = functional.cross_entropy(
            logits.flatten(0, 1), phones.flatten(), ignore_index=UNLABELLED
        )
        labelled = phones != UNLABELLED
        right = (logits.argmax(-1) == phones)[labelled].float().mean()
        return loss, right

    def text_losses(
        self,
        features: Tensor,
        rows: Tensor,
        targets: Tensor,
        heard_at: Tensor,
        first_token: Tensor,
    ) -> TextLosses:
        """Return the losses of the texts of a `Batch`. Only positions with a target reach the
        output layer, which would otherwise cost more than the rest of the decoder."""
        said = targets != UNLABELLED
        states, heard = self.states(rows, features, first_token)
        log_p = self.logits(states[said]).log_softmax(-1)
        nowhere = torch.full_like(heard_at[:, :1], NOWHERE)
        last_heard_at = torch.cat([nowhere, heard_at[:, :-1]], dim=1)
        return TextLosses(
            text=functional.nll_loss(log_p, targets[said]),
            early=self._early(log_p, targets[said]),
            next=_far(heard.next, heard_at),
            last=_far(heard.last, last_heard_at),
        )

    def _early(self, log_p: Tensor, targets: Tensor) -> Tensor:
        """Return the loss `early` of `TextLosses`; `log_p` (n, rows), `targets` (n,)."""
        end, first = self.end_of_text, self.first_timestamp
        text_ends = log_p[:, end].exp()
        log_word_ends = log_p[:, end : first + N_TIMESTAMPS].logsumexp(-1)
        is_word = targets < end
        early = torch.where(is_word, log_word_ends.exp(), 0.0)
        early = torch.where(targets >= first, text_ends, early)
        likeliest_word = log_p[:, :end].amax(-1).detach()
        closes = log_word_ends - likeliest_word + CLOSING_MARGIN
        closes = closes.clamp(0, CLOSING_REACH) * is_word
        return (closes - torch.log1p(-early.clamp(max=1 - 1e-4))).mean()


def _far(attention: Sequence[Tensor], heard_at: Tensor) -> Tensor:
    """Return -log of the attention near the positions `heard_at` (B * R, L), where these are
    known."""
    known = heard_at >= 0
    if not known.any():
        return heard_at.new_zeros(())
    positions = torch.arange(attention[0].shape[-1], device=heard_at.device)
    near = torch.exp(-0.5 * ((positions - heard_at[known][:, None]) / NEAR_POSITIONS) ** 2)
    listened = [(head[known].float() * near).sum(-1) for head in attention]
    return -torch.log(torch.stack(listened) + 1e-6).mean()


def _attended(
    n_head: int, q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Compute `MultiHeadAttention.qkv_attention` in the precision of its inputs.

    On a CPU the fused attention takes twice as long in bfloat16, and a softmax in float32, as in
    autocast, a quarter more. The scores (B, H, L, S) keep their gradients.
    """
    q, k, v = (x.reshape(*x.shape[:2], n_head, -1).transpose(1, 2) for x in (q, k, v))
    scores = (q * q.shape[-1] ** -0.5) @ k.transpose(2, 3)
    if mask is not None:
        n = q.shape[2]
        scores = scores + mask[:n, :n].to(scores.dtype)
    with torch.autocast(scores.device.type, enabled=False):
        weights = torch.softmax(scores, dim=-1)
    return (weights @ v).transpose(1, 2).flatten(2), scores


def canonical_weights(
    learner: Learner, vocabulary: Vocabulary
) -> dict[str, npt.NDArray[np.float32]]:
    """Return weights with the package's names, float32, with a row for every token."""
    weights = {name: tensor.detach().cpu() for name, tensor in learner.whisper.state_dict().items()}
    del weights[RAW_EMBEDDING]
    embedding = learner.whisper.decoder.token_embedding.weight.detach().cpu()
    weights[EMBEDDING] = vocabulary.full(embedding)
    return {key: tensor.float().numpy() for key, tensor in weights.items()}


def restored(state: Mapping[str, Any]) -> tuple[Learner, Vocabulary]:
    """Return the network that a run saved, with the rows of its training."""
    dims = Dims(**state["dims"])
    vocabulary = Vocabulary(dims.n_vocab, state["tokens"].tolist())
    learner = Learner(dims, vocabulary)
    learner.load_state_dict(state["learner"])
    return learner, vocabulary
