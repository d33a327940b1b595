"""Options of speech detection and of live transcription."""

from dataclasses import dataclass

from maxwhisper.errors import OptionError
from maxwhisper.network.dims import CHUNK_LENGTH_S
from maxwhisper.options.info import (
    ABOVE_0,
    AT_LEAST_0,
    FROM_0_TO_1,
    check_options,
    option,
    require_supported,
)
from maxwhisper.options.transcription import LIVE


@dataclass(frozen=True)
class VadOptions:
    """Speech detection. Names and defaults are faster-whisper's (vad.py)."""

    threshold: float = option(
        0.5, "speech begins with a block of 32 ms above this probability", FROM_0_TO_1
    )
    neg_threshold: float | None = option(
        None,
        "a block below this probability may end speech; 0.15 below the threshold, but at least "
        "0.01, when not given",
        FROM_0_TO_1,
    )
    min_speech_duration_ms: float = option(
        0, "shorter speech is discarded", AT_LEAST_0, unit="milliseconds"
    )
    max_speech_duration_s: float = option(
        float("inf"),
        "longer speech is split, in a pause if it has one; not in live audio",
        unit="seconds",
        unsupported={LIVE: "window_s bounds it"},
    )
    min_silence_duration_ms: float = option(
        2000,
        "a shorter pause does not end speech; batches use 160 when not given",
        AT_LEAST_0,
        unit="milliseconds",
    )
    speech_pad_ms: float = option(
        400,
        "padding on both sides of speech, up to the middle of the pause",
        AT_LEAST_0,
        unit="milliseconds",
    )

    def validate(self) -> "VadOptions":
        """Return self, or raise `OptionError` with the field, its value and what is allowed."""
        check_options(self)
        if not self.max_speech_duration_s * 1000 > 2 * self.speech_pad_ms:
            raise OptionError(
                f"max_speech_duration_s must exceed the padding on both sides "
                f"({2 * self.speech_pad_ms} ms), got {self.max_speech_duration_s}"
            )
        return self

    @property
    def silence_threshold(self) -> float:
        """The probability of speech below which a pause begins."""
        if self.neg_threshold is not None:
            return self.neg_threshold
        return max(self.threshold - 0.15, 0.01)


# In batches: pauses between phrases, not only between paragraphs, as in faster-whisper's pipeline.
PAUSES = VadOptions(min_silence_duration_ms=160)

MIN_HOP_S = 0.1  # one syllable; shorter audio adds no information
LAG_S = 0.1  # speech has lasted this long when it is detected


@dataclass(frozen=True)
class StreamOptions:
    """Live transcription. All times are seconds of audio, not of waiting."""

    hop_s: float = option(
        1.0, "the window is decoded again after this much new audio", unit="seconds"
    )
    window_s: float = option(
        CHUNK_LENGTH_S,
        "maximum audio decoded at once; less is faster and less accurate",
        unit="seconds",
    )
    pause_s: float = option(
        0.5, "a pause this long makes the words before it final", ABOVE_0, unit="seconds"
    )
    vad: VadOptions | bool = option(  # noqa: RUF009 - it returns the default
        True, "detect speech first, and decode nothing else"
    )
    keep_up: bool = option(False, "of several hops that arrive at once, decode only the last")

    def validate(self) -> "StreamOptions":
        """Return self, or raise `OptionError` with the field, its value and what is allowed."""
        check_options(self)
        if not MIN_HOP_S <= self.hop_s <= self.window_s <= CHUNK_LENGTH_S:
            raise OptionError(
                f"expected {MIN_HOP_S} <= hop_s <= window_s <= {CHUNK_LENGTH_S} s, "
                f"got hop_s {self.hop_s}, window_s {self.window_s}"
            )
        if self.vad:
            require_supported(self.speech.validate(), LIVE)
            self._require_room()
        elif self.pause_s != StreamOptions.pause_s:
            raise OptionError("pause_s needs vad: without it no pause is detected")
        return self

    def _require_room(self) -> None:
        """Raise `OptionError` if the window is too short for the audio kept before speech."""
        if not self.lead_s + MIN_HOP_S <= self.window_s:
            raise OptionError(
                f"window_s must exceed the audio kept before speech ({self.lead_s:g} s, from "
                f"speech_pad_ms and min_speech_duration_ms) by {MIN_HOP_S} s, got {self.window_s}"
            )

    @property
    def speech(self) -> VadOptions:
        """Options of speech detection, if `vad` asks for it."""
        return self.vad if isinstance(self.vad, VadOptions) else VadOptions()

    @property
    def lead_s(self) -> float:
        """Seconds of audio kept from before speech is detected: padding and detection delay."""
        return LAG_S + (self.speech.speech_pad_ms + self.speech.min_speech_duration_ms) / 1000
