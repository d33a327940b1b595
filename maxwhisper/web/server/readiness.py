"""`/readyz`: 200 while our engine is warm and answers, 503 with the reasons else.

In: a pool. Out: a Starlette route. An idle engine that stops answering loses its state "ready"
within 20 s: its supervisor asks it for a sign of life. The perimeter answers `/healthz`, which only
says that the server runs.
"""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from maxwhisper.engine import OURS
from maxwhisper.engines.pool import EnginePool


def ready_route(pool: EnginePool) -> Route:
    """The route; the answer has one line for each engine, with its phase and detail."""

    async def answer(_: Request) -> Response:
        statuses = pool.statuses()
        lines = [
            f"{name}: {status.phase}" + (f", {status.detail}" if status.detail else "")
            for name, status in statuses.items()
        ]
        # The page is useful without the other engines.
        is_ready = OURS in statuses and statuses[OURS].phase == "ready"
        return PlainTextResponse(
            "\n".join(lines),
            status_code=200 if is_ready else 503,
            headers={"cache-control": "no-store"},
        )

    return Route("/readyz", answer, methods=["GET"])
