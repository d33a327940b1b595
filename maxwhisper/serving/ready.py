"""`/readyz`: may traffic be sent here? 200 once our engine is warm, 503 with the reasons before.

In: a pool. Out: a Starlette route. `/healthz`, which the perimeter answers, says only that the page
itself is up.
"""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from maxwhisper.engine import OURS
from maxwhisper.serving.pool import EnginePool


def ready_route(pool: EnginePool) -> Route:
    """The route; one line for each engine, its phase and what it waits for."""

    async def answer(_: Request) -> Response:
        statuses = pool.statuses()
        lines = [
            f"{name}: {status.phase}" + (f", {status.detail}" if status.detail else "")
            for name, status in statuses.items()
        ]
        # The page is worth a visit without the others.
        is_ready = OURS in statuses and statuses[OURS].phase == "ready"
        return PlainTextResponse(
            "\n".join(lines),
            status_code=200 if is_ready else 503,
            headers={"cache-control": "no-store"},
        )

    return Route("/readyz", answer, methods=["GET"])
