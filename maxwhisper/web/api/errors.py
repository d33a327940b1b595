"""Errors of the API: what went wrong as a status and a document in OpenAI's shape.

In: an exception of the library or the server. Out: an `ApiError`. An internal error is logged and
says nothing of itself.
"""

import logging

from starlette.responses import JSONResponse, Response

from maxwhisper.engines.status import RunCancelled
from maxwhisper.errors import (
    AudioError,
    CheckpointError,
    EngineUnavailable,
    MaxWhisperError,
    OptionError,
    OutputError,
)
from maxwhisper.web.server.asgi import error_document, retry_after
from maxwhisper.web.server.fair_use import LimitExceeded
from maxwhisper.web.server.queue import QueueFull

INTERNAL = "Internal error, logged on the server."
BUSY = (QueueFull, OutputError, EngineUnavailable, CheckpointError)  # may be over in a while
log = logging.getLogger(__name__)


class ApiError(Exception):
    """An answer with `status`. `param` is the field that is wrong, `code` a stable name."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.retry_s = status, retry_s
        self.document = error_document(status, message, param, code)
        self.code = code or "error"

    def response(self) -> Response:
        headers = {"cache-control": "no-store", **retry_after(self.status, self.retry_s)}
        if self.status == 401:
            headers["www-authenticate"] = "Bearer"
        return JSONResponse(self.document, status_code=self.status, headers=headers)


def api_error(error: BaseException) -> ApiError:
    """What a client is told of `error`."""
    text = str(error)
    if isinstance(error, ApiError):
        return error
    if isinstance(error, AudioError):
        status = 413 if error.code == "too_long" else 400
        return ApiError(status, text, param="file", code=error.code)
    if isinstance(error, OptionError):
        return ApiError(400, text, code="invalid_value")
    if isinstance(error, BUSY):
        return ApiError(503, text, code="unavailable")
    if isinstance(error, LimitExceeded):
        return ApiError(429, text, code="rate_limit_exceeded", retry_s=error.retry_s)
    if isinstance(error, RunCancelled):
        return ApiError(503, "This request was interrupted. Send it again.", code="interrupted")
    if isinstance(error, MaxWhisperError):  # a network that returned NaN
        return ApiError(500, text, code="failed")
    log.error("internal error", exc_info=error)
    return ApiError(500, INTERNAL, code="internal_error")
