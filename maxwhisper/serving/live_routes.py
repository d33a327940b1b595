"""What a microphone records, over HTTP: `POST /live/<token>?rate=48000`, raw 16-bit samples.

Gradio's own streaming of a microphone forgets a chunk when the next one comes before it was read;
here the browser sends one after the other and none is lost. In: a desk. Out: a Starlette route. The
perimeter bounds the bodies. Every answer is 200 and one word, so that an ending is no error.
"""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from maxwhisper.errors import AudioError
from maxwhisper.serving.live import LiveDesk


def live_route(desk: LiveDesk) -> Route:
    """The route. It says "listening", "over", or "unknown" while no such session is open."""

    async def hear(request: Request) -> Response:
        session = desk.by_token(request.path_params["token"])
        if session is None:
            return _say("unknown")
        pcm, rate = await request.body(), request.query_params.get("rate", "")
        try:
            if pcm and not session.is_over:
                session.hear(pcm, _hertz(rate))
        except AudioError as error:
            session.stop(str(error))
        return _say("over" if session.is_complete else "listening")

    return Route("/live/{token}", hear, methods=["POST"])


def _hertz(text: str) -> int:
    """A rate; 0, which is refused in words, for what is no number or far too long for one."""
    return int(text) if text.isdecimal() and len(text) < 10 else 0


def _say(word: str) -> Response:
    return PlainTextResponse(word, headers={"cache-control": "no-store"})
