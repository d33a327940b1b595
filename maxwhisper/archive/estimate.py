"""How long a run will take: hours of audio from a few recordings, time from a measured speed.

In: the sources, and the speed of a benchmark record. Out: an `Estimate`. Transcribes nothing.
"""

import os
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

from maxwhisper.archive import places, stages
from maxwhisper.archive.job import Job
from maxwhisper.archive.sources import Source
from maxwhisper.audio.decoders import Decoders

READ = 20  # recordings, chosen at random with a fixed seed
LONGEST_S = 20.0  # of reading


@dataclass(frozen=True)
class Estimate:
    """`hours` of audio in `n_recordings`, of which `n_read` were read and `n_unreadable` could not
    be. `decode_speed` is seconds of audio decoded in a second by one thread."""

    n_recordings: int
    n_bytes: int
    n_read: int
    n_unreadable: int
    hours: float
    decode_speed: float


def estimate(sources: Sequence[Source], job: Job) -> Estimate:
    """Read some recordings, and count all of them by their bytes."""
    sizes = [_size(source) for source in sources]
    order = list(range(len(sources)))
    random.Random(0).shuffle(order)
    audio_s = n_bytes = decode_s = 0.0
    n_read = n_unreadable = 0
    start_s = time.monotonic()
    with Decoders() as decoders:
        for index in order[:READ]:
            if n_read and time.monotonic() - start_s > LONGEST_S:
                break
            decoded = stages.decode(sources[index], job, decoders)
            decode_s += decoded.entry.seconds
            n_read += 1
            n_unreadable += decoded.is_settled
            audio_s += decoded.entry.audio_s
            n_bytes += sizes[index]
    hours = audio_s / n_bytes * sum(sizes) / 3600 if n_bytes else 0.0
    speed = audio_s / decode_s if decode_s else 0.0
    return Estimate(len(sources), sum(sizes), n_read, n_unreadable, hours, speed)


def sampled(sources: Sequence[Source], share: float) -> list[Source]:
    """A share of the recordings, chosen at random; the same ones every time."""
    count = max(1, round(share * len(sources))) if sources else 0
    chosen = set(random.Random(0).sample(range(len(sources)), count))
    return [source for index, source in enumerate(sources) if index in chosen]


def _size(source: Source) -> int:
    try:
        if source.stamp:
            return int(source.stamp.partition(":")[0])
        if not places.is_address(source.address):
            return os.path.getsize(source.address)
        return int(places.stamp(source.address).partition(":")[0])
    except (OSError, ValueError):
        return 0
