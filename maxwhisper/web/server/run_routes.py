"""HTTP routes for the files of stored runs: `/runs/<id>/run.zip` and `audio.flac`. They work
without a session.

In: a store. Out: Starlette routes. The perimeter allows no other path below `/runs`.
"""

import logging

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from maxwhisper.web.server.run_store import AUDIO_NAME, ZIP_NAME, RunNotFound, RunStore

log = logging.getLogger(__name__)


def run_routes(store: RunStore) -> list[Route]:
    """Routes for the ZIP and the recording of every run in `store`."""

    def send_zip(request: Request) -> Response:  # not async: Starlette packs it in a thread
        run_id = request.path_params["run_id"]
        try:
            packed = store.zip_path(run_id)
        except RunNotFound as error:
            return PlainTextResponse(str(error), status_code=404)
        except OSError as error:
            log.error("cannot write the ZIP of run %s: %s", run_id, error)
            reason = error.strerror or "the disk cannot be written to"
            return PlainTextResponse(f"The ZIP cannot be made now: {reason}.", status_code=507)
        return FileResponse(
            packed, filename=f"maxwhisper-{run_id}.zip", headers={"cache-control": "no-store"}
        )

    def send_audio(request: Request) -> Response:
        try:
            audio = store.audio_path(request.path_params["run_id"])
        except RunNotFound as error:
            return PlainTextResponse(str(error), status_code=404)
        # The browser may cache it: it requests a range for every jump in the recording.
        return FileResponse(audio, media_type="audio/flac", headers={"cache-control": "private"})

    return [
        Route(f"/runs/{{run_id}}/{ZIP_NAME}", send_zip, methods=["GET"]),
        Route(f"/runs/{{run_id}}/{AUDIO_NAME}", send_audio, methods=["GET"]),
    ]
