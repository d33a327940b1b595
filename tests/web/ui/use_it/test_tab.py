"""The code repeats the run, and the diagram names every graph."""

import html
import inspect
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

import maxwhisper
from maxwhisper import graphs
from maxwhisper.cli import build_parser
from maxwhisper.cli.flags import options_from
from maxwhisper.options import GREEDY, TranscribeOptions
from maxwhisper.web.server.fair_use import Limits
from maxwhisper.web.ui.examples import Example
from maxwhisper.web.ui.race.request import RACE_OPTIONS
from maxwhisper.web.ui.use_it import snippets
from maxwhisper.web.ui.use_it.diagram import STEPS, diagram_svg
from maxwhisper.web.ui.use_it.tab import About, use_it_html
from tests.fakes.page import MACHINE
from tests.fakes.runs import make_run

ROOT = Path(__file__).parents[4]
EVIL = "<script>alert(1)</script>"
NASTY = 'it\'s "$(rm x)" `y` \\ \n<b>'
ABOUT = About(("demo", "tiny"), MACHINE, (), 7, 20, Limits())
OPTIONS = (
    GREEDY,
    TranscribeOptions(),
    TranscribeOptions(language="de", task="translate", initial_prompt=NASTY),
    TranscribeOptions(
        temperature=(0.0, 0.4),
        without_timestamps=True,
        condition_on_previous_text=False,
        no_speech_threshold=None,
        clip_timestamps="0,5",
        beam_size=5,
        patience=1.5,
    ),
)


@pytest.mark.parametrize("options", OPTIONS)
def test_the_python_program_asks_for_the_same_options(options, monkeypatch):
    asked = {}

    class Model:
        def transcribe(self, path, **changes):
            asked.update(path=path, options=TranscribeOptions().changed(changes).validate())
            return make_run().results[0].transcript

    def load(name):
        asked["model"] = name
        return Model()

    monkeypatch.setattr(maxwhisper, "load", load)
    exec(compile(snippets.python_lines("tiny", NASTY, options), "snippet", "exec"), {})
    assert asked == {"model": "tiny", "path": NASTY, "options": options}


@pytest.mark.parametrize("options", OPTIONS)
def test_the_command_line_asks_for_the_same_options(options):
    words = arguments_of(snippets.command_line("maxwhisper", "tiny", NASTY, options))
    args = build_parser().parse_args(words)
    assert (args.files, args.model, args.engine) == ([NASTY], "tiny", "maxwhisper")
    assert options_from(args) == options


def test_only_changed_options_are_named():
    line = snippets.command_line("maxwhisper", "demo", "a.flac", GREEDY)
    flags = "--engine=maxwhisper --model=demo --temperature=0.0"
    assert line == f"python -m maxwhisper transcribe a.flac \\\n  {flags}"


def test_the_benchmark_line_is_one_of_ours():
    line = snippets.bench_line("tiny", "a b.flac", 4, TranscribeOptions(language="de", beam_size=5))
    args = build_parser().parse_args(arguments_of(line))
    asked = (args.clips, args.models, args.rounds, args.language, args.modes)
    assert asked == (["a b.flac"], ["tiny"], 4, "de", ["beam5"])


def test_the_http_lines_send_what_the_endpoint_takes(tmp_path):
    """Run by a shell whose curl writes down what it is asked and answers as the page does."""
    curl = tmp_path / "curl"
    curl.write_text(
        '#!/bin/sh\nprintf "%s\\n" "$@" --- >> "$LOG"\n'
        'case "$*" in *upload*) echo \'["/tmp/u/a.flac"]\';; '
        '*FileData*) echo \'{"event_id":"e1"}\';; *) echo done;; esac\n'
    )
    curl.chmod(0o755)
    options = GREEDY.changed({"language": "de", "beam_size": 5, "initial_prompt": NASTY})
    lines = snippets.http_lines("it's", "a b.flac", 3, options)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "LOG": str(tmp_path / "log")}
    answer = subprocess.run(
        ["bash", "-ec", lines], env=environment, capture_output=True, text=True, check=True
    )
    assert answer.stdout == "done\n"
    upload, call, fetch, _ = (tmp_path / "log").read_text().split("---\n")
    assert "files=@a b.flac\n" in upload
    body = json.loads(next(line for line in call.splitlines() if line.startswith("{")))
    recording, *arguments = body["data"]
    assert recording == {"path": "/tmp/u/a.flac", "meta": {"_type": "gradio.FileData"}}
    named = {"beam_size": 5, "initial_prompt": NASTY}
    assert arguments == ["it's", "de", "", 3, True, named]
    assert set(named) < set(RACE_OPTIONS)
    assert fetch.splitlines()[-1].endswith("/gradio_api/call/compare/e1")


