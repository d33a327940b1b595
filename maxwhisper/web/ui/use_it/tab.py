"""The Use it tab: code that repeats the race, its settings, how it works, and limits.

In: what the page knows (`About`), the run store. Out: one HTML component.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from markupsafe import Markup

from maxwhisper.engine import OURS
from maxwhisper.options import GREEDY
from maxwhisper.web.server.fair_use import MIN_RACE_S, Limits
from maxwhisper.web.server.queue import MAX_WAITING
from maxwhisper.web.server.run import Run
from maxwhisper.web.server.run_store import AUDIO_NAME, RunStore
from maxwhisper.web.server.uploads import MAX_AUDIO_S, MAX_FILE_MB, MAX_IN_MEMORY, TIME_TO_LIVE_S
from maxwhisper.web.ui.dates import moment
from maxwhisper.web.ui.examples import Example
from maxwhisper.web.ui.lazy_tabs import draw_when_seen
from maxwhisper.web.ui.templates import page_source, render
from maxwhisper.web.ui.use_it.diagram import diagram_svg
from maxwhisper.web.ui.use_it.snippets import (
    PAGE,
    bench_line,
    changed_options,
    command_line,
    http_lines,
    mcp_lines,
    python_lines,
)

_DEFAULT_ROUNDS = 3  # of the benchmark, before the first race


@dataclass(frozen=True)
class About:
    """What the tab shows besides the race."""

    models: Sequence[str]
    machine: Mapping[str, Any]
    examples: Sequence[Example]
    keep_days: int
    keep_runs: int
    limits: Limits
    endpoints: Callable[[], Mapping[str, Any]] = dict  # as gradio describes them, by name


def use_it_tab(tab: gr.Tab, about: About, store: RunStore, run_id: gr.State) -> None:
    """Build the tab inside the current `gr.Tab`."""
    area = gr.HTML(
        render("loading.html"), js_on_load=page_source("use_it/use_it.js"), elem_id="use-it"
    )
    draw_when_seen(tab, store, run_id, lambda run: use_it_html(run, about), [area])


def use_it_html(run: Run | None, about: About) -> str:
    """The whole tab. Before the first race, the code uses the page's defaults."""
    if run is None:
        model, rounds, file = about.models[0], _DEFAULT_ROUNDS, "examples/clips/talk.flac"
        options = GREEDY.changed({"language": "en"})
    else:
        model, rounds, file = run.model, run.rounds, _file_of(run, about.examples)
        options = run.options
    changed = changed_options(options)
    return render(
        "use_it/use_it.html",
        run=run,
        is_in_zip=file == AUDIO_NAME,
        snippets={
            "Python": python_lines(model, file, options),
            "Command line": command_line(OURS, model, file, options),
            "HTTP: all engines, as JSON": http_lines(model, file, rounds, options),
            "MCP: for agents": mcp_lines(),
            "Benchmark on your machine": bench_line(model, file, rounds, options),
        },
        endpoints=[_endpoint(name, each) for name, each in about.endpoints().items()],
        settings=_facts(run) | changed if run else {},
        defaults={name: v for name, v in options.to_dict().items() if name not in changed},
        diagram=Markup(diagram_svg()),
        limits=_limits(about),
        privacy=_privacy(about),
        hardware=_hardware(about.machine),
        versions=about.machine["versions"],
    )


def _endpoint(name: str, described: Mapping[str, Any]) -> dict[str, Any]:
    """An endpoint for people. Its description ends with the example, between backticks."""
    description, _, example = " ".join(described["description"].split()).partition(
        " Example, in Python: "
    )
    purpose, _, rest = description.partition(". ")
    return {
        "name": name,
        "purpose": f"{purpose.removesuffix('.')}.",
        "description": rest.replace("`", ""),
        "example": _program(example),
        "arguments": [
            {
                "name": each["parameter_name"],
                "type": each["python_type"]["type"],
                "has_default": each["parameter_has_default"],
                "default": repr(each["parameter_default"]),
            }
            for each in described["parameters"]
        ],
    }


def _program(example: str) -> str:
    """The example with its import. `use_it.js` replaces the address by the visitor's."""
    call = example.strip("`.").replace("Client(page)", f'Client("{PAGE}")')
    names = "Client, handle_file" if "handle_file" in call else "Client"
    return f"from gradio_client import {names}\n\n{call}"


def _file_of(run: Run, examples: Sequence[Example]) -> str:
    """The clip in the repository, or the recording in the race's ZIP."""
    for example in examples:
        if example.title == run.audio_name:
            return f"examples/clips/{example.path.name}"
    return AUDIO_NAME


def _facts(run: Run) -> dict[str, Any]:
    """The race and its engines, for the card of settings."""
    return {
        "model": run.model,
        "rounds": run.rounds,
        "recording": f"{run.audio_name}, {run.audio_s:.1f} s",
        "measured": moment(run.when),
        **{
            name: f"{info.version}, {info.device}, {info.dtype}"
            for name, info in run.engines.items()
        },
    }


def _limits(about: About) -> list[str]:
    return [
        f"{MAX_AUDIO_S / 60:.0f} minutes and {MAX_FILE_MB} MB per recording. One race or check "
        f"runs at a time, {MAX_WAITING} may wait.",
        *_shares(about.limits),
        f"Available models: {', '.join(about.models)}.",
        "No speaker labels, no recordings from a web address, one recording per race.",
    ]


def _shares(limits: Limits) -> list[str]:
    """Each visitor's share of the page; empty without limits."""
    shares = (
        (limits.waiting, "waiting in the queue"),
        (limits.minutes, f"minutes of races per hour, each at least {MIN_RACE_S:g} s"),
        (limits.check_minutes, "minutes of component checks per hour"),
        (limits.uploads, "recordings sent per hour"),
        (limits.kept, "races saved at one time"),
    )
    parts = [f"{limit:g} {what}" for limit, what in shares if limit]
    return [f"At most, for each visitor: {'; '.join(parts)}."] if parts else []


def _privacy(about: About) -> list[str]:
    minutes = f"{TIME_TO_LIVE_S / 60:.0f}"
    return [
        "An upload is deleted as soon as it is decoded for its first race. Without a race, it is "
        f"deleted within {minutes} minutes.",
        f"The samples of the last {MAX_IN_MEMORY} recordings stay in memory for about {minutes} "
        "minutes, so that a race can be repeated.",
        f"A finished race with its recording is saved for {about.keep_days} days; at most the last "
        f"{about.keep_runs} races are kept. Only people with its link can open it. A race that is "
        "not saved is deleted when its page is closed. Your own voice is saved only if you ask.",
        "No analytics, no run history.",
    ]


def _hardware(machine: Mapping[str, Any]) -> list[str]:
    return [
        f"{machine['cpu'] or 'unknown CPU'}, {machine['threads']} threads",
        *(gpu["name"] for gpu in machine["gpus"]),
        f"{machine['os']}, Python {machine['python']}",
        f"commit {(machine['commit'] or 'unknown')[:10]}",
    ]
