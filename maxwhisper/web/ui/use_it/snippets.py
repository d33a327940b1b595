"""Code that repeats a race elsewhere: Python, command line, HTTP, MCP, benchmark.

In: options, a model, a file. Out: program text with the options that differ from the defaults.
"""

import json
import shlex
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from maxwhisper.options import GREEDY, TranscribeOptions
from maxwhisper.web.server.mcp import ADDRESS

_DEFAULTS = TranscribeOptions()
PAGE = "http://127.0.0.1:7860"  # `use_it.js` writes the visitor's address in its place
_WIDTH = 68  # characters of a line; longer calls and commands are split


def changed_options(
    options: TranscribeOptions, defaults: TranscribeOptions = _DEFAULTS
) -> dict[str, Any]:
    """The options that differ from `defaults`."""
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    return {name: value for name, value in values.items() if value != getattr(defaults, name)}


def python_lines(model: str, file: str, options: TranscribeOptions) -> str:
    """A program that transcribes `file` with these options."""
    arguments = [repr(file), *(f"{n}={v!r}" for n, v in changed_options(options).items())]
    call = f"result = model.transcribe({', '.join(arguments)})"
    if len(call) > _WIDTH:
        listed = "".join(f"    {argument},\n" for argument in arguments)
        call = f"result = model.transcribe(\n{listed})"
    return (
        "import maxwhisper\n\n"
        f"model = maxwhisper.load({model!r})\n"
        f"{call}\n"
        "for segment in result.segments:\n"
        '    print(f"{segment.start:7.2f} {segment.end:7.2f} {segment.text}")'
    )


def command_line(engine: str, model: str, file: str, options: TranscribeOptions) -> str:
    """A command that transcribes `file` with these options on any engine."""
    flags = [f"--{name}={_flag_text(value)}" for name, value in changed_options(options).items()]
    return _lines("transcribe", file, [f"--engine={engine}", f"--model={model}", *flags])


def http_lines(model: str, file: str, rounds: int, options: TranscribeOptions) -> str:
    """Shell commands that run the whole race on a page like this one: upload the file, start, then
    read the progress and the result as JSON. The default of a race is greedy decoding."""
    named = {n: v for n, v in changed_options(options, GREEDY).items() if n != "language"}
    arguments = json.dumps([model, options.language or "", "", rounds, True, named])
    before = '{"data": [{"path": "'
    after = '", "meta": {"_type": "gradio.FileData"}}, ' + f"{arguments.removeprefix('[')}}}"
    body = f'{shlex.quote(before)}"$FILE"{shlex.quote(after)}'
    sent = shlex.quote(f"files=@{file}")
    return (
        f"PAGE='{PAGE}'  # the address of the page\n"
        f"FILE=$(curl -s -F {sent} $PAGE/gradio_api/upload | cut -d '\"' -f 2)\n"
        f"ID=$(curl -s -H 'Content-Type: application/json' -d {body} \\\n"
        "  $PAGE/gradio_api/call/compare | cut -d '\"' -f 4)\n"
        "curl -sN $PAGE/gradio_api/call/compare/$ID"
    )


def mcp_lines() -> str:
    """The entry of this page in the configuration of an agent's program."""
    server = {"type": "http", "url": f"{PAGE}{ADDRESS}"}
    return json.dumps({"mcpServers": {"maxwhisper": server}}, indent=2)


def bench_line(model: str, file: str, rounds: int, options: TranscribeOptions) -> str:
    """The benchmark of all engines on `file`, greedy or with five beams: it has no other modes."""
    flags = [f"--models={model}", f"--rounds={rounds}"]
    flags += [f"--language={options.language}"] if options.language else []
    flags += ["--modes=beam5"] if options.beam_size else []
    return _lines("bench", file, flags)


def _lines(command: str, file: str, flags: Sequence[str]) -> str:
    """A command of `python -m maxwhisper`, split over lines of about `_WIDTH` characters."""
    first, rest = f"python -m maxwhisper {command} {shlex.quote(file)}", shlex.join(flags)
    if len(first) + len(rest) < _WIDTH:
        return f"{first} {rest}"
    lines = [first]
    for flag in map(shlex.quote, flags):
        if len(lines) > 1 and len(lines[-1]) + len(flag) < _WIDTH:
            lines[-1] += f" {flag}"
        else:
            lines.append(f"  {flag}")
    return " \\\n".join(lines)


def _flag_text(value: Any) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
