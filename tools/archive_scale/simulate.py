"""A run of an archive on a cluster that nobody here has, event by event.

In: `Costs` of the stages and the speed of a GPU. Out: a `Run`: its hours, and how busy each stage
was. The model: the head gives out recordings in order and takes their results, one at a time;
decoders are behind a bounded line of audio, as Ray Data holds them back; a GPU takes one recording
after another, whose windows fill its batches.
"""

import heapq
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from tools.archive_scale.record import Costs

AHEAD = 2  # decoded recordings that wait for each GPU
LONGEST_S, SHORTEST_S = 4 * 3600.0, 10.0
SIGMA = 1.0  # of the logarithm of a recording's length: a few are ten times longer than most
BYTES_PER_SAMPLED_SECOND = 64_000  # decoded audio, from a decoder to a GPU's node


@dataclass(frozen=True)
class Cluster:
    """`speed` is seconds of audio that one GPU transcribes in a second."""

    n_gpus: int
    decoders_per_gpu: float
    speed: float

    @property
    def n_decoders(self) -> int:
        return max(1, round(self.n_gpus * self.decoders_per_gpu))


@dataclass(frozen=True)
class Run:
    """What a run took. Shares are of the time from its start to its end."""

    seconds: float
    audio_s: float
    gpu_share: float  # of the time of all GPUs in which they transcribe
    decoder_share: float
    head_share: float

    @property
    def rtfx(self) -> float:
        return self.audio_s / self.seconds


def recordings(hours: float, mean_s: float, seed: int = 0) -> list[float]:
    """Lengths in seconds of recordings of `hours` in all, log-normal around a mean of `mean_s`."""
    draw = random.Random(seed)
    lengths = []
    left_s = hours * 3600
    while left_s > 0:
        # exp(-sigma² / 2) makes the mean of the log-normal one
        length = mean_s * draw.lognormvariate(-(SIGMA**2) / 2, SIGMA)
        length = min(max(length, SHORTEST_S), LONGEST_S, max(left_s, SHORTEST_S))
        lengths.append(length)
        left_s -= length
    return lengths


def simulate(lengths: Sequence[float], cluster: Cluster, costs: Costs) -> Run:
    """Run every recording through the head, a decoder and a GPU."""
    numbers = count()
    events: list[tuple[float, int, str, int]] = []  # time, order, what has ended, recording
    free_decoders, free_gpus = cluster.n_decoders, 0
    for _ in range(cluster.n_gpus):
        heapq.heappush(events, (costs.load_s, next(numbers), "loaded", -1))
    waiting: deque[int] = deque()  # decoded, in the order in which they were
    results = 0  # that the head has not taken
    n_given = n_decoding = n_finished = 0
    head_is_free = True
    busy_gpu = busy_decoder = busy_head = now = 0.0
    room = AHEAD * cluster.n_gpus
    while n_finished < len(lengths):
        # The head: a result first, so that nothing piles up; else the next recording.
        if head_is_free and results:
            results, head_is_free = results - 1, False
            busy_head += costs.driver_s / 2
            heapq.heappush(events, (now + costs.driver_s / 2, next(numbers), "taken", -1))
        elif (
            head_is_free
            and n_given < len(lengths)
            and free_decoders
            and n_decoding + len(waiting) < room + cluster.n_decoders
        ):
            free_decoders, head_is_free, n_decoding = free_decoders - 1, False, n_decoding + 1
            busy_head += costs.driver_s / 2
            heapq.heappush(events, (now + costs.driver_s / 2, next(numbers), "given", n_given))
            n_given += 1
        while free_gpus and waiting:
            free_gpus -= 1
            number = waiting.popleft()
            seconds = lengths[number] / cluster.speed + costs.write_s
            busy_gpu += seconds
            heapq.heappush(events, (now + seconds, next(numbers), "transcribed", number))
        now, _, what, number = heapq.heappop(events)
        if what == "loaded":
            free_gpus += 1
        elif what == "given":
            head_is_free = True
            seconds = lengths[number] * costs.decode_s
            busy_decoder += seconds
            heapq.heappush(events, (now + seconds, next(numbers), "decoded", number))
        elif what == "decoded":
            free_decoders, n_decoding = free_decoders + 1, n_decoding - 1
            waiting.append(number)
        elif what == "transcribed":
            free_gpus, results = free_gpus + 1, results + 1
        else:
            head_is_free, n_finished = True, n_finished + 1
    return Run(
        seconds=now,
        audio_s=sum(lengths),
        gpu_share=busy_gpu / (now * cluster.n_gpus),
        decoder_share=busy_decoder / (now * cluster.n_decoders),
        head_share=busy_head / now,
    )
