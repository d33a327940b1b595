"""`/gradio_api/upload` in place of gradio's route: a request stores one recording, or nothing.

Gradio's route accepts a thousand files at once, holds every other field in memory and leaves the
part file of a request that is cut off; its route for the progress keeps every name that is asked
for. In: a multipart form. Out: the path of the stored file, and its progress, as gradio answers.
"""

import asyncio
import contextlib
import errno
import json
import logging
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from gradio.route_utils import (
    FileUploadProgressNotQueuedError,
    FileUploadProgressNotTrackedError,
    GradioMultiPartParser,
    GradioUploadFile,
)
from gradio.routes import file_upload_statuses
from gradio_client.utils import strip_invalid_filename_characters
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from maxwhisper.web.server.fair_use import LimitExceeded
from maxwhisper.web.server.perimeter import MAX_UPLOAD_BYTES
from maxwhisper.web.server.uploads import MAX_FILE_MB, NO_ROOM, NoRoom, Uploads
from maxwhisper.web.server.visitor import UNKNOWN

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PROGRESS_ID = re.compile(r"[A-Za-z0-9]{1,64}")
_PROGRESS_EVERY_S = 0.1
_PROGRESS_WAIT_S = 3.0  # for an upload that was not begun, and to tell of one that has ended
_NOT_ONE_FILE = "Expected a form with one file in the field “files”, and nothing else."
log = logging.getLogger(__name__)


def upload_routes(uploads: Uploads, register: Callable[[str], None]) -> list[Route]:
    """The routes; `register` gets each stored path, because gradio opens registered files only."""

    async def answer(request: Request) -> Response:
        announced = int(request.headers.get("content-length", MAX_UPLOAD_BYTES))
        if announced > MAX_UPLOAD_BYTES:
            return _refusal(413, f"This file is too large. Choose one of at most {MAX_FILE_MB} MB.")
        visitor = request.client.host if request.client else UNKNOWN
        try:
            with uploads.reserve(announced, visitor):
                stored = await _store(request, uploads.root)
                uploads.sent(Path(stored), visitor)
        except LimitExceeded as error:
            return JSONResponse({"detail": str(error)}, 429)  # the page shows the `detail`
        except NoRoom as error:
            return _refusal(507, str(error))
        except MultiPartException as error:
            return _refusal(413 if "maximum allowed size" in error.message else 400, error.message)
        except ClientDisconnect:
            return _refusal(400, "The upload ended early.")  # nobody reads it
        register(stored)
        return JSONResponse([stored])

    async def tell(request: Request) -> Response:
        upload_id = request.query_params.get("upload_id", "")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _PROGRESS_WAIT_S
        while not _is_tracked(upload_id):
            if loop.time() > deadline or await request.is_disconnected():
                return _refusal(404, "Upload not found")
            await asyncio.sleep(_PROGRESS_EVERY_S)
        return StreamingResponse(_progress(upload_id), media_type="text/event-stream")

    return [
        Route("/gradio_api/upload", answer, methods=["POST"]),
        Route("/gradio_api/upload_progress", tell, methods=["GET"]),
    ]


def _is_tracked(upload_id: str) -> bool:
    try:
        file_upload_statuses.is_done(upload_id)
    except FileUploadProgressNotTrackedError:
        return False
    return True


async def _progress(upload_id: str) -> AsyncIterator[str]:
    """Events until the upload has ended."""
    with contextlib.suppress(FileUploadProgressNotTrackedError):
        while not file_upload_statuses.is_done(upload_id):
            try:
                part = file_upload_statuses.pop(upload_id)
            except FileUploadProgressNotQueuedError:
                await asyncio.sleep(_PROGRESS_EVERY_S)
                continue
            event = {"msg": "update", "orig_name": part.filename, "chunk_size": part.chunk_size}
            yield f"data: {json.dumps(event)}\n\n"
        yield f"data: {json.dumps({'msg': 'done'})}\n\n"


def _refusal(status: int, text: str) -> Response:
    return PlainTextResponse(text, status_code=status, headers={"cache-control": "no-store"})


async def _store(request: Request, root: Path) -> str:
    """Store the file of a form and return its path. Raises `NoRoom`, `MultiPartException` for any
    other form, `ClientDisconnect`, and what the request's limits raise."""
    form = _OneFile(request, root)
    try:
        return await form.store()
    except OSError as error:
        if error.errno not in _FULL:
            raise
        log.error("cannot store an upload: %s", error)
        raise NoRoom(NO_ROOM) from None
    finally:
        form.discard_part()


class _OneFile(GradioMultiPartParser):
    """Gradio's parser for a form of one file."""

    def __init__(self, request: Request, root: Path) -> None:
        upload_id = request.query_params.get("upload_id", "")
        is_tracked = _PROGRESS_ID.fullmatch(upload_id) is not None
        super().__init__(
            request.headers,
            request.stream(),
            max_files=1,
            max_fields=0,
            upload_dir=root,
            upload_id=upload_id,
            upload_progress=file_upload_statuses if is_tracked else None,
            max_file_size=MAX_FILE_MB * 1024 * 1024,
        )
        self._root = root
        self._is_complete = False

    def on_end(self) -> None:
        self._is_complete = True

    async def store(self) -> str:
        """Read the whole form, then move its file to gradio's name for it: hash and file name."""
        if not self.headers.get("content-type", "").startswith("multipart/form-data"):
            raise MultiPartException(_NOT_ONE_FILE)
        if self.upload_progress is not None:
            self.upload_progress.track(str(self.upload_id))
        form = await self.parse()
        sent = form.get("files")
        if not self._is_complete or not isinstance(sent, GradioUploadFile):
            raise MultiPartException(_NOT_ONE_FILE)
        name = strip_invalid_filename_characters(Path(sent.filename or "recording").name)
        folder = self._root / sent.sha.hexdigest()
        sent.file.close()  # writes what is buffered
        try:
            stored = folder / ("recording" if name in ("", ".", "..") else name)
            folder.mkdir(exist_ok=True)
            os.rename(sent.file.name, stored)
        except (ValueError, OSError):  # ValueError: a name that is no text
            with contextlib.suppress(OSError):
                folder.rmdir()
            raise
        return str(stored)

    def discard_part(self) -> None:
        """Delete the part file, unless it was moved; end the progress."""
        for file in self._files_to_close_on_error:
            with contextlib.suppress(OSError):  # the buffered end does not fit on a full disk
                file.close()
            Path(file.name).unlink(missing_ok=True)
        if self.upload_progress is not None:
            self.upload_progress.set_done(str(self.upload_id))
            asyncio.get_running_loop().call_later(
                _PROGRESS_WAIT_S, self.upload_progress.stop_tracking, str(self.upload_id)
            )
