"""HTTP route `GET /news`: a stream with one event for each change of what every visitor is shown.

Polling asks again and again whether anything changed; here the server says so. In: a function that
looks, and one that tells when the server ends. Out: a Starlette route. An event has no content: the
page asks for what it shows. A page that is not looked at closes its stream.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

LOOK_S = 0.5  # between two looks, however many streams there are
BREATH_S = 2.0  # between two events of a stream: a queue that moves fast redraws no page faster
ALIVE_S = 15.0  # after so much silence a comment is sent: proxies close a stream without bytes


class News:
    """How often the answer of `look` has changed, by the one event loop of the server."""

    def __init__(self, look: Callable[[], str], clock: Callable[[], float] = time.monotonic):
        self._look = look
        self._clock = clock
        self._seen, self._looked_s = "", -LOOK_S
        self._count = 0

    def count(self) -> int:
        """The number of changes up to now. Looks at most once in `LOOK_S`."""
        now_s = self._clock()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            seen = self._look()
            if seen != self._seen:
                self._seen, self._count = seen, self._count + 1
        return self._count


async def events(news: News, is_over: Callable[[], bool]) -> AsyncIterator[str]:
    """One event at once, because the page was drawn a while ago, then one for each change."""
    told, told_s, spoke_s = -1, -BREATH_S, 0.0
    while not is_over():
        now_s = time.monotonic()
        if now_s - told_s >= BREATH_S and news.count() != told:
            told, told_s, spoke_s = news.count(), now_s, now_s
            yield "data: news\n\n"
        elif now_s - spoke_s >= ALIVE_S:
            spoke_s = now_s
            yield ": nothing new\n\n"
        await asyncio.sleep(LOOK_S)


def news_route(look: Callable[[], str], is_over: Callable[[], bool]) -> Route:
    """The route. `look` describes what is shown; `is_over` is true when the server ends."""
    news = News(look)

    async def stream(_: Request) -> Response:
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(
            events(news, is_over), media_type="text/event-stream", headers=headers
        )

    return Route("/news", stream, methods=["GET"])
