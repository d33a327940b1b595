"""Feed a stream from a thread of its own, for microphones and sockets, which must not wait.

Owns the queue between the two. In: samples or bytes, from any thread. Out: updates, to a callback.
Knows no microphone: examples/microphone.py does.
"""

import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Self

import numpy.typing as npt

from maxwhisper.network.dims import SAMPLE_RATE
from maxwhisper.transcribe.stream import Stream, Update
from maxwhisper.transcript import Transcript


class StreamThread:
    """`put` samples, which never waits; `on_update` is called in the thread that reads them.

    with StreamThread(model.stream(), on_update=print) as live:
        microphone(callback=live.put)
    print(live.transcript.text)
    """

    def __init__(
        self,
        stream: Stream,
        on_update: Callable[[Update], object] | None = None,
        sample_rate: int = SAMPLE_RATE,
    ) -> None:
        """`sample_rate` is that of everything that is put."""
        self._stream, self._on_update, self._rate = stream, on_update, sample_rate
        self._queue: SimpleQueue[npt.ArrayLike | None] = SimpleQueue()  # None: the end
        self._transcript: Transcript | None = None
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="maxwhisper stream", daemon=True)
        self._thread.start()

    @property
    def transcript(self) -> Transcript:
        """The transcript so far; the complete one after `finish`."""
        return self._transcript or self._stream.committed()

    def put(self, samples: npt.ArrayLike) -> None:
        """Give samples to the thread: an array or bytes, as `Stream.feed` takes them.

        Bytes-like objects that the caller uses again must be copied before. Raises the error that
        ended the thread, if one did.
        """
        self._check()
        self._queue.put(samples)

    def finish(self) -> Transcript:
        """Wait until everything is read, and return the transcript. Raises the thread's error."""
        self._queue.put(None)
        self._thread.join()
        self._check()
        return self.transcript

    def _check(self) -> None:
        if self._error is not None:
            raise self._error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self.finish()
        else:  # the caller's error is the one to see
            self._queue.put(None)

    def _run(self) -> None:
        try:
            while (samples := self._queue.get()) is not None:
                update = self._stream.feed(samples, self._rate)
                if self._on_update is not None:
                    self._on_update(update)
            self._transcript = self._stream.finish()
        except Exception as error:  # raised by the next call of `put` or `finish`
            self._error = error
