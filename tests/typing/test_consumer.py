"""Type checkers accept a correct caller of the public API, and find misspelt and wrong options."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONSUMER = Path(__file__).with_name("consumer.py")
CORRECT = """import maxwhisper

model = maxwhisper.load("demo")
"""
MISTAKES = """model.transcribe("talk.mp3", beam_siz=5)
model.transcribe("talk.mp3", beam_size="5")
model.transcribe("talk.mp3", vad=0.5)
model.transcribe_many(["talk.mp3"], best_of="five")
model.stream(temprature=0.0)
maxwhisper.laod("demo")
maxwhisper.TranscribeOptions(task=1)
"""


def checkers():
    """The command of each type checker that is installed here, by name."""
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--ignore-missing-imports"]
    found = {"mypy": [*mypy, "--follow-imports=silent", f"--cache-dir={ROOT / '.mypy_cache'}"]}
    if importlib.util.find_spec("pyright"):
        found["pyright"] = [sys.executable, "-m", "pyright", f"--pythonpath={sys.executable}"]
    elif command := shutil.which("pyright"):
        found["pyright"] = [command, f"--pythonpath={sys.executable}"]
    return found


@pytest.fixture(params=checkers())
def check(request):
    """check(program): the exit code, and the lines of the program that have an error."""

    def run(program):
        command = [*checkers()[request.param], str(program)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=600)
        wrong = re.findall(rf"{program.name}:(\d+).*error", done.stdout)
        print(done.stdout, done.stderr)
        return done.returncode, {int(line) for line in wrong}

    return run


def test_a_correct_caller_is_accepted(check):
    assert check(CONSUMER) == (0, set())


def test_every_mistake_is_found(check, tmp_path):
    program = tmp_path / "caller.py"
    program.write_text(CORRECT + MISTAKES)
    n_correct, n_wrong = len(CORRECT.splitlines()), len(MISTAKES.splitlines())
    assert check(program) == (1, {n_correct + n for n in range(1, n_wrong + 1)})
