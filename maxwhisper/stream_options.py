"""How live audio is cut up for transcription. What is asked of the text is in `options`."""

from dataclasses import dataclass

from maxwhisper.dims import CHUNK_LENGTH_S
from maxwhisper.errors import OptionError

SHORTEST_HOP_S = 0.1  # a syllable; less new audio tells nothing new


@dataclass(frozen=True)
class StreamOptions:
    """Seconds of audio, not of waiting."""

    hop_s: float = 1.0  # this much new audio, and the window is heard again
    window_s: float = CHUNK_LENGTH_S  # most audio heard at once; less costs less, and knows less
    pause_s: float = 0.5  # a pause this long commits what was said before it
    vad: bool = True  # look for speech first, and decode nothing where there is none
    keep_up: bool = False  # of several hops that come at once, hear the last alone

    def validate(self) -> "StreamOptions":
        """Return self, or raise `OptionError` naming the field, its value and what is allowed."""
        if not SHORTEST_HOP_S <= self.hop_s <= self.window_s <= CHUNK_LENGTH_S:
            raise OptionError(
                f"expected {SHORTEST_HOP_S} <= hop_s <= window_s <= {CHUNK_LENGTH_S} s, "
                f"got hop_s {self.hop_s}, window_s {self.window_s}"
            )
        if not self.pause_s > 0:
            raise OptionError(f"pause_s must be above 0, got {self.pause_s}")
        return self
