"""HTTP route for microphone audio: `POST /live/<token>?rate=48000` with raw 16-bit samples.

Gradio's own microphone streaming drops a chunk if the next one arrives before it was read. Here the
browser sends one chunk after the other, and none is lost. `&end=1` says that the microphone is off.
In: a desk. Out: a Starlette route. The perimeter limits the bodies. Every answer is 200 and one
word: the end of a session is not an error.
"""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from maxwhisper.errors import AudioError
from maxwhisper.web.server.live_desk import LiveDesk


def live_route(desk: LiveDesk) -> Route:
    """The route. It answers "line" while the session waits in line, "listening", "over", or
    "unknown" for a token without a session."""

    async def receive(request: Request) -> Response:
        session = desk.by_token(request.path_params["token"])
        if session is None:
            return _answer("unknown")
        session.touch()
        pcm, rate = await request.body(), request.query_params.get("rate", "")
        try:
            if pcm and not session.is_over:
                session.feed_pcm(pcm, _hertz(rate))
        except AudioError as error:
            session.stop(str(error))
        if "end" in request.query_params:
            session.finish()
        if session.is_complete:
            return _answer("over")
        return _answer("line" if session.view.phase == "in line" else "listening")

    return Route("/live/{token}", receive, methods=["POST"])


def _hertz(text: str) -> int:
    """A sample rate; 0, which the session refuses, for text that is not a reasonable number."""
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _answer(word: str) -> Response:
    return PlainTextResponse(word, headers={"cache-control": "no-store"})
