"""Seconds of each stage of a library, measured from outside, around its own public calls.

In: a loaded model of either library. Out: seconds by stage, with the names of our own stages. Only
on a CPU, where a call returns when its work is done; on a GPU it returns before that. Imports
neither library.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class OutsideClock:
    """Seconds per stage. The time before the first call is a stage of its own, `before`, unless
    that is ""."""

    def __init__(self, before: str = "") -> None:
        self.seconds: dict[str, float] = {}
        self._stage, self._since = before, time.perf_counter()

    def begin(self, stage: str) -> None:
        """A call of `stage` starts."""
        if not self.seconds:
            self.end()
        self._stage, self._since = stage, time.perf_counter()

    def end(self) -> None:
        """The call is over."""
        if self._stage:
            spent = time.perf_counter() - self._since
            self.seconds[self._stage] = self.seconds.get(self._stage, 0.0) + spent
        self._stage = ""


class Timed:
    """`inner`, whose calls are timed: `stages` is {method: stage}, `called` the stage of calling it
    itself. Everything else is passed on."""

    def __init__(
        self, inner: Any, clock: OutsideClock, stages: dict[str, str], called: str = ""
    ) -> None:
        self._inner, self._clock, self._stages, self._called = inner, clock, stages, called

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        stage = self._stages.get(name)
        return found if stage is None else self._timed(found, stage)

    def __call__(self, *given: Any, **named: Any) -> Any:
        return self._timed(self._inner, self._called)(*given, **named)

    def _timed(self, call: Callable[..., Any], stage: str) -> Callable[..., Any]:
        def timed(*given: Any, **named: Any) -> Any:
            self._clock.begin(stage)
            try:
                return call(*given, **named)
            finally:
                self._clock.end()

        return timed


@contextmanager
def timed_ctranslate2(model: Any, clock: OutsideClock) -> Iterator[None]:
    """Time the log-mel and the encoder, decoder and alignment calls of a
    `faster_whisper.WhisperModel` within the context. Its decoder reads the prompt and writes all
    tokens of a window in one call, which is "decode" here."""
    network, extractor = model.model, model.feature_extractor
    calls = {"encode": "encoder", "generate": "decode", "detect_language": "language"}
    model.model = Timed(network, clock, calls | {"align": "words"})
    model.feature_extractor = Timed(extractor, clock, {}, called="mel")
    try:
        yield
    finally:
        model.model, model.feature_extractor = network, extractor


@contextmanager
def timed_torch(model: Any, clock: OutsideClock) -> Iterator[None]:
    """Time encoder and decoder of a `whisper.model.Whisper` within the context. A call with an
    empty cache is the prompt; one without a cache detects the language, from one token, or aligns
    words."""

    def before_encoder(*_: Any) -> None:
        clock.begin("encoder")

    def before_decoder(_: Any, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        cache = named.get("kv_cache")
        if cache is None:
            clock.begin("language" if given[0].shape[-1] == 1 else "words")
        else:
            clock.begin("decode" if cache else "prefill")

    def after(*_: Any) -> None:
        clock.end()

    hooks = [
        model.encoder.register_forward_pre_hook(before_encoder),
        model.encoder.register_forward_hook(after),
        model.decoder.register_forward_pre_hook(before_decoder, with_kwargs=True),
        model.decoder.register_forward_hook(after),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
