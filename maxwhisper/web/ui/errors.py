"""Errors as a visitor sees them: our own sentences, or one line that says the error was logged."""

import functools
import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar
from xml.sax.saxutils import escape  # leaves quotes alone: programs read these messages too

import gradio as gr

from maxwhisper.errors import MaxWhisperError
from maxwhisper.web.ui.templates import render

log = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])

INTERNAL = "Internal error, logged on the server. Try again, or tell the operator of this page."


def public_message(error: Exception) -> str:
    """The text of `error` that a visitor may read."""
    return str(error) if isinstance(error, MaxWhisperError) else INTERNAL


def problem_html(message: str) -> str:
    """A message in a red box, announced by screen readers."""
    return render("problem.html", message=message)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (gr.Error, GeneratorExit):
        raise
    except MaxWhisperError as error:
        # Gradio shows a message as HTML, and ours may quote a visitor, a file or an engine.
        raise gr.Error(escape(str(error)), print_exception=False) from error
    except Exception as error:
        log.exception("internal error")
        raise gr.Error(INTERNAL, print_exception=False) from error


def shown_errors(handler: F) -> F:
    """Wrap an event handler, a function or a generator, so that it raises only messages that a
    visitor may read."""
    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def generator(*args: Any, **kwargs: Any) -> Iterator[Any]:
            with _translated():
                yield from handler(*args, **kwargs)

        return generator  # type: ignore[return-value]

    @functools.wraps(handler)
    def function(*args: Any, **kwargs: Any) -> Any:
        with _translated():
            return handler(*args, **kwargs)

    return function  # type: ignore[return-value]
