"""The errors that the library raises on purpose; server and benchmark derive a few more from them.

Each message says what was expected, what came, and what to do. Whoever shows errors to people (the
page, the command line) catches `MaxWhisperError` and prints its text; anything else is a bug.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from maxwhisper.transcript import Transcript


class MaxWhisperError(Exception):
    """Base of all errors that a user can act on."""


class AudioError(MaxWhisperError):
    """A recording that cannot be used; `code` is a stable machine-readable name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class CheckpointError(MaxWhisperError):
    """A checkpoint that is missing, damaged, or not the network it claims to be."""


class SomeFailed(MaxWhisperError):
    """Some of many recordings could not be transcribed; nothing of the others is lost.

    `transcripts` has one entry for each recording, None for those of `errors`, {index: why}: an
    `AudioError` where it could not be read, a `NumericError` where the network gave no numbers.
    """

    def __init__(
        self,
        transcripts: "Sequence[Transcript | None]",
        errors: "Mapping[int, AudioError | NumericError]",
    ) -> None:
        reasons = "; ".join(f"number {index}: {error}" for index, error in sorted(errors.items()))
        super().__init__(
            f"{len(errors)} of {len(transcripts)} recordings failed ({reasons}); `transcripts` of "
            "this error has the others"
        )
        self.transcripts, self.errors = list(transcripts), dict(errors)


class OptionError(MaxWhisperError, ValueError):
    """An option with an impossible value, or one that this engine cannot honour."""


class OutputError(MaxWhisperError):
    """A file that cannot be written."""


class RecordError(MaxWhisperError):
    """A file that is no measurement record, or one that contradicts itself."""


class DeviceError(MaxWhisperError):
    """A device or a precision that this machine cannot give."""


class ArtifactError(MaxWhisperError):
    """A compiled graph that is damaged, stale, or computes wrong numbers."""


class EngineUnavailable(MaxWhisperError):
    """An engine that cannot run here: a missing package, a dead worker."""


class NumericError(MaxWhisperError):
    """A network that gives no numbers: NaN where logits should be."""
