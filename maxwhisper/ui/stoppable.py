"""Work that a visitor starts and may stop: its steps as they are shown, and the two buttons.

In: what to do, as a generator that looks whether it was stopped. Out: values for the components it
draws, then for Run and Stop. One run a session; knows neither what is drawn nor what is measured.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from maxwhisper.serving.beside import beside
from maxwhisper.serving.status import Cancelled, RunCancelled
from maxwhisper.ui.events import QUIET

# One has the device at a time; these wait for it, each with a Stop of its own.
WAITERS: dict[str, Any] = {"concurrency_id": "device", "concurrency_limit": 8}
Shown = tuple[Any, ...]


class Stoppable:
    """The runs behind one pair of buttons."""

    def __init__(self, run: gr.Button, stop: gr.Button) -> None:
        self.buttons = [run, stop]
        self._running: dict[str, threading.Event] = {}
        stop.click(self._halt, None, [stop], **QUIET)

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

        def emit_all(emit: Callable[[Shown], None]) -> None:
            for shown in work(cancelled.is_set):
                emit(shown)

        note = ""
        try:
            for shown in beside(emit_all, cancelled):
                if shown is not None:
                    yield *shown, *run_and_stop(is_over=False, is_stopping=cancelled.is_set())
        except RunCancelled:
            note = "stopped"
        except Exception:  # told by `shown_errors`; the buttons come back first
            yield *over(note), *run_and_stop(is_over=True)
            raise
        finally:
            cancelled.set()
            if self._running.get(session) is cancelled:  # not another that began meanwhile
                del self._running[session]
        yield *over(note), *run_and_stop(is_over=True)

    def _halt(self, request: gr.Request) -> gr.Button:
        """Stop what runs; the button says that it was heard."""
        cancelled = self._running.get(str(request.session_hash))
        if cancelled is not None:
            cancelled.set()
        return run_and_stop(is_over=cancelled is None, is_stopping=True)[1]


def run_and_stop(*, is_over: bool, is_stopping: bool = False) -> tuple[gr.Button, gr.Button]:
    """The two buttons while work goes on, while it is being stopped, and when it is over."""
    is_ending = is_stopping and not is_over
    return (
        gr.Button(interactive=is_over),
        gr.Button("Stopping…" if is_ending else "Stop", interactive=not is_over and not is_ending),
    )
