"""README.md and the pages beside it are true: files exist, commands parse, programs run."""

import ast
import inspect
import re
import shlex
import tomllib
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

import maxwhisper
from maxwhisper.audio.container import MAX_CHANNELS
from maxwhisper.audio.resample import MAX_RATE, MIN_RATE
from maxwhisper.audio.samples import IN_MEMORY_SAMPLES
from maxwhisper.cli import build_parser
from maxwhisper.decoding.language import SpokenLanguage
from maxwhisper.evaluation.bench.document import END, SUMMARY
from maxwhisper.network.dims import SAMPLE_RATE
from maxwhisper.options import TranscribeOptions
from maxwhisper.transcript import Transcript
from maxwhisper.web.server.fair_use import PREFIX, Limits
from maxwhisper.web.server.live_session import MAX_LIVE_S
from maxwhisper.web.server.run_store import KEEP_DAYS
from maxwhisper.web.server.uploads import MAX_AUDIO_S, MAX_FILE_MB
from maxwhisper.whisper import Whisper
from tests.fakes.engines import FakeEngine

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
LIMITS = (ROOT / "docs" / "limits.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
PAGES = {  # what a newcomer reads
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in [
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
        *(ROOT / "docs" / f"{name}.md" for name in ("architecture", "limits", "tour")),
        *(ROOT / folder / "README.md" for folder in ("deploy", "examples", "results")),
    ]
}
MAX_LINES = 200  # of README.md
INDENT = 2  # spaces per folder of the file tree
LISTED = ("maxwhisper", "baselines", "examples")  # every Python file in them is in the tree
PLACES = "|".join(path.name for path in ROOT.iterdir() if path.is_dir())


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def section(page: str, title: str) -> str:
    return page.split(f"\n## {title}\n")[1].split("\n## ")[0]


def tree() -> tuple[dict[str, str], set[str]]:
    """The folders and files of the tree with their descriptions, and the modules of all folders.

    A line "name/ text" is a folder, "name.py text" is a file, and other lines are the modules of
    the folder above.
    """
    described: dict[str, str] = {}
    modules: set[str] = set()
    parents: list[str] = []
    for line in blocks(section(ARCHITECTURE, "The tree"), "")[0].splitlines():
        name, _, description = line.strip().partition(" ")
        depth = (len(line) - len(line.lstrip())) // INDENT
        if name.endswith("/"):
            parents[depth:] = [name]
            described["".join(parents)] = description.strip()
        elif name.endswith(".py"):
            described[name] = description.strip()
        else:
            modules |= {f"{''.join(parents)}{module}.py" for module in line.split()}
    return described, modules


def commands() -> Iterator[list[str]]:
    for line in "".join([*blocks(README, "sh"), *blocks(CONTRIBUTING, "sh")]).splitlines():
        for command in line.split("&&"):
            if words := shlex.split(command, comments=True):
                yield words


def test_the_readme_is_short():
    assert len(README.splitlines()) <= MAX_LINES


def test_every_file_of_the_tree_exists():
    described, modules = tree()
    assert len(modules) > 100
    for path in (*described, *modules):
        found = ROOT / path
        assert found.is_dir() if path.endswith("/") else found.is_file(), path


def test_every_python_file_is_in_the_tree():
    files = {
        path.relative_to(ROOT).as_posix()
        for folder in LISTED
        for path in (ROOT / folder).rglob("*.py")
        if path.stem not in ("__init__", "__main__")  # their folder's line describes them
    }
    missing = sorted(files - tree()[1])
    assert not missing, "add these to the tree in docs/architecture.md"


def test_every_module_of_the_tree_explains_itself():
    """The tree has names only, so the first line of each file must say what it owns."""
    for path in (path for path in tree()[1] if path.startswith(LISTED)):
        docstring = ast.get_docstring(ast.parse((ROOT / path).read_text())) or ""
        assert len(docstring.split("\n")[0].split()) >= 4, path


def test_every_line_of_the_tree_says_something():
    assert [path for path, text in tree()[0].items() if not text] == []


def test_every_file_of_the_question_table_exists():
    paths = re.findall(r"`([\w/.]+)`", section(ARCHITECTURE, "Where is …?"))
    assert len(paths) > 40
    for path in paths:
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("name", PAGES)
def test_every_path_of_a_page_exists(name):
    for path in re.findall(rf"`((?:{PLACES})/[\w/.-]*)`", PAGES[name]):
        assert (ROOT / path).exists(), path
    for link in re.findall(r"\[[^]]+\]\(([^)]+)\)", PAGES[name]):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        if anchor:
            titles = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles]


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
            case ["make", target] | ["make", target, _]:
                assert target in targets
                assert all(word.startswith("ARGS=") for word in words[2:])
            case ["pixi", "run", task]:
                assert task in tasks
            case ["python", "-m", "maxwhisper", *arguments]:
                build_parser().parse_args(arguments)
            case ["python", file]:
                assert (ROOT / file).is_file()
            case ["pip", "install", "."] | ["python3", "-m", "venv", ".venv"]:
                pass
            case [".", ".venv/bin/activate"] | [".venv/bin/pre-commit", "install"]:
                pass
            case ["git", "clone", _] | ["cd", "maxwhisper"]:
                pass
            case _:
                raise AssertionError(f"unknown command: {words}")
        seen.add(tuple(words[:2]))
    assert {("make", "app"), ("make", "test"), ("pixi", "run"), ("python", "app.py")} <= seen


