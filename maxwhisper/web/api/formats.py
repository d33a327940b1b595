"""A transcript as OpenAI's API answers it: one of five formats, or events of a stream.

In: a transcript and what was asked for. Out: responses and events.
"""

import json
from typing import Any

from starlette.responses import JSONResponse, PlainTextResponse, Response

from maxwhisper.text.writers import render, verbose_json
from maxwhisper.transcript import Segment, Transcript
from maxwhisper.web.api.form import Asked

NOT_KEPT = {"cache-control": "no-store"}


def answer(transcript: Transcript, asked: Asked) -> Response:
    """The whole transcript in the format that was asked for."""
    text = transcript.text.strip()
    match asked.output_format:
        case "json":
            return JSONResponse({"text": text, "usage": _usage(transcript)}, headers=NOT_KEPT)
        case "verbose_json":
            document = verbose_json(transcript, asked.options) | {"usage": _usage(transcript)}
            if "segment" not in asked.granularities:
                del document["segments"]
            return JSONResponse(document, headers=NOT_KEPT)
        case "text":
            return PlainTextResponse(f"{text}\n", headers=NOT_KEPT)
    return PlainTextResponse(
        render(transcript, asked.output_format, asked.options), headers=NOT_KEPT
    )


def delta(segment: Segment, is_first: bool) -> str:
    """The event of a segment: the deltas together are the text."""
    text = segment.text.lstrip() if is_first else segment.text
    return event({"type": "transcript.text.delta", "delta": text})


def done(transcript: Transcript) -> str:
    """The last event."""
    return event({"type": "transcript.text.done", "text": transcript.text.strip()})


def event(document: dict[str, Any]) -> str:
    """A server-sent event, as OpenAI's: without a name."""
    return f"data: {json.dumps(document, ensure_ascii=False)}\n\n"


def _usage(transcript: Transcript) -> dict[str, Any]:
    """What OpenAI bills: seconds of audio."""
    return {"type": "duration", "seconds": round(transcript.duration, 3)}
