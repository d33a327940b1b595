"""What was said so far, and which of it prompts the next window.

Source: openai/whisper transcribe.py:235-243, 288-293, 499-505.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from maxwhisper.dims import Dims
from maxwhisper.errors import OptionError
from maxwhisper.options import TranscribeOptions
from maxwhisper.tokenizer import Tokenizer
from maxwhisper.transcript import Segment


@dataclass
class History:
    """Tokens said so far, and which of them prompt the next window."""

    initial_prompt: tuple[int, ...]
    carry: bool
    most: int  # prompt tokens a window can take
    tokens: list[int] = field(default_factory=list)
    reset_since: int = 0

    def __post_init__(self) -> None:
        self.tokens.extend(self.initial_prompt)

    def prompt(self) -> tuple[int, ...]:
        if not self.carry:
            return tuple(self.tokens[self.reset_since :])
        ignored = max(len(self.initial_prompt), self.reset_since)
        remaining = self.most - len(self.initial_prompt)  # none left: [-0:], all, as upstream
        return (*self.initial_prompt, *self.tokens[ignored:][-remaining:])

    def add(self, segments: Sequence[Segment]) -> None:
        for segment in segments:
            self.tokens.extend(segment.tokens)

    def reset(self) -> None:
        """What was said up to now prompts no later window, nor does a prompt not carried."""
        self.reset_since = len(self.tokens)

    def said(self) -> list[int]:
        return self.tokens[len(self.initial_prompt) :]


def new_history(tokenizer: Tokenizer, options: TranscribeOptions, dims: Dims) -> History:
    """A history that begins with the initial prompt: text, or token ids as they are."""
    prompt = options.initial_prompt
    if isinstance(prompt, str):
        tokens = tuple(tokenizer.encode(" " + prompt.strip()))
    else:
        tokens = tuple(prompt or ())
        if any(not 0 <= token < tokenizer.n_vocab for token in tokens):
            raise OptionError(
                f"initial_prompt: token ids lie in 0..{tokenizer.n_vocab - 1}, got {prompt}"
            )
    return History(tokens, options.carry_initial_prompt, dims.n_text_ctx // 2 - 1)