def test_an_agent_finds_the_tools_at_the_address_of_the_page():
    server = json.loads(snippets.mcp_lines())["mcpServers"]["maxwhisper"]
    assert server == {"type": "http", "url": "http://127.0.0.1:7860/gradio_api/mcp"}
    script = (ROOT / "maxwhisper" / "web" / "ui" / "use_it" / "use_it.js").read_text()
    assert f"'{snippets.PAGE}'" in script, "it is replaced by the visitor's address"


def arguments_of(line):
    """The words after `python -m maxwhisper`, as a shell would give them."""
    words = shlex.split(line.replace("\\\n", ""))  # a shell joins such lines first
    assert words[:3] == ["python", "-m", "maxwhisper"]
    return words[3:]


def test_the_tab_shows_the_runs_own_settings_escaped():
    run = make_run(model=EVIL, audio_name=EVIL)
    page = use_it_html(run, ABOUT)
    assert "<script" not in page
    assert "<dt>temperature</dt><dd>0.0</dd>" in page
    assert "audio.flac" in page
    assert "maxwhisper.load(&#39;&lt;script" in page


def test_a_bundled_clip_is_named_by_its_file_in_the_repository():
    clip = Example(ROOT / "examples" / "clips" / "plain.flac", "Plain speech", "", 10.0, "")
    about = About(("demo",), MACHINE, (clip,), 7, 20, Limits())
    page = use_it_html(make_run(audio_name="Plain speech"), about)
    assert "examples/clips/plain.flac" in page


def test_before_any_run_the_lines_are_those_of_the_defaults():
    page = html.unescape(use_it_html(None, ABOUT))
    assert "Race a recording first" in page
    assert "--model=demo --language=en --temperature=0.0" in page
    assert "MIT License" in page
    assert "At most, for each visitor: 2 waiting in the queue; 30 minutes of races per hour" in page


def test_every_graph_is_in_the_diagram():
    assert {step.name for step in STEPS if step.is_graph} == set(graphs.GRAPH_NAMES)


def test_every_box_names_its_source_file():
    for step in STEPS:
        source = (ROOT / "maxwhisper" / step.file).read_text()
        if step.is_graph:
            assert f' = "{step.name}"' in source, step
            shape = step.gives[step.gives.index("(") :]
            assert shape in source, f"{step.file} does not mention {shape}"


def test_the_runtime_runs_the_graphs_in_the_drawn_order():
    """Where each graph first appears on the way from samples to tokens."""
    from maxwhisper.runtime import log_mel, model

    spectrogram = inspect.getsource(log_mel)
    assert spectrogram.index("models[LOG_MEL]") < spectrogram.index("models[NORMALIZE]")
    network = inspect.getsource(model.MaxNetwork)
    assert network.index("models[ENCODER]") < network.index("models[CROSS_KV]")
    assert [step.name for step in STEPS if step.is_graph][:5] == list(graphs.GRAPH_NAMES[:5])


def test_the_diagram_fits_and_has_a_description():
    svg = diagram_svg()
    assert all(step.name in svg and html.escape(step.does) in svg for step in STEPS)
    assert "MAX graph" in re.search('aria-label="([^"]+)"', svg)[1]
    assert max(len(step.does) for step in STEPS) <= 50  # what fits into a box
    assert max(len(step.gives) + len(step.file) for step in STEPS) <= 57
