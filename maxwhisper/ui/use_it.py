"""The Use it tab: the settings of the run, lines to repeat it anywhere, how it works, and limits.

In: the pool, the machine's description, the store of runs. Out: one HTML component.
"""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from maxwhisper.engine import OURS
from maxwhisper.options import GREEDY
from maxwhisper.serving.fair_use import Limits
from maxwhisper.serving.pool import EnginePool
from maxwhisper.serving.run import Run
from maxwhisper.serving.runs import RunStore
from maxwhisper.serving.turns import MAX_WAITING
from maxwhisper.serving.uploads import KEPT_IN_MEMORY, MAX_AUDIO_S, MAX_FILE_MB, TIME_TO_LIVE_S
from maxwhisper.ui.diagram import diagram_svg
from maxwhisper.ui.examples import Example
from maxwhisper.ui.recorded import moment
from maxwhisper.ui.snippets import (
    bench_line,
    changed_options,
    command_line,
    http_lines,
    python_lines,
)
from maxwhisper.ui.when_seen import LOADING, draw_when_seen

_JS = (Path(__file__).parent / "use_it.js").read_text(encoding="utf-8")
_DEFAULT_ROUNDS = 3  # of the benchmark, where nothing was run yet
_BEFORE = "Race a recording first, and these lines become those of your run."
_FAIRNESS = (
    "The recording is decoded once, by us; every engine gets the same 16 kHz samples.",
    "All engines compute with the same weights, converted from one checkpoint.",
    "The same decoding for all: greedy, or with the beams or the temperature chosen on the Race "
    "tab, like every other setting; no fallback, no voice-activity filter, no batches.",
    "Engines run one after the other, each alone in a process of its own; which one begins changes "
    "from run to run.",
    "The clock is the engine’s own process, around the transcription alone: loading, compiling, "
    "decoding the file and waiting are not in it.",
    "Every engine is warmed with two real inferences after loading.",
    "With more than one round you see the median and the range.",
)
_LICENCES = (
    "This page and its engine: Apache License 2.0.",
    "Whisper’s design, code and official weights: OpenAI, MIT licence.",
    "openai-whisper, faster-whisper and CTranslate2, installed for comparison: MIT licence.",
    "MAX: Modular, MAX Platform Software License. NVIDIA’s libraries: NVIDIA’s licences.",
)


@dataclass(frozen=True)
class About:
    """What the page knows whatever is run."""

    models: Sequence[str]
    machine: Mapping[str, Any]
    examples: Sequence[Example]
    keep_days: int
    keep_runs: int
    limits: Limits


def use_it_tab(
    tab: gr.Tab,
    pool: EnginePool,
    machine: Mapping[str, Any],
    examples: Sequence[Example],
    store: RunStore,
    run_id: gr.State,
    limits: Limits,
) -> None:
    """Build the tab inside the current `gr.Tab`."""
    about = About(pool.models, machine, examples, store.keep_days, store.keep_runs, limits)
    area = gr.HTML(LOADING, js_on_load=_JS, elem_id="use-it")
    draw_when_seen(tab, store, run_id, lambda run: use_it_html(run, about), [area])


def use_it_html(run: Run | None, about: About) -> str:
    """Everything in the tab; without a run, the lines are those of the page's defaults."""
    return (
        f'<div class="use-it"><div>{_lines(run, about)}'
        f"{_settings(run)}{_section('What makes it fair', _FAIRNESS)}</div>"
        "<div><h3>How it works</h3>"
        '<p class="hint">Solid: a graph that MAX compiles. Dashed: Python.</p>'
        f'{diagram_svg()}</div></div><div class="about">'
        f"{_section('Limits', _limits(about))}{_section('Your recording', _privacy(about))}"
        f"{_section('This machine', _hardware(about.machine))}"
        f"{_section('Versions', _versions(about.machine))}{_section('Licences', _LICENCES)}</div>"
    )


