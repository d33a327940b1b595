"""How a recording is cut into windows: arguments of `Whisper.transcribe` beside its options."""

from dataclasses import dataclass

from maxwhisper.options.info import AT_LEAST_1, check_options, option
from maxwhisper.options.speech import PAUSES, VadOptions
from maxwhisper.options.transcription import LIVE, OPENAI


@dataclass(frozen=True)
class WindowOptions:
    """One window after the other, or a batch of them; all of a recording, or its speech alone."""

    batch_size: int | None = option(
        None,
        "decode this many windows together; recordings are cut at pauses, and no window is "
        "prompted with the text before it",
        AT_LEAST_1,
        unit="windows",
        unsupported={OPENAI: "one window at a time", LIVE: "one window at a time"},
    )
    vad: VadOptions | bool | None = option(  # noqa: RUF009 - it returns the default
        None,
        "transcribe only speech, which is the default in batches",
        unsupported={OPENAI: "it has none"},
    )

    def validate(self) -> "WindowOptions":
        """Return self, or raise `OptionError` with the field, its value and what is allowed."""
        check_options(self)
        if self.speech is not None:
            self.speech.validate()
        return self

    @property
    def speech(self) -> VadOptions | None:
        """How speech is detected, or None if everything is transcribed."""
        if isinstance(self.vad, VadOptions):
            return self.vad
        if self.batch_size is None:
            return VadOptions() if self.vad else None
        return None if self.vad is False else PAUSES
