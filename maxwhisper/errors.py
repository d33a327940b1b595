"""The errors that the library raises on purpose. Server and benchmark derive a few more from them.

Each message says what was expected, what came, and what to do. Page and command line catch
`MaxWhisperError` and show its text; any other exception is a bug.
"""

import difflib
import reprlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from maxwhisper.transcript import Transcript


class MaxWhisperError(Exception):
    """Base class of all errors that a user can act on."""


class AudioError(MaxWhisperError):
    """A recording that cannot be used. `code` is a stable, machine-readable name."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class AudioWarning(UserWarning):
    """A recording of which a part could not be decoded."""


class CheckpointError(MaxWhisperError):
    """A checkpoint that is missing, damaged, or not the network that it claims to be."""


class SomeFailed(MaxWhisperError):
    """Some of many recordings could not be transcribed; the transcripts of the others are here.

    `transcripts` has one entry for each recording, None if it failed. `errors` maps the index of a
    failed recording to its error: an `AudioError` if it could not be read, a `NumericError` if the
    network produced NaN.
    """

    def __init__(
        self,
        transcripts: "Sequence[Transcript | None]",
        errors: "Mapping[int, AudioError | NumericError]",
    ) -> None:
        reasons = "; ".join(f"number {index}: {error}" for index, error in sorted(errors.items()))
        super().__init__(
            f"{len(errors)} of {len(transcripts)} recordings failed ({reasons}); the attribute "
            "`transcripts` has the others"
        )
        self.transcripts, self.errors = list(transcripts), dict(errors)


class OptionError(MaxWhisperError, ValueError):
    """An option with an invalid value, or one that this engine does not support."""


class OutputError(MaxWhisperError):
    """A file that cannot be written."""


class RecordError(MaxWhisperError):
    """A file that is not a measurement record, or a record that contradicts itself."""


class DeviceError(MaxWhisperError):
    """A device or a precision that this machine does not have."""


class ArtifactError(MaxWhisperError):
    """A compiled graph that is damaged, stale, or computes wrong numbers."""


class EngineUnavailable(MaxWhisperError):
    """An engine that cannot run here: a package is missing, or its process died."""


class NumericError(MaxWhisperError):
    """A network that produced NaN instead of logits."""


FORKED = (
    "this process was forked from one that runs MAX, whose threads do not survive a fork: start it "
    "with multiprocessing.get_context('spawn'), and load the model in it"
)


def one_line(error: Exception) -> str:
    """An exception as one line: its type and the first line of its text."""
    text = str(error).strip()
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text else type(error).__name__


def quoted(value: Any) -> str:
    """A value as messages quote it: like `repr`, but at most about 40 characters."""
    if isinstance(value, int) and value.bit_length() > _LONGEST_INTEGER:  # repr refuses some
        return f"an integer of {value.bit_length()} bits"
    text = _SHORT.repr(value)
    return text if len(text) <= _QUOTED else f"{text[: _QUOTED - 1]}…"


def or_nearest(given: str, known: "Iterable[str]") -> str:
    """ ": did you mean NAME?" with the nearest of the `known` names; "" if none is near."""
    near = difflib.get_close_matches(given, list(known), n=1)
    return f": did you mean {near[0]}?" if near else ""


_QUOTED = 40  # characters
_LONGEST_INTEGER = 64  # bits
_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother = 3, _QUOTED, _QUOTED
