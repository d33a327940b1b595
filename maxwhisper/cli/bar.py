"""Progress bars on a terminal: how much audio is done, and how much of a download.

In: the recordings that begin, their segments, and their ends; or a download. Out: a line on
standard error that is drawn again and again; nothing where standard error is no terminal.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from maxwhisper.text.writers import clock_time

if TYPE_CHECKING:
    from maxwhisper.checkpoint.download import DownloadProgress, OnDownload

_ONE = "{percentage:3.0f}%|{bar}| {audio} of {length}, {speed}"
_MANY = "{percentage:3.0f}%|{bar}| {n} of {total} recordings, {audio} of audio, {speed}"


class _AudioBar(tqdm):  # type: ignore[misc]
    """tqdm with fields for audio time and speed; tqdm's documented way to add fields."""

    audio_s = 0.0

    @property
    def format_dict(self) -> Any:
        fields = super().format_dict
        speed = self.audio_s / max(fields["elapsed"], 1e-3)
        return fields | {
            "audio": clock_time(self.audio_s).partition(".")[0],
            "length": clock_time(fields["total"] or 0.0).partition(".")[0],
            "speed": f"{speed:.1f}× real time",
        }


class Bar:
    """The progress of `n_recordings`; of one recording, its own length is the whole.

    Nothing is drawn before `start`.
    """

    def __init__(self, n_recordings: int) -> None:
        self._n_recordings = n_recordings
        self._is_one = n_recordings == 1
        self._heard_s: dict[int, float] = {}
        self._bar: _AudioBar | None = None

    def start(self) -> None:
        """Draw the bar, and begin to measure the time."""
        if sys.stderr.isatty():
            self._bar = _AudioBar(
                total=self._n_recordings,
                file=sys.stderr,
                leave=False,
                dynamic_ncols=True,
                miniters=0,
                bar_format=_ONE if self._is_one else _MANY,
            )

    def begin(self, audio_s: float) -> None:
        """A recording of this length begins."""
        if self._bar is not None and self._is_one:
            self._bar.total = audio_s

    def heard(self, number: int, until_s: float, n_done: int = 0) -> None:
        """Recording `number` is transcribed up to `until_s`."""
        if self._bar is None:
            return
        before_s = self._heard_s.get(number, 0.0)
        self._heard_s[number] = max(before_s, until_s)
        self._bar.audio_s += self._heard_s[number] - before_s
        self._bar.update(self._heard_s[number] - before_s if self._is_one else n_done)

    def done(self, number: int, audio_s: float) -> None:
        """Recording `number`, of this length, is done, or has failed."""
        self.heard(number, audio_s, n_done=1)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()

    @contextmanager
    def cleared(self) -> Iterator[None]:
        """Print to a terminal within it, above the bar."""
        if self._bar is not None:
            self._bar.clear()
        yield
        if self._bar is not None:
            self._bar.refresh()


@contextmanager
def download_bar() -> "Iterator[OnDownload | None]":
    """Yield what draws a download on a terminal; None where standard error is no terminal, because
    a download then says its progress in lines."""
    if not sys.stderr.isatty():
        yield None
        return
    bar: tqdm | None = None

    def draw(state: "DownloadProgress") -> None:
        nonlocal bar
        if bar is None:
            bar = tqdm(
                desc=state.name,
                total=state.total_bytes,
                initial=state.done_bytes,  # of an earlier start: not part of the speed
                file=sys.stderr,
                leave=False,
                dynamic_ncols=True,
                unit="B",
                unit_scale=True,
                mininterval=0,  # the download itself reports a few times a second
            )
        bar.update(state.done_bytes - bar.n)

    try:
        yield draw
    finally:
        if bar is not None:
            bar.close()
