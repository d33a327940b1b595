"""The form of a request: its fields checked, its recording stored and decoded.

In: a multipart form as OpenAI's clients send it. Out: an `Asked`. Types, ranges and choices of
values are those of `maxwhisper.options`.
"""

import contextlib
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect, Request

from maxwhisper.errors import OptionError, or_nearest, quoted
from maxwhisper.options import TranscribeOptions
from maxwhisper.options.info import Allowed, Option, options_of
from maxwhisper.text.languages import language_code
from maxwhisper.web.api.errors import ApiError
from maxwhisper.web.server.perimeter import MAX_UPLOAD_BYTES
from maxwhisper.web.server.uploads import MAX_FILE_MB, Uploads

FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
GRANULARITIES = ("segment", "word")
MAX_FIELDS = 16
MAX_FIELD_BYTES = 64 * 1024  # a prompt has at most 224 tokens that count
_OPTIONS = options_of(TranscribeOptions)
# OpenAI's range. At 0, as without it, a window that failed is decoded again at higher temperatures.
_TEMPERATURE = replace(
    _OPTIONS["temperature"],
    kind=float,
    info=replace(_OPTIONS["temperature"].info, allowed=Allowed(minimum=0, maximum=1)),
)
_LIST = "timestamp_granularities[]"
_COMMON = ("file", "model", "prompt", "response_format", "temperature")
FIELDS = {
    "transcribe": (*_COMMON, "language", "stream", _LIST),
    "translate": _COMMON,
}


@dataclass(frozen=True)
class Asked:
    """What a form asks for, beside its recording."""

    model: str
    options: TranscribeOptions
    output_format: str = "json"
    granularities: tuple[str, ...] = ("segment",)
    is_stream: bool = False


@contextlib.asynccontextmanager
async def received(request: Request) -> AsyncIterator[FormData]:
    """The form of `request`; its file is a temporary one without a name. Raises `ApiError`."""
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > MAX_UPLOAD_BYTES:
        raise _too_large()
    if not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise ApiError(400, "Send a form: multipart/form-data with the fields file and model.")
    try:
        form = await request.form(max_files=1, max_fields=MAX_FIELDS, max_part_size=MAX_FIELD_BYTES)
    except (HTTPException, MultiPartException) as error:
        text = error.detail if isinstance(error, HTTPException) else error.message
        raise ApiError(400, f"This form cannot be read: {text}") from error
    except ClientDisconnect:
        raise ApiError(400, "The request ended early.") from None  # nobody reads it
    try:
        yield form
    finally:
        await form.close()


def asked(form: FormData, task: str) -> Asked:
    """The fields of a form for `task`, checked. Raises `ApiError` with the field that is wrong."""
    fields = _texts(form, task)
    model = fields.get("model")
    if not model:
        raise ApiError(400, "The field model is missing.", param="model", code="missing")
    output_format = fields.get("response_format") or FORMATS[0]
    _one_of("response_format", output_format, FORMATS)
    granularities = tuple(dict.fromkeys(map(str, form.getlist(_LIST)))) or GRANULARITIES[:1]
    for each in granularities:
        _one_of(_LIST, each, GRANULARITIES)
    if _LIST in fields and output_format != "verbose_json":
        raise ApiError(400, f"{_LIST} needs response_format verbose_json.", param=_LIST)
    stream = fields.get("stream") or "false"
    _one_of("stream", stream.lower(), ("true", "false"))
    is_stream = stream.lower() == "true"
    if is_stream and output_format not in ("json", "text"):
        raise ApiError(400, "A stream has response_format json or text.", param="response_format")
    options = _options(fields, task).changed({"word_timestamps": "word" in granularities})
    return Asked(model, options, output_format, granularities, is_stream)


async def stored(form: FormData, uploads: Uploads, visitor: str) -> Path:
    """The path of the recording of a form, decoded once: a bad one is refused here. Raises
    `ApiError`, `AudioError`, `NoRoom`, and `LimitExceeded` for a visitor with too many."""
    file = form.get("file")
    if not isinstance(file, UploadFile):
        raise ApiError(400, "The file is missing: the field file.", param="file", code="missing")
    size = file.size or 0
    if size > MAX_FILE_MB * 1024 * 1024:
        raise _too_large()

    def store() -> Path:
        own = uploads.adopt(uploads.store(file.file, size, visitor))
        uploads.check(own)
        return own

    file.file.seek(0)
    return await run_in_threadpool(store)


def _too_large() -> ApiError:
    text = f"The file is too large: at most {MAX_FILE_MB} MB."
    return ApiError(413, text, param="file", code="too_large")


def _texts(form: FormData, task: str) -> dict[str, str]:
    """The fields that are text; only one of them may come more than once."""
    values = defaultdict[str, list[Any]](list)
    for name, value in form.multi_items():
        values[name].append(value)
    for name, given in values.items():
        if name not in FIELDS[task]:
            hint = or_nearest(name, FIELDS[task])
            raise ApiError(400, f"Unknown field {quoted(name)}{hint}", param=name, code="unknown")
        if len(given) > 1 and name != _LIST:
            raise ApiError(400, f"Expected one field {name}, got {len(given)}.", param=name)
        if name != "file" and not all(isinstance(each, str) for each in given):
            raise ApiError(400, f"The field {name} must be text, not a file.", param=name)
    return {name: given[0] for name, given in values.items() if name != "file"}


def _options(fields: dict[str, str], task: str) -> TranscribeOptions:
    """The options of the library that the fields set; an empty field is none."""
    changes: dict[str, Any] = {"task": task}
    if fields.get("temperature"):
        temperature = _checked(_TEMPERATURE, fields["temperature"])
        if temperature:
            changes["temperature"] = temperature
    if fields.get("language"):
        changes["language"] = _checked(_OPTIONS["language"], fields["language"])
    if fields.get("prompt"):
        changes["initial_prompt"] = _checked(_OPTIONS["initial_prompt"], fields["prompt"], "prompt")
    try:
        return TranscribeOptions().changed(changes).validate()
    except OptionError as error:  # special tokens in the prompt
        text = str(error).replace("initial_prompt", "prompt")
        raise ApiError(400, text, param="prompt", code="invalid_value") from error


def _checked(option: Option, text: str, param: str = "") -> Any:
    """The value of an option, given as text. Raises `ApiError`."""
    param = param or option.name
    try:
        value: Any = float(text) if option.kind is float else text
        replace(option, name=param).check(value)
        return language_code(value) if option.name == "language" else value
    except ValueError as error:  # an `OptionError` is one
        text = str(error) if isinstance(error, OptionError) else f"{param} must be a number"
        raise ApiError(400, text, param=param, code="invalid_value") from error


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        text = f"{name} must be one of {', '.join(allowed)}, got {quoted(value)}"
        raise ApiError(400, text, param=name, code="invalid_value")
