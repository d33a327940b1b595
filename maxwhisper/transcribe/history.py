"""The text so far, and which part of it prompts the next window.

Source: openai/whisper transcribe.py:235-243, 288-293, 499-505.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from maxwhisper.errors import OptionError
from maxwhisper.network.dims import Dims
from maxwhisper.options import TranscribeOptions
from maxwhisper.text.tokenizer import Tokenizer
from maxwhisper.transcript import Segment


@dataclass
class History:
    """Tokens so far, and which of them prompt the next window.

    With `carry` the initial prompt goes before every window. `max_tokens` is the number of prompt
    tokens that a window can take. Text of a window decoded above `max_temperature` does not prompt
    the next one, nor does the text before it; None: no text does.
    """

    initial_prompt: tuple[int, ...]
    carry: bool
    max_tokens: int
    max_temperature: float | None = None
    tokens: list[int] = field(default_factory=list)
    reset_since: int = 0

    def __post_init__(self) -> None:
        self.tokens.extend(self.initial_prompt)

    def prompt(self) -> tuple[int, ...]:
        """The prompt of the next window."""
        if not self.carry:
            return tuple(self.tokens[self.reset_since :])
        ignored = max(len(self.initial_prompt), self.reset_since)
        remaining = self.max_tokens - len(self.initial_prompt)  # if 0, [-0:] is all, as upstream
        return (*self.initial_prompt, *self.tokens[ignored:][-remaining:])

    def add(self, segments: Sequence[Segment], temperature: float) -> None:
        """Append the text of a window decoded at `temperature`; reset the prompt if required."""
        for segment in segments:
            self.tokens.extend(segment.tokens)
        if self.max_temperature is None or temperature > self.max_temperature:
            self.reset()

    def reset(self) -> None:
        """Exclude all text so far from later prompts, and the initial prompt unless carried."""
        self.reset_since = len(self.tokens)

    def text_tokens(self) -> list[int]:
        """All tokens without the initial prompt."""
        return self.tokens[len(self.initial_prompt) :]


def new_history(tokenizer: Tokenizer, options: TranscribeOptions, dims: Dims) -> History:
    """A history that starts with the initial prompt: text, or token ids as they are."""
    prompt = options.initial_prompt
    if isinstance(prompt, str):
        tokens = tuple(tokenizer.encode(" " + prompt.strip()))
    else:
        tokens = tuple(prompt or ())
        if any(not 0 <= token < tokenizer.n_vocab for token in tokens):
            raise OptionError(
                f"initial_prompt must be token ids in 0..{tokenizer.n_vocab - 1}, got {prompt}"
            )
    conditions = options.condition_on_previous_text
    return History(
        tokens,
        options.carry_initial_prompt,
        dims.n_text_ctx // 2 - 1,
        options.prompt_reset_on_temperature if conditions else None,
    )
