"""The files of kept runs over HTTP: `/runs/<id>/run.zip` and `audio.flac`. Their addresses outlive
every session.

In: a store. Out: Starlette routes. The perimeter lets nothing else of this kind through.
"""

import sys

from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route

from maxwhisper.serving.runs import AUDIO_NAME, ZIP_NAME, RunNotFound, RunStore


def run_routes(store: RunStore) -> list[Route]:
    """Routes for the ZIP and the recording of every run in `store`."""

    def send_zip(request: Request) -> Response:  # not async: packing takes a moment, in a thread
        run_id = request.path_params["run_id"]
        try:
            packed = store.zip_path(run_id)
        except RunNotFound as error:
            return PlainTextResponse(str(error), status_code=404)
        except OSError as error:
            print(f"page: no ZIP: {error}", file=sys.stderr)
            reason = f"the server cannot pack this now ({error.strerror or 'it cannot write'})"
            return PlainTextResponse(reason, status_code=507)
        return FileResponse(
            packed, filename=f"maxwhisper-{run_id}.zip", headers={"cache-control": "no-store"}
        )

    def send_audio(request: Request) -> Response:
        try:
            audio = store.audio_path(request.path_params["run_id"])
        except RunNotFound as error:
            return PlainTextResponse(str(error), status_code=404)
        # Kept by the browser: it asks again for every part a visitor jumps to.
        return FileResponse(audio, media_type="audio/flac", headers={"cache-control": "private"})

    return [
        Route(f"/runs/{{run_id}}/{ZIP_NAME}", send_zip, methods=["GET"]),
        Route(f"/runs/{{run_id}}/{AUDIO_NAME}", send_audio, methods=["GET"]),
    ]
