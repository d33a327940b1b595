"""Work that a visitor starts with one button and stops with another.

Input: the work, as a generator that checks whether it was stopped. Output: values for the
components it draws, then for Run and Stop. Each session has at most one run at a time.
"""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from maxwhisper.engines.background import in_background
from maxwhisper.engines.status import Cancelled, RunCancelled
from maxwhisper.web.ui.events import QUIET

# No limit here: these wait in the queue of the device, each with its own Stop button.
WAITERS: dict[str, Any] = {"concurrency_limit": None}
Shown = tuple[Any, ...]


class Stoppable:
    """The runs that one pair of buttons starts and stops."""

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
        """Yield the values of `work`, each with the two buttons, then those of `over`, which gets
        "stopped" or "". Raises what `work` raises, after the buttons are reset."""
        session = str(request.session_hash)
        cancelled = self._running[session] = threading.Event()

        def emit_all(emit: Callable[[Shown], None]) -> None:
            for shown in work(cancelled.is_set):
                emit(shown)

        note = ""
        try:
            for shown in in_background(emit_all, cancelled):
                if shown is not None:
                    yield *shown, *run_and_stop(is_over=False, is_stopping=cancelled.is_set())
        except RunCancelled:
            note = "stopped"
        except Exception:  # `shown_errors` reports it; the buttons are reset first
            yield *over(note), *run_and_stop(is_over=True)
            raise
        finally:
            cancelled.set()
            if self._running.get(session) is cancelled:  # and not a newer run of this session
                del self._running[session]
        yield *over(note), *run_and_stop(is_over=True)

    def _halt(self, request: gr.Request) -> gr.Button:
        """Stop the session's run and show "Stopping…"."""
        cancelled = self._running.get(str(request.session_hash))
        if cancelled is not None:
            cancelled.set()
        return run_and_stop(is_over=cancelled is None, is_stopping=True)[1]


def run_and_stop(*, is_over: bool, is_stopping: bool = False) -> tuple[gr.Button, gr.Button]:
    """The two buttons: while the work runs, while it stops, and when it is over."""
    is_ending = is_stopping and not is_over
    return (
        gr.Button(interactive=is_over),
        gr.Button("Stopping…" if is_ending else "Stop", interactive=not is_over and not is_ending),
    )