def _lines(run: Run | None, about: About) -> str:
    """Program text for what was run."""
    if run is None:
        model, options, rounds = (
            about.models[0],
            GREEDY.changed({"language": "en"}),
            _DEFAULT_ROUNDS,
        )
        file, note = "examples/clips/talk.flac", _BEFORE
    else:
        model, options, rounds = run.model, run.options, run.rounds
        file = _file_of(run, about.examples)
        name = f"<bdi>{html.escape(run.audio_name)}</bdi>"
        note = f"What was run on {name}, as lines to run elsewhere."
        if file == "audio.flac":
            note += " audio.flac, the recording as the engines heard it, is in the run’s ZIP."
    return (
        f'<h3>Run it yourself</h3><p class="hint">{note}</p>'
        + _code("Python", python_lines(model, file, options))
        + _code("Command line", command_line(OURS, model, file, options))
        + _code("HTTP: all engines, as JSON", http_lines(model, file, rounds, options))
        + _code("A benchmark, on your machine", bench_line(model, file, rounds, options))
    )


def _file_of(run: Run, examples: Sequence[Example]) -> str:
    """The clip of the repository, or the recording that the run's ZIP holds."""
    for example in examples:
        if example.title == run.audio_name:
            return f"examples/clips/{example.path.name}"
    return "audio.flac"


def _code(title: str, text: str) -> str:
    return (
        f'<figure class="code"><figcaption>{title}'
        f'<button type="button" class="copy" aria-label="copy: {title}">copy</button></figcaption>'
        f"<pre><code>{html.escape(text)}</code></pre></figure>"
    )


def _settings(run: Run | None) -> str:
    """The card: what every engine was told, equal for all of them; changed settings first."""
    if run is None:
        return ""
    changed = changed_options(run.options)
    facts = {
        "model": run.model,
        "rounds": run.rounds,
        "recording": f"{run.audio_name}, {run.audio_s:.1f} s",
        "measured": moment(run.when),
        **{
            name: f"{info.version}, {info.device}, {info.dtype}"
            for name, info in run.engines.items()
        },
    }
    rest = {name: v for name, v in run.options.to_dict().items() if name not in changed}
    return (
        "<h3>The settings, equal for all engines</h3>"
        f"{_pairs(facts | changed)}"
        f"<details><summary>{len(rest)} more, at their defaults</summary>{_pairs(rest)}</details>"
    )


def _pairs(values: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{html.escape(str(value))}</dd>"
        for name, value in values.items()
    )
    return f'<dl class="card">{rows}</dl>'


def _limits(about: About) -> list[str]:
    return [
        f"{MAX_AUDIO_S / 60:.0f} minutes and {MAX_FILE_MB} MB a recording; one run at a time, "
        f"{MAX_WAITING} may wait.",
        *_shares(about.limits),
        f"Models on offer: {', '.join(about.models)}.",
        "No speaker labels, no addresses to fetch, no batch of files.",
    ]


def _shares(limits: Limits) -> list[str]:
    """What each visitor may have of the page; nothing where nothing is limited."""
    shares = (
        (limits.waiting, "races waiting in the queue"),
        (limits.minutes, "minutes of sound an hour, counted in every round"),
        (limits.uploads, "recordings sent an hour"),
    )
    parts = [f"{most:g} {what}" for most, what in shares if most]
    return [f"For each visitor, at most: {'; '.join(parts)}."] if parts else []


def _privacy(about: About) -> list[str]:
    minutes = f"{TIME_TO_LIVE_S / 60:.0f}"
    return [
        "An upload is deleted as soon as it is decoded for its first run; one that is never run, "
        f"within {minutes} minutes.",
        f"Samples of the last {KEPT_IN_MEMORY} recordings stay in memory, so that a run can be "
        f"repeated, for about {minutes} minutes.",
        f"A finished run, its sound included, is kept for {about.keep_days} days, the last "
        f"{about.keep_runs} runs at most; only who has its link can open it. One that is not to be "
        "kept is deleted when its page is closed.",
        "No analytics, no run history.",
    ]


def _hardware(machine: Mapping[str, Any]) -> list[str]:
    return [
        f"{machine['cpu'] or 'unknown CPU'}, {machine['threads']} threads",
        *(gpu["name"] for gpu in machine["gpus"]),
        f"{machine['os']}, Python {machine['python']}",
        f"commit {(machine['commit'] or 'unknown')[:10]}",
    ]


def _versions(machine: Mapping[str, Any]) -> list[str]:
    return [f"{name} {version or 'not installed'}" for name, version in machine["versions"].items()]


def _section(title: str, lines: Sequence[str]) -> str:
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<section><h3>{title}</h3><ul>{items}</ul></section>"
