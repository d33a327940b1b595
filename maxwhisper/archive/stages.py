"""The stages of a run: decode, transcribe, write. Each is a function of one recording, or of many.

One process and a Ray cluster use these same functions. In: sources and a `Job`. Out: an `Entry` for
each, for the manifest. A recording that fails is an entry with a reason; it raises nothing.
"""

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from maxwhisper.archive import places
from maxwhisper.archive.job import Job
from maxwhisper.archive.manifest import DONE, FAILED, Entry
from maxwhisper.archive.sources import Source
from maxwhisper.audio.decoders import Decoders
from maxwhisper.audio.waveform import Waveform
from maxwhisper.cache import sha256_of
from maxwhisper.engine import EachEngine, Engine
from maxwhisper.errors import (
    AudioError,
    DeviceError,
    EngineUnavailable,
    MaxWhisperError,
    OptionError,
    one_line,
)
from maxwhisper.network.dims import SAMPLE_RATE
from maxwhisper.text.writers import render
from maxwhisper.transcript import Transcript

NO_AUDIO = np.zeros(0, np.float32)
# Errors of the run, not of one recording.
_FATAL = (OptionError, EngineUnavailable, DeviceError)


@dataclass
class Decoded:
    """A recording that was read. `entry` says what became of it so far: it has failed, or its text
    is there already, or nothing yet, and then there are samples."""

    source: Source
    entry: Entry
    waveform: Waveform = field(default_factory=lambda: NO_AUDIO)

    @property
    def is_settled(self) -> bool:
        return self.entry.status != ""


def decode(source: Source, job: Job, decoders: Decoders, before: Entry | None = None) -> Decoded:
    """Read a recording and its sha256, in a child process, which a damaged file may end.

    `before` is its entry in the manifest. If the audio is still the same, so is its text, and it is
    not decoded.
    """
    start_s = time.perf_counter()
    entry = Entry(source.address, settings=job.settings_hash, tries=_tries(before))
    try:
        if source.error is not None:
            raise source.error
        entry = replace_entry(entry, stamp=source.stamp or places.stamp(source.address))
        with places.local_copy(source.address) as path:
            sha256 = sha256_of(Path(path))
            entry = replace_entry(entry, sha256=sha256, key=job.key(sha256))
            if before is not None and before.status == DONE and before.key == entry.key:
                return Decoded(source, replace_entry(before, stamp=entry.stamp))
            recording = decoders.read(path, max_seconds=job.max_seconds)
    except AudioError as error:
        return Decoded(source, failed(entry, error, start_s))
    except Exception as error:  # of a file system: no file, no permission, no connection
        reason = f"cannot read it: {getattr(error, 'strerror', None) or one_line(error)}"
        return Decoded(source, failed(entry, AudioError("unreadable", reason), start_s))
    entry = replace_entry(
        entry,
        warning=recording.warning,
        audio_s=round(len(recording.waveform) / SAMPLE_RATE, 3),
        seconds=time.perf_counter() - start_s,
    )
    return Decoded(source, entry, recording.waveform)


def transcribe(
    engine: Engine, waveforms: Iterable[Waveform], job: Job
) -> Iterator[tuple[int, Transcript | MaxWhisperError]]:
    """The transcript of each recording, or its error, with its number, as soon as it is done.

    Recordings are taken from `waveforms` when there is room for them. Raises what concerns all of
    them: options that the engine does not honour, a device that is gone.
    """
    if isinstance(engine, EachEngine) and job.batch_size is not None:
        yield from engine.transcribe_each(waveforms, job.options, **job.mode)
        return
    for number, waveform in enumerate(waveforms):
        try:
            outcome: Transcript | MaxWhisperError = engine.transcribe(
                waveform, job.options, **job.mode
            )
        except _FATAL:
            raise
        except MaxWhisperError as error:
            outcome = error
        yield number, outcome


def write(decoded: Decoded, outcome: Transcript | MaxWhisperError, job: Job) -> Entry:
    """Write the files of a recording, each in one step. Raises `OutputError`, which concerns the
    whole run."""
    start_s = time.perf_counter() - decoded.entry.seconds
    if not isinstance(outcome, Transcript):
        return failed(decoded.entry, outcome, start_s)
    files = job.files(decoded.source)
    for name, address in files.items():
        places.write(address, _content(outcome, name, job).encode("utf-8", "backslashreplace"))
    return replace_entry(
        decoded.entry,
        status=DONE,
        language=outcome.language,
        files=tuple(files.values()),
        seconds=round(time.perf_counter() - start_s, 3),
    )


def failed(entry: Entry, error: MaxWhisperError, start_s: float) -> Entry:
    """The entry of a recording that is set aside."""
    return replace_entry(
        entry,
        status=FAILED,
        code=error.code if isinstance(error, AudioError) else type(error).__name__,
        reason=" ".join(str(error).split()),
        seconds=round(time.perf_counter() - start_s, 3),
    )


def _content(transcript: Transcript, output_format: str, job: Job) -> str:
    if output_format != "jsonl":
        return render(transcript, output_format, job.options, job.lines)
    lines = (json.dumps(asdict(segment), ensure_ascii=False) for segment in transcript.segments)
    return "".join(f"{line}\n" for line in lines)


def _tries(before: Entry | None) -> int:
    return 1 + before.tries if before is not None and before.status == FAILED else 1


def replace_entry(entry: Entry, **changes: object) -> Entry:
    """A copy of an entry with some fields changed."""
    return replace(entry, **changes)  # type: ignore[arg-type]
