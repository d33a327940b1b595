"""Transcribe the microphone: `python examples/microphone.py base`. Needs `sounddevice`."""

import sys

import maxwhisper

RATE = 48_000  # what most sound cards record; the stream resamples


def show(update: maxwhisper.Update) -> None:
    """Print words as soon as they are final, in one line."""
    print("".join(word.word for word in update.committed), end="", flush=True)


def main() -> None:
    import sounddevice  # type: ignore[import-not-found, unused-ignore]

    model = maxwhisper.load(*sys.argv[1:])
    with maxwhisper.StreamThread(model.stream(), show, RATE) as live:

        def record(data: memoryview, *_: object) -> None:
            live.put(bytes(data))

        with sounddevice.RawInputStream(RATE, channels=1, dtype="int16", callback=record):
            input("Speak. Press Enter to end.\n")
    live.transcript.save("microphone.srt")


if __name__ == "__main__":
    main()
