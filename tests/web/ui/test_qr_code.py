"""The QR code: of the address the visitor came by, and of nothing else that was sent."""

import pytest

from maxwhisper.web.ui.qr_code import address_of, share_html


@pytest.mark.parametrize(
    ("referer", "address"),
    [
        ("https://race.example/demo/?judge=1#top", "https://race.example/demo/"),
        ("http://192.0.2.7:7860/", "http://192.0.2.7:7860/"),
        ("javascript:alert(1)", ""),
        ("https:///nowhere", ""),
        (f"https://race.example/{'x' * 300}", ""),
        ("", ""),
    ],
)
def test_address_comes_from_the_visitors_browser(referer, address):
    assert address_of({"referer": referer}) == address


def test_dialog_has_a_named_picture_and_the_address_in_words():
    page = share_html("https://race.example/demo/")
    assert '<svg role="img" aria-label="QR code of https://race.example/demo/"' in page
    assert ">https://race.example/demo/</a>" in page
    assert "only on this machine" not in page


def test_local_address_is_marked_and_a_missing_one_explained():
    assert "only on this machine" in share_html("http://127.0.0.1:7860/")
    assert "<svg" not in share_html("")
    assert "does not send" in share_html("")


def test_address_is_escaped():
    evil = 'https://race.example/"><img src=x>'
    assert "<img" not in share_html(address_of({"referer": evil}))
