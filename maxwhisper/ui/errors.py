"""What a visitor sees of an error: our own sentences, or one line that says it was logged."""

import functools
import html
import inspect
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import gradio as gr

from maxwhisper.errors import MaxWhisperError

F = TypeVar("F", bound=Callable[..., Any])

INTERNAL = "Internal error, logged on the server: try again, or tell whoever runs this page."


def in_words(error: Exception) -> str:
    """What a visitor may read of it."""
    return str(error) if isinstance(error, MaxWhisperError) else INTERNAL


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (gr.Error, GeneratorExit):
        raise
    except MaxWhisperError as error:
        # Gradio shows a message as HTML; ours may repeat what a visitor, a file or an engine said.
        raise gr.Error(html.escape(str(error), quote=False), print_exception=False) from error
    except Exception as error:
        print("page: internal error", file=sys.stderr)
        traceback.print_exc()
        raise gr.Error(INTERNAL, print_exception=False) from error


def shown_errors(handler: F) -> F:
    """Wrap an event handler, a function or a generator, so that only safe texts leave it."""
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