def test_the_two_commands_come_first():
    assert blocks(README, "sh")[0].split()[:2] == ["make", "app"]
    assert "\nmake test" in blocks(README, "sh")[0]


def test_the_programs_run(monkeypatch, capsys):
    """Run both with a fake whose calls must match the signatures of the real class."""

    class FakeWhisper(FakeEngine):
        def transcribe(self, path: str, **options: object) -> Transcript:
            inspect.signature(Whisper.transcribe).bind(self, path, **options)
            options.pop("batch_size", None)
            TranscribeOptions().changed(options).validate()
            return super().transcribe([0.0] * 16_000, None)

        def transcribe_many(self, paths: list[str]) -> list[Transcript]:
            inspect.signature(Whisper.transcribe_many).bind(self, paths)
            return [self.transcribe(path) for path in paths]

        def transcribe_each(self, paths: list[str]) -> Iterator[tuple[int, Transcript]]:
            inspect.signature(Whisper.transcribe_each).bind(self, paths)
            return enumerate(self.transcribe_many(paths))

        def stream(self) -> object:
            inspect.signature(Whisper.stream).bind(self)
            return object()

        def detect_language(self, path: str) -> SpokenLanguage:
            inspect.signature(Whisper.detect_language).bind(self, path)
            return SpokenLanguage("en", {"en": 1.0})

    monkeypatch.setattr(maxwhisper, "load", lambda name: FakeWhisper(name))
    program, more = blocks(README, "python")
    assert len(program.splitlines()) <= 12
    namespace: dict[str, object] = {}
    exec(compile(program, "README.md", "exec"), namespace)
    assert "0.00    1.00  and so my fellow Americans" in capsys.readouterr().out
    exec(compile(more, "README.md", "exec"), namespace)


def test_limits_are_those_of_the_code():
    rows = re.findall(rf"`{PREFIX}(\w+)` \| .* \| (\d+) \|", section(LIMITS, "The page"))
    assert {name.lower(): float(default) for name, default in rows} == asdict(Limits())
    assert f"may be {MAX_AUDIO_S / 60:.0f} minutes long and {MAX_FILE_MB} MB large" in LIMITS
    assert f"lasts up to {MAX_LIVE_S / 60:.0f} minutes" in LIMITS
    assert f"is kept for {KEEP_DAYS} days" in LIMITS
    minutes = IN_MEMORY_SAMPLES // SAMPLE_RATE // 60
    assert f"More than {minutes} minutes of audio are kept in a temporary" in LIMITS
    assert (
        f"Up to {MAX_CHANNELS} channels and {MIN_RATE // 1000} to {MAX_RATE // 1000} kHz" in LIMITS
    )


def test_every_environment_variable_is_listed():
    code = "".join(path.read_text() for path in (ROOT / "maxwhisper").rglob("*.py"))
    used = set(re.findall(r"MAXWHISPER_[A-Z_]*[A-Z]", code)) - {PREFIX.rstrip("_")}
    assert used <= set(re.findall(r"`(MAXWHISPER_\w+)`", section(LIMITS, "Environment variables")))


@pytest.mark.parametrize("unit", ["×", "x real time", "ms", "RTFx", "% faster", "times faster"])
@pytest.mark.parametrize("name", PAGES)
def test_no_measurement_is_typed_by_hand(name, unit):
    summary = rf"{re.escape(SUMMARY)}.*?{END}"  # the harness writes it; a test holds it to that
    prose = re.sub(rf"```.*?```|{summary}", "", PAGES[name], flags=re.DOTALL)
    assert not re.search(rf"\d\s*{re.escape(unit)}(?!\w)", prose)
