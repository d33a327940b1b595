"""Work on the device that a visitor starts and may stop: its steps as they are shown, and the two
buttons.

In: what to do, as a generator that looks whether it was stopped. Out: values for the components it
draws, then for Run and Stop. One run a session; knows neither what is drawn nor what is measured.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from maxwhisper.serving.status import Cancelled, RunCancelled

DEVICE_QUEUE = "device"  # of all such work on the page: one at a time
Shown = tuple[Any, ...]


class Stoppable:
    """The runs behind one pair of buttons."""

    def __init__(self, run: gr.Button, stop: gr.Button) -> None:
        self.buttons = [run, stop]
        self._running: dict[str, threading.Event] = {}
        stop.click(self._halt, None, None, show_progress="hidden", api_visibility="private")

    def steps(
        self,
        request: gr.Request,
        work: Callable[[Cancelled], Iterator[Shown]],
        over: Callable[[str], Shown],
    ) -> Iterator[Shown]:
        """What `work` shows, each with the buttons beside it; then what `over` shows, which is told
        if it was "stopped". Raises what `work` raises, when the buttons are given back."""
        session = str(request.session_hash)
        cancelled = self._running[session] = threading.Event()
        note = ""
        try:
            for shown in work(cancelled.is_set):
                yield *shown, *_buttons(is_over=False)
        except RunCancelled:
            note = "stopped"
        except Exception:  # told by `shown_errors`; the buttons come back first
            yield *over(note), *_buttons(is_over=True)
            raise
        finally:
            cancelled.set()
            if self._running.get(session) is cancelled:  # not another that began meanwhile
                del self._running[session]
        yield *over(note), *_buttons(is_over=True)

    def _halt(self, request: gr.Request) -> None:
        if cancelled := self._running.get(str(request.session_hash)):
            cancelled.set()


def _buttons(is_over: bool) -> Shown:
    return gr.Button(interactive=is_over), gr.Button(interactive=not is_over)
