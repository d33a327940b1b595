"""Read openai-whisper's text while it decodes: from outside, by what its decoder is given.

The library has no callback. In: its decoder and a function to call. Out: text so far. Greedy
decoding gives the decoder the newest token of its one row at each step (openai/whisper
decoding.py:144-163); with several rows per window, as in beam search, rows change places between
steps, so nothing is told.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from maxwhisper.decoding.partial import PartialText


@contextmanager
def told_tokens(decoder: torch.nn.Module, partial_text: PartialText) -> Iterator[None]:
    """Tell `partial_text` the tokens that `decoder` is given, within the context."""
    window: list[torch.Tensor] = []  # tokens (1, 1) since its prompt

    def see(_module: torch.nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        tokens = given[0]
        if not named.get("kv_cache"):  # a prompt, the search for a language, or word times
            window.clear()
        elif len(tokens) == 1:
            window.append(tokens)
            if partial_text.is_due:  # on a GPU, reading a tensor waits for it
                read = torch.cat(window, dim=1).numpy(force=True)
                partial_text.tell(read, np.zeros(1, np.float32))

    hook = decoder.register_forward_pre_hook(see, with_kwargs=True)
    try:
        yield
    finally:
        hook.remove()
