"""The models of the API: every engine with every model on offer, by names such as
"faster-whisper/demo".

In: a pool. Out: names, and what a name means. `whisper-1`, the name in OpenAI's examples, is our
engine with the default model.
"""

from typing import Any, NamedTuple

from maxwhisper.engine import OURS
from maxwhisper.engines.pool import EnginePool
from maxwhisper.errors import quoted
from maxwhisper.web.api.errors import ApiError

DEFAULT = "whisper-1"


class Choice(NamedTuple):
    engine: str
    model: str


def choices(pool: EnginePool) -> dict[str, Choice]:
    """What each name means; an engine that cannot run here has none."""
    statuses = pool.statuses()
    engines = [name for name in pool.names if statuses[name].phase != "unavailable"]
    engines.sort(key=OURS.__ne__)  # ours first
    default = {DEFAULT: Choice(OURS, pool.default_model)} if OURS in engines else {}
    return default | {
        f"{engine}/{model}": Choice(engine, model) for engine in engines for model in pool.models
    }


def chosen(pool: EnginePool, name: str) -> Choice:
    """What `name` means. Raises `ApiError` 404."""
    found = choices(pool).get(name)
    if found is None:
        raise ApiError(
            404,
            f"There is no model {quoted(name)}. GET /v1/models lists the models.",
            param="model",
            code="model_not_found",
        )
    return found


def described(name: str, choice: Choice, created: int) -> dict[str, Any]:
    """A model as the API describes it. `created` is in seconds since the epoch."""
    return {"id": name, "object": "model", "created": created, "owned_by": choice.engine}
