"""The routes of the API: `/v1/audio/transcriptions`, `/v1/audio/translations`, `/v1/models`, and
`/metrics`.

In: a `Transcriber`, settings, metrics. Out: Starlette routes. A client that leaves stops its work.
The log has one line of JSON for each recording, without transcripts, file names or keys.
"""

import json
import logging
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from maxwhisper.transcript import Segment
from maxwhisper.web.api import formats
from maxwhisper.web.api.catalogue import Choice, choices, chosen, described
from maxwhisper.web.api.errors import ApiError, api_error
from maxwhisper.web.api.form import Asked, asked, received, stored
from maxwhisper.web.api.metrics import CONTENT_TYPE, Metrics
from maxwhisper.web.api.settings import ApiSettings
from maxwhisper.web.api.steps import steps_of
from maxwhisper.web.server.asgi import Refusal
from maxwhisper.web.server.transcriber import Emit, Job, Transcribed, Transcriber

_MODELS = "/v1/models"
LEFT = 499  # nginx's status of a client that has left; nobody reads it
log = logging.getLogger(__name__)

Steps = AsyncGenerator[str | Segment | Transcribed | None]


@dataclass(frozen=True)
class Work:
    """A recording to transcribe, in steps."""

    asked: Asked
    choice: Choice
    steps: Steps


class Api:
    """The handlers of the routes."""

    def __init__(self, transcriber: Transcriber, settings: ApiSettings, metrics: Metrics) -> None:
        self._transcriber, self._settings, self._metrics = transcriber, settings, metrics
        self._created = int(time.time())  # of every model: when this server began to offer it

    async def transcriptions(self, request: Request) -> Response:
        return await self._answer(request, "transcribe")

    async def translations(self, request: Request) -> Response:
        return await self._answer(request, "translate")

    async def models(self, request: Request) -> Response:
        try:
            self._check_key(request)
        except ApiError as error:
            return self._failed(request, error)
        found = choices(self._transcriber.pool)
        data = [described(name, choice, self._created) for name, choice in found.items()]
        return JSONResponse({"object": "list", "data": data}, headers=formats.NOT_KEPT)

    async def model(self, request: Request) -> Response:
        name = request.path_params["name"]
        try:
            self._check_key(request)
            choice = chosen(self._transcriber.pool, name)
        except ApiError as error:
            return self._failed(request, error)
        return JSONResponse(described(name, choice, self._created), headers=formats.NOT_KEPT)

    async def metrics(self, request: Request) -> Response:
        if not self._settings.may_read_metrics(_visitor(request)):
            return Response("for this machine only", 403, media_type="text/plain")
        return Response(self._metrics.text(), headers={"content-type": CONTENT_TYPE})

    def _check_key(self, request: Request) -> None:
        self._settings.check_key(request.headers.get("authorization", ""))

    async def _answer(self, request: Request, task: str) -> Response:
        work: Work | None = None
        try:
            self._check_key(request)
            work = await self._work(request, task)
            if work.asked.is_stream:
                return await self._stream(request, work)
            async with aclosing(work.steps):
                done = await self._finished(request, work.steps)
            self._done(request, work, done)
            return formats.answer(done.timed.transcript, work.asked)
        except Refusal:  # of the perimeter, which answers it
            raise
        except Exception as error:
            return self._failed(request, error, work)

    async def _work(self, request: Request, task: str) -> Work:
        """What a request asks for, its recording stored and checked. Raises what `api_error`
        knows."""
        uploads = self._transcriber.uploads
        async with received(request) as form:
            wish = asked(form, task)
            choice = chosen(self._transcriber.pool, wish.model)
            path = await stored(form, uploads, _visitor(request))
        job = Job(
            path=path,
            is_upload=True,
            engine=choice.engine,
            model=choice.model,
            options=wish.options,
            visitor=_visitor(request),
            is_alone=wish.is_stream,
        )

        def run(emit: Emit, cancelled: threading.Event) -> Transcribed:
            try:
                return self._transcriber.run(job, emit, cancelled)
            finally:
                uploads.forget(path)
                uploads.delete(path)

        return Work(wish, choice, steps_of(run))

    async def _finished(self, request: Request, steps: Steps) -> Transcribed:
        """The last step. Raises `ApiError` if the client has left."""
        async for step in steps:
            if isinstance(step, Transcribed):
                return step
            if await request.is_disconnected():
                break
        raise ApiError(LEFT, "The client has left.", code="client_left")

    async def _stream(self, request: Request, work: Work) -> Response:
        """Events, once the recording has a place in the queue: until then an error is a status."""
        while (first := await anext(work.steps)) is None:
            if await request.is_disconnected():
                await work.steps.aclose()
                raise ApiError(LEFT, "The client has left.", code="client_left")
        return StreamingResponse(
            self._events(request, work, first),
            media_type="text/event-stream",
            headers={**formats.NOT_KEPT, "x-accel-buffering": "no"},
        )

    async def _events(
        self, request: Request, work: Work, first: str | Segment | Transcribed
    ) -> AsyncIterator[str]:
        """A delta for each segment and the whole text last; comments meanwhile, so that no proxy
        ends the stream."""
        step: str | Segment | Transcribed | None = first
        n_segments = 0
        async with aclosing(work.steps):
            try:
                while not isinstance(step, Transcribed):
                    if isinstance(step, Segment):
                        yield formats.delta(step, is_first=n_segments == 0)
                        n_segments += 1
                    else:
                        yield f": {step or 'working'}\n\n"
                    step = await anext(work.steps)
                self._done(request, work, step)
                yield formats.done(step.timed.transcript)
            except Exception as error:
                told = self._told(request, error, work)
                yield formats.event({"type": "error", **told.document})

    def _done(self, request: Request, work: Work, done: Transcribed) -> None:
        """Count and log a transcript."""
        self._metrics.transcribed(work.choice.engine, done)
        self._log(
            request,
            work,
            status=200,
            audio_s=round(done.timed.transcript.duration, 3),
            seconds=round(done.timed.seconds, 3),
            wait_s=round(done.wait_s, 3),
            together=done.n_together,
        )

    def _failed(self, request: Request, error: Exception, work: Work | None = None) -> Response:
        """The answer for an error, which is counted and logged."""
        return self._told(request, error, work).response()

    def _told(self, request: Request, error: Exception, work: Work | None) -> ApiError:
        told = api_error(error)
        self._metrics.failed(told.code)
        self._log(request, work, status=told.status, error=told.code)
        return told

    def _log(self, request: Request, work: Work | None, **what: Any) -> None:
        path = request.scope["path"]
        line: dict[str, Any] = {"path": _MODELS if path.startswith(_MODELS) else path}
        if work is not None:
            line |= {"engine": work.choice.engine, "model": work.choice.model}
        log.info("%s", json.dumps(line | what))


def _visitor(request: Request) -> str:
    return request.client.host if request.client else ""


def api_routes(api: Api) -> list[Route]:
    return [
        Route("/v1/audio/transcriptions", api.transcriptions, methods=["POST"]),
        Route("/v1/audio/translations", api.translations, methods=["POST"]),
        Route(_MODELS, api.models, methods=["GET"]),
        Route(f"{_MODELS}/{{name:path}}", api.model, methods=["GET"]),
        Route("/metrics", api.metrics, methods=["GET"]),
    ]
