"""For tests of the exactness harness: engines that say what they are told, and records of them."""

import json
from dataclasses import replace

import numpy as np

from maxwhisper.checkpoint.random import random_checkpoint
from maxwhisper.cli.output import json_text
from maxwhisper.engine import OURS, EngineInfo
from maxwhisper.evaluation.bench.cases import Clip
from maxwhisper.evaluation.parity import run
from maxwhisper.evaluation.parity.cases import Subject
from maxwhisper.evaluation.parity.record import ParityRecord
from maxwhisper.network.dims import Dims
from maxwhisper.transcript import Segment, Transcript, Word

TINY = Dims(80, 1500, 64, 2, 1, 51_864, 448, 64, 2, 1)
SUBJECT = Subject("tiny random", random_checkpoint(TINY))
CLIP = Clip("clip.wav", np.full(16_000, 0.1, np.float32))
CLIPS = [CLIP, replace(CLIP, name="second.wav")]
WORDS = (Word(" And", 0.0, 0.4, 0.9), Word(" so", 0.4, 0.8, 0.8))
SEGMENT = Segment(0, 0, 0.0, 1.0, " And so", (7, 8, 9), 0.0, -0.5, 1.25, 0.01, WORDS)
TRANSCRIPT = Transcript(
    " And so on", "en", (SEGMENT, replace(SEGMENT, id=1, start=1.0, end=2.0, words=())), 2.0
)


class Says:
    """An engine that answers with a transcript, an error, or a function of the samples."""

    def __init__(self, answer):
        self.answer = answer
        self.info = EngineInfo("fake", "1", "fake", "cpu", "it is all there is", "float32")

    def transcribe(self, waveform, options, on_segment=None):
        answer = self.answer(waveform) if callable(self.answer) else self.answer
        if isinstance(answer, Exception):
            raise answer
        return answer


def first_segment(**changes):
    """`TRANSCRIPT` with fields of its first segment changed."""
    return replace(TRANSCRIPT, segments=(replace(SEGMENT, **changes), *TRANSCRIPT.segments[1:]))


def record_of(ours, theirs=TRANSCRIPT, option_sets=("greedy",)):
    engines = {OURS: Says(ours), run.THEIRS: Says(theirs)}
    plan = run.Plan([SUBJECT], [CLIP], option_sets=option_sets)
    record = run.run(plan, lambda name, subject: engines[name])
    record.check()
    return record


def case_of(ours, theirs=TRANSCRIPT, **more):
    (case,) = record_of(ours, theirs, **more).cases
    return case


def grid(clips, ours=None, keep=lambda record: None, **more):
    """The record of engines that agree, on `clips`; `more` are fields of the plan."""
    engines = {OURS: ours or Says(TRANSCRIPT), run.THEIRS: Says(TRANSCRIPT)}
    plan = run.Plan([SUBJECT], clips, **more)
    return run.run(plan, lambda name, subject: engines[name], keep=keep)


def json_copy(record):
    """The record as it is read from its file."""
    return ParityRecord.from_dict(json.loads(json_text(record.to_dict())))
