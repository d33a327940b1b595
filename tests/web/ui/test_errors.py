"""What a visitor sees of an error: our own words, as text, and nothing of the server."""

import gradio as gr
import pytest

from maxwhisper.errors import OptionError
from maxwhisper.web.ui.errors import INTERNAL, public_message, shown_errors

EVIL = "<img src=x onerror=alert(1)>"


@shown_errors
def function(error):
    raise error


@shown_errors
def generator(error):
    yield 1
    raise error


@pytest.mark.parametrize("handler", [function, lambda error: list(generator(error))])
def test_a_message_is_text_though_gradio_shows_it_as_html(handler):
    with pytest.raises(gr.Error) as shown:
        handler(OptionError(f"expected a language, got {EVIL!r}"))
    assert "<img" not in shown.value.message
    assert "got '&lt;img" in shown.value.message, "quotes stay as they are, for programs"


def test_a_bug_is_logged_and_its_text_stays_here(caplog):
    with pytest.raises(gr.Error) as shown:
        function(KeyError("/secret/path"))
    assert shown.value.message == INTERNAL == public_message(KeyError("/secret/path"))
    assert "Try again" in INTERNAL
    assert "/secret/path" in caplog.text
