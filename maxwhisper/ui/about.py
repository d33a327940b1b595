"""The About tab: what makes the comparison fair, the limits, and what happens to a recording."""

import html
from collections.abc import Mapping
from typing import Any

import gradio as gr

from maxwhisper.serving.pool import EnginePool
from maxwhisper.serving.uploads import KEPT_IN_MEMORY, MAX_AUDIO_S, TIME_TO_LIVE_S

_FAIRNESS = (
    "The recording is decoded once, by us; every engine gets the same 16 kHz samples.",
    "All engines compute with the same weights, converted from one checkpoint.",
    "Greedy decoding for all: temperature 0, no beam, no fallback, no voice-activity filter; "
    "language, task, timestamps, conditioning and prompt as chosen on the Race tab.",
    "Engines run one after the other, each alone in a process of its own; which one begins changes "
    "from run to run.",
    "The clock is the engine's own process, around the transcription alone: loading, compiling, "
    "decoding the file and waiting are not in it.",
    "Every engine is warmed with two real inferences after loading; their times are in the header.",
    "With more than one round you see the median and the range. The chart is of this run only.",
)


def about_tab(pool: EnginePool, machine: Mapping[str, Any]) -> None:
    """Build the tab inside the current `gr.Blocks`."""
    minutes = f"{TIME_TO_LIVE_S / 60:.0f}"
    limits = (
        f"{MAX_AUDIO_S / 60:.0f} minutes and 25 MB a recording; one run at a time, eight may wait.",
        f"Models on offer: {', '.join(pool.models)}.",
        "No speaker labels, no addresses to fetch, no batch of files.",
    )
    privacy = (
        "An upload is deleted as soon as it is decoded for its first run; one that is never run, "
        f"within {minutes} minutes.",
        f"Samples of the last {KEPT_IN_MEMORY} recordings stay in memory, so that a run can be "
        f"repeated, for about {minutes} minutes.",
        "Texts are not kept. No analytics, no run history.",
    )
    versions = [
        f"{name} {version or 'not installed'}" for name, version in machine["versions"].items()
    ]
    hardware = [
        f"{machine['cpu'] or 'unknown CPU'}, {machine['threads']} threads",
        *(gpu["name"] for gpu in machine["gpus"]),
        f"{machine['os']}, Python {machine['python']}",
        f"commit {machine['commit'] or 'unknown'}",
    ]
    gr.HTML(
        '<div class="about">'
        + _section("What makes it fair", _FAIRNESS)
        + _section("Limits", limits)
        + _section("Your recording", privacy)
        + _section("This machine", hardware)
        + _section("Versions", versions)
        + "</div>"
    )


def _section(title: str, lines: tuple[str, ...] | list[str]) -> str:
    items = "".join(f"<li>{html.escape(line)}</li>" for line in lines)
    return f"<section><h3>{title}</h3><ul>{items}</ul></section>"
