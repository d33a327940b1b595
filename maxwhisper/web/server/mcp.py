"""The Model Context Protocol over HTTP: `POST /gradio_api/mcp`, one JSON-RPC message in, one out.

Gradio's own server of this protocol calls the page back from this machine, where no limit of a
visitor holds, and fetches any address that an argument names. Here a tool runs for the visitor who
asked. In: tools. Out: a Starlette route. It keeps no session, so any answer may come from any
server. Source: the specification of 2025-06-18, "Streamable HTTP", without the optional stream of
the server's own messages. Must not know what the tools do.
"""

import json
import logging
from collections.abc import AsyncIterator, Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from maxwhisper.errors import MaxWhisperError, quoted
from maxwhisper.web.server.queue import MAX_WAITING

log = logging.getLogger(__name__)

ADDRESS = "/gradio_api/mcp"  # where clients of a gradio page look for it
VERSIONS = ("2025-11-25", "2025-06-18", "2025-03-26")  # of the protocol; the same for these methods
# Threads for calls. Everyone in the queue of the device, or of a download, has one of their own.
# The server's own 40 threads open the page and must stay free.
MAX_CALLS = 2 * (MAX_WAITING + 1)
_INVALID_REQUEST, _NO_METHOD, _INVALID_PARAMS = -32600, -32601, -32602
_INTERNAL = "Internal error, logged on the server."

Arguments = Mapping[str, Any]
Steps = Generator[str | dict[str, Any]]
Call = Callable[[Arguments, str], Steps]


@dataclass(frozen=True)
class Tool:
    """What an agent may do. `call(arguments, visitor)` yields sentences of progress, then the
    result; closing it stops the work. It raises `MaxWhisperError` with a sentence for the agent."""

    name: str
    title: str
    description: str
    arguments: Mapping[str, Any]  # {name: JSON schema}; those without a default are required
    call: Call

    def describe(self) -> dict[str, Any]:
        required = [name for name, schema in self.arguments.items() if "default" not in schema]
        return {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": {
                "type": "object",
                "properties": dict(self.arguments),
                "required": required,
                "additionalProperties": False,
            },
            "annotations": {"readOnlyHint": True, "openWorldHint": False},
        }


def mcp_routes(tools: Sequence[Tool], about: str, version: str) -> list[Route]:
    """The route, with and without a slash. `about` tells an agent what the server is for."""
    by_name = {tool.name: tool for tool in tools}
    threads = CapacityLimiter(MAX_CALLS)

    async def answer(request: Request) -> Response:
        message = json.loads(await request.body())  # the perimeter has refused what is no JSON
        if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
            return _error(None, _INVALID_REQUEST, "expected one JSON-RPC 2.0 message")
        method, number = message.get("method"), message.get("id")
        if number is None or not isinstance(method, str):
            return Response(status_code=202)  # a notification, or an answer: nothing is to be said
        params = message.get("params") or {}
        if not isinstance(params, dict):
            return _error(number, _INVALID_PARAMS, "expected params as an object")
        if method == "initialize":
            return _result(number, _greeting(params, about, version))
        if method == "ping":
            return _result(number, {})
        if method == "tools/list":
            return _result(number, {"tools": [tool.describe() for tool in tools]})
        if method != "tools/call":
            return _error(number, _NO_METHOD, f"there is no method {quoted(method)}")
        tool, arguments = by_name.get(str(params.get("name"))), params.get("arguments") or {}
        if tool is None or not isinstance(arguments, dict):
            names = ", ".join(by_name)
            return _error(number, _INVALID_PARAMS, f"expected a tool and arguments: {names}")
        steps = tool.call(arguments, request.client.host if request.client else "")
        return _stream(steps, message, threads)

    return [Route(address, answer, methods=["POST"]) for address in (ADDRESS, f"{ADDRESS}/")]


def _greeting(params: Arguments, about: str, version: str) -> dict[str, Any]:
    asked = params.get("protocolVersion")
    return {
        "protocolVersion": asked if asked in VERSIONS else VERSIONS[0],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "maxwhisper", "version": version},
        "instructions": about,
    }


def _stream(steps: Steps, message: Arguments, threads: CapacityLimiter) -> Response:
    """Run the tool that `message` called. The answer is a stream of events, as every client reads
    it: progress for those who ask for it, comments for the others, so that no proxy ends a long
    call."""
    meta = message["params"].get("_meta")
    token = meta.get("progressToken") if isinstance(meta, dict) else None

    async def events() -> AsyncIterator[str]:
        n_told = 0
        try:
            while True:
                step = await to_thread.run_sync(_next, steps, limiter=threads)
                if isinstance(step, dict):
                    break
                n_told += 1
                if token is None:
                    yield f": {step}\n\n"
                else:
                    yield _event(_progress(token, n_told, step))
            yield _event({"jsonrpc": "2.0", "id": message["id"], "result": step})
        finally:
            steps.close()  # without a wait, which a connection that is gone would cut short

    return StreamingResponse(
        events(), media_type="text/event-stream", headers={"cache-control": "no-store"}
    )


def _next(steps: Steps) -> str | dict[str, Any]:
    """A sentence of progress, or the result of the call, which may be an error."""
    try:
        step = next(steps)
    except MaxWhisperError as error:
        return _content(str(error), is_error=True)
    except Exception:
        log.exception("internal error in a tool")
        return _content(_INTERNAL, is_error=True)
    if isinstance(step, str):
        return step
    return {**_content(json.dumps(step, ensure_ascii=False)), "structuredContent": step}


def _content(text: str, *, is_error: bool = False) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": is_error}


def _progress(token: Any, n_told: int, sentence: str) -> dict[str, Any]:
    params = {"progressToken": token, "progress": n_told, "message": sentence}
    return {"jsonrpc": "2.0", "method": "notifications/progress", "params": params}


def _event(message: Arguments) -> str:
    return f"event: message\ndata: {json.dumps(message)}\n\n"


def _result(number: Any, result: Arguments) -> Response:
    return JSONResponse({"jsonrpc": "2.0", "id": number, "result": result})


def _error(number: Any, code: int, text: str) -> Response:
    error = {"code": code, "message": text}
    return JSONResponse({"jsonrpc": "2.0", "id": number, "error": error}, status_code=200)
