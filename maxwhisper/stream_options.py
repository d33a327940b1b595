"""How live audio is cut up for transcription, and how speech is looked for in it. What is asked of
the text is in `options`."""

from dataclasses import dataclass

from maxwhisper.dims import CHUNK_LENGTH_S
from maxwhisper.errors import OptionError
from maxwhisper.vad import VadOptions
from maxwhisper.validation import Rule, check_options

SHORTEST_HOP_S = 0.1  # a syllable; less new audio tells nothing new
LAG_S = 0.1  # so long speech has gone on when its detection notices

_RULES: dict[str, Rule] = {"pause_s": (lambda v: v > 0, "be above 0")}


@dataclass(frozen=True)
class StreamOptions:
    """Seconds of audio, not of waiting. Pauses are known where speech is looked for."""

    hop_s: float = 1.0  # this much new audio, and the window is heard again
    window_s: float = CHUNK_LENGTH_S  # most audio heard at once; less costs less, and knows less
    pause_s: float = 0.5  # a pause this long commits what was said before it
    vad: VadOptions | bool = True  # True, or how: look for speech, and decode nothing else
    keep_up: bool = False  # of several hops that come at once, hear the last alone

    def validate(self) -> "StreamOptions":
        """Return self, or raise `OptionError` naming the field, its value and what is allowed."""
        check_options(self, _RULES)
        if not SHORTEST_HOP_S <= self.hop_s <= self.window_s <= CHUNK_LENGTH_S:
            raise OptionError(
                f"expected {SHORTEST_HOP_S} <= hop_s <= window_s <= {CHUNK_LENGTH_S} s, "
                f"got hop_s {self.hop_s}, window_s {self.window_s}"
            )
        if self.vad:
            self._validate_speech()
        elif self.pause_s != StreamOptions.pause_s:
            raise OptionError("pause_s needs vad: without it no pause is known")
        return self

    def _validate_speech(self) -> None:
        """Raise `OptionError` for speech detection that makes no sense while the audio comes."""
        longest_s = self.speech.validate().max_speech_duration_s
        if longest_s != VadOptions.max_speech_duration_s:
            raise OptionError(
                f"max_speech_duration_s has no place in live audio, where window_s bounds what is "
                f"heard at once: leave it at {VadOptions.max_speech_duration_s}, got {longest_s}"
            )
        if not self.lead_s + SHORTEST_HOP_S <= self.window_s:
            raise OptionError(
                f"window_s must hold {SHORTEST_HOP_S} s more than what is kept before speech "
                f"({self.lead_s:g} s, from speech_pad_ms and min_speech_duration_ms), "
                f"got {self.window_s}"
            )

    @property
    def speech(self) -> VadOptions:
        """How speech is looked for, where it is."""
        return self.vad if isinstance(self.vad, VadOptions) else VadOptions()

    @property
    def lead_s(self) -> float:
        """Kept of the audio before speech is noticed: its padding, and what of it has gone by."""
        return LAG_S + (self.speech.speech_pad_ms + self.speech.min_speech_duration_ms) / 1000
