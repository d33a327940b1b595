"""Transcribe one recording: `python examples/transcribe_file.py talk.mp3 [model]`."""

import sys

import maxwhisper

model = maxwhisper.load(*sys.argv[2:])
result = model.transcribe(sys.argv[1])
for segment in result.segments:
    print(f"{segment.start:7.2f} to {segment.end:7.2f} s {segment.text}")
print(f"{result.duration:.1f} s of {result.language} in {result.timings['total']:.1f} s")
