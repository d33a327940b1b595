"""README.md tells the truth: its files exist, its commands parse, its programs run."""

import ast
import inspect
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
from fake_engines import FakeEngine

import maxwhisper
from maxwhisper.bench_page import END, SUMMARY
from maxwhisper.cli import build_parser
from maxwhisper.decoding.language import SpokenLanguage
from maxwhisper.dims import SAMPLE_RATE
from maxwhisper.options import TranscribeOptions
from maxwhisper.samples import IN_MEMORY_SAMPLES
from maxwhisper.serving.fair_use import PREFIX, Limits
from maxwhisper.serving.uploads import MAX_AUDIO_S
from maxwhisper.transcript import Transcript
from maxwhisper.whisper import Whisper

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
INDENT = 2  # spaces per folder of the file tree


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def tree() -> dict[str, str]:
    """{path: description} of the file tree; folders end in a slash."""
    listing = section("Files").split("```")[1].strip("\n")
    described, parents = {}, []
    for line in listing.splitlines():
        name, _, description = line.strip().partition(" ")
        depth = (len(line) - len(line.lstrip())) // INDENT
        parents[depth:] = [name]
        described["".join(parents)] = description.strip()
    return described


def commands() -> Iterator[list[str]]:
    for line in "".join(blocks("sh")).splitlines():
        for command in line.split("&&"):
            if words := shlex.split(command, comments=True):
                yield words


def test_every_file_of_the_tree_exists():
    for path in tree():
        found = ROOT / path
        assert found.is_dir() if path.endswith("/") else found.is_file(), path


def test_every_python_file_is_in_the_tree():
    folders = ("maxwhisper", "baselines", "examples")
    files = {
        path.relative_to(ROOT).as_posix()
        for folder in folders
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "__init__.py"  # described by its folder's line
    }
    summaries = {
        path: (ast.get_docstring(ast.parse((ROOT / path).read_text())) or "").split("\n")[0]
        for path in sorted(files - set(tree()))
    }
    assert not summaries, "add these to the tree in README.md"


def test_every_line_of_the_tree_says_something():
    assert [path for path, text in tree().items() if not text and path != "maxwhisper/"] == []


def test_every_file_of_the_question_table_exists():
    paths = re.findall(r"`([\w/.]+)`", section("Where is …?"))
    assert len(paths) > 10
    for path in paths:
        assert (ROOT / path).exists(), path


def test_every_picture_exists():
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert pictures
    for picture in pictures:
        assert (ROOT / picture).is_file(), picture


def test_every_command_can_be_run():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    tasks = set(tomllib.loads((ROOT / "pixi.toml").read_text())["tasks"])
    seen = set()
    for words in commands():
        match words:
            case ["make", target]:
                assert target in targets
            case ["pixi", "run", task]:
                assert task in tasks
            case ["python", "-m", "maxwhisper", *arguments]:
                build_parser().parse_args(arguments)
            case ["pip", "install", "-r", file] | ["python", file]:
                assert (ROOT / file).is_file()
            case ["python3", "-m", "venv", ".venv"] | [".", ".venv/bin/activate"]:
                pass
            case _:
                raise AssertionError(f"unknown command in README.md: {words}")
        seen.add(tuple(words[:2]))
    assert {("make", "app"), ("make", "test"), ("pixi", "run"), ("python", "app.py")} <= seen


def test_the_two_commands_come_first():
    assert blocks("sh")[0].split()[:2] == ["make", "app"]
    assert "\nmake test" in blocks("sh")[0]


def test_the_programs_run(monkeypatch, capsys):
    """Both, one after the other, on a stand-in whose calls must fit the real class's signatures."""

    class FakeWhisper(FakeEngine):
        def transcribe(self, path: str, **options: object) -> Transcript:
            inspect.signature(Whisper.transcribe).bind(self, path, **options)
            options.pop("batch_size", None)
            TranscribeOptions().changed(options).validate()
            return super().transcribe([0.0] * 16_000, None)

        def transcribe_many(self, paths: list[str]) -> list[Transcript]:
            inspect.signature(Whisper.transcribe_many).bind(self, paths)
            return [self.transcribe(path) for path in paths]

        def stream(self) -> object:
            inspect.signature(Whisper.stream).bind(self)
            return object()

        def detect_language(self, path: str) -> SpokenLanguage:
            inspect.signature(Whisper.detect_language).bind(self, path)
            return SpokenLanguage("en", {"en": 1.0})

    monkeypatch.setattr(maxwhisper, "load", lambda name: FakeWhisper(name))
    program, more = blocks("python")
    assert len(program.splitlines()) <= 12
    namespace: dict[str, object] = {}
    exec(compile(program, "README.md", "exec"), namespace)
    assert "0.00    1.00  and so my fellow Americans" in capsys.readouterr().out
    exec(compile(more, "README.md", "exec"), namespace)


def test_limits_are_those_of_the_code():
    limits = section("Limits")
    rows = re.findall(rf"`{PREFIX}(\w+)` \| .* \| (\d+) \|", limits)
    assert {name.lower(): float(default) for name, default in rows} == asdict(Limits())
    assert "longer than ten minutes is refused by the page" in limits
    assert MAX_AUDIO_S == 10 * 60
    assert f"More than {IN_MEMORY_SAMPLES // SAMPLE_RATE // 60} minutes of sound" in limits


@pytest.mark.parametrize("unit", ["×", "x real time", "ms", "RTFx", "% faster", "times faster"])
def test_no_measurement_is_typed_by_hand(unit):
    summary = rf"{re.escape(SUMMARY)}.*?{END}"  # the harness writes it; a test holds it to that
    prose = re.sub(rf"```.*?```|{summary}", "", README, flags=re.DOTALL)
    assert not re.search(rf"\d\s*{re.escape(unit)}(?!\w)", prose)
