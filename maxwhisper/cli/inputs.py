"""The samples of the recordings that a command line names, decoded ahead in groups.

In: sources. Out: groups of decoded ones. What fails is reported beside the others and does not stop
them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from maxwhisper.archive.prefetch import Prefetch, n_decoders
from maxwhisper.archive.sources import Source
from maxwhisper.errors import AudioError
from maxwhisper.network.dims import SAMPLE_RATE

if TYPE_CHECKING:
    from maxwhisper.audio.container import Recording

PER_RECORDING_S = 0.1  # what a recording costs in memory beside its audio


@dataclass(frozen=True)
class Heard:
    """A source and its samples, or the error instead of them."""

    source: Source
    recording: "Recording | None"
    error: AudioError | None = None

    @property
    def audio_s(self) -> float:
        return 0.0 if self.recording is None else len(self.recording.waveform) / SAMPLE_RATE


def read_ahead(sources: Sequence[Source], group_s: float) -> Iterator[list[Heard]]:
    """Groups of decoded recordings, in order; a group ends when it has `group_s` of audio.

    The next group is decoded in threads while the caller works on one, so that about two groups are
    in memory.
    """
    ahead = Prefetch(sources, _heard, _cost, max(group_s, PER_RECORDING_S), n_decoders())
    group: list[Heard] = []
    try:
        for heard in ahead:
            group.append(heard)
            del heard
            if sum(each.audio_s for each in group) >= group_s:
                yield group
                group = []
        if group:
            yield group
    finally:
        ahead.close()


def _cost(heard: Heard) -> float:
    return heard.audio_s + PER_RECORDING_S


def _heard(source: Source) -> Heard:
    try:
        return Heard(source, source.read())
    except AudioError as error:
        return Heard(source, None, error)
