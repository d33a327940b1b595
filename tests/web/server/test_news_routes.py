"""The stream of news: one event for each change, silence in between, and an end with the server."""

import asyncio
import itertools

import pytest

from maxwhisper.web.server import news_routes
from maxwhisper.web.server.news_routes import News, events


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(news_routes, "LOOK_S", 0.01)
    monkeypatch.setattr(news_routes, "BREATH_S", 0.02)


def heard(shown, n_looks, is_over=lambda: False):
    """What a page hears while each look in turn sees the next of `shown`, then the last."""
    looks, got = itertools.chain(shown, itertools.repeat(shown[-1])), []

    async def listen():
        news = News(lambda: next(looks))

        async def collect():
            async for event in events(news, is_over):
                got.append(event)

        await asyncio.wait([asyncio.create_task(collect())], timeout=0.02 * n_looks)

    asyncio.run(listen())
    return got


def test_a_page_is_told_once_of_how_it_stands_and_then_of_changes():
    assert heard(["ready"], 10) == ["data: news\n\n"]
    assert heard(["ready", "ready", "crashed"], 10) == ["data: news\n\n"] * 2


def test_what_changes_all_the_time_is_told_now_and_then():
    got = heard([str(i) for i in range(1000)], 10)
    assert 2 <= len(got) <= 11, "at most one in BREATH_S"


def test_silence_is_filled_so_that_no_proxy_ends_the_stream(monkeypatch):
    monkeypatch.setattr(news_routes, "ALIVE_S", 0.02)
    first, *rest = heard(["ready"], 10)
    assert first == "data: news\n\n"
    assert set(rest) == {": nothing new\n\n"}


def test_the_stream_ends_with_the_server():
    over = itertools.chain([False], itertools.repeat(True))
    assert heard(["ready"], 10, lambda: next(over)) == ["data: news\n\n"]


def test_many_streams_look_as_often_as_one():
    looked, now_s = [], [0.0]
    news = News(lambda: looked.append(1) or "", clock=lambda: now_s[0])
    for now_s[0] in (0.0, 0.0, 0.004, 0.012, 0.012):
        news.count()
    assert len(looked) == 2
