"""The places where the page lives: Spaces of both kinds, a container, a machine with a GPU.

Each is built by its own command from the committed files, and started as it is there: as user 1000,
with an empty home, without this clone. The full run also installs the packages: those of the
container from the lock, with their hashes, and those of a Gradio Space from its requirements.txt.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tools.robustness import container
from tools.robustness.container import Image
from tools.robustness.page import ROOT, Page, free_port, started
from tools.robustness.racing import check_words, race
from tools.robustness.recordings import CLIPS
from tools.robustness.suite import Case, SuiteRun, Unexpected

BAR = (
    "each is built by one command and starts as user 1000 in an empty home; three engines answer; "
    "nothing is written where nothing may be; SIGTERM ends it within 30 s"
)
CLIP = CLIPS / "plain.flac"
STOP_S = 30.0
SPACE = ROOT / "deploy" / "space" / "build.py"
BOX = ROOT / "deploy" / "lambda" / "deploy_lambda_ai.sh"
CONTAINER = "container, Docker Space"
PYTHON = f"/{container.PACKAGES}/bin/python"
# What Hugging Face does with a Gradio Space: its documentation of Spaces and their variables.
GRADIO = Image(
    copied=(
        *(("app.py", "./"), ("README.md", "./"), ("results", "results"), ("examples", "examples")),
        *(("baselines", "baselines"), ("maxwhisper", "maxwhisper")),
    ),
    folder="/home/user/app",
    environment={"SYSTEM": "spaces", "SPACE_ID": "someone/maxwhisper"},
    command=(PYTHON, "app.py"),
    user="user",
    writable="/home/user/.cache",
    installs="python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir --requirement "
    "/tmp/requirements.txt",
)
_WRITES = "import pathlib, sys; pathlib.Path(sys.argv[1], 'x').write_text('')"


@dataclass(frozen=True)
class Home:
    """A place, the folder that was built for it, and what its packages are installed from."""

    group: str
    image: Image
    context: Path
    requirements: str


def cases(run: SuiteRun) -> Iterator[Case]:
    with tempfile.TemporaryDirectory(prefix="robustness-") as made:
        folder = Path(made)
        folder.chmod(0o755)  # user 1000 goes through it
        gradio, docker = folder / "gradio", folder / "docker"
        yield Case("Gradio Space", "build", lambda: _build(gradio))
        home = Home("Gradio Space", GRADIO, gradio, "requirements.txt")
        yield from _boot(run, home, folder / "1")
        # A Docker Space is built from the same Dockerfile as the container, and has its files.
        yield Case(CONTAINER, "build", lambda: _build(docker, "--docker"))
        image = container.read(docker / "Dockerfile")
        home = Home(CONTAINER, image, docker, "deploy/requirements.lock")
        yield from _boot(run, home, folder / "2")
        yield Case("GPU machine", "dry run", lambda: _call(["bash", str(BOX), "--dry-run"]))


def _boot(run: SuiteRun, home: Home, folder: Path) -> Iterator[Case]:
    """Start the page of a home in its own root file system, and look at what visitors get."""
    root, state, image, group = folder / "root", folder / "state", home.image, home.group
    state.mkdir(parents=True)
    os.chown(state, container.USER_ID, container.USER_ID)
    container.make_root(root, image, home.context)
    packages: Path | None = Path(sys.prefix)
    if not run.is_short:
        packages, listed = None, home.context / home.requirements
        yield Case(group, "install", lambda: container.install(root, image, listed))
    port = free_port()

    def inside(command: Sequence[str]) -> list[str]:
        with_port = [part.replace("7860", str(port)) for part in command]
        return container.entered(root, image, with_port, state, packages)

    settings = ("MAXWHISPER_OFFLINE=1", f"GRADIO_SERVER_PORT={port}")
    command = inside([*settings, *image.command])
    with started(command, port, folder, {}) as page:
        yield Case(group, "start", lambda: _start(run, page))
        yield Case(group, "its own files, user 1000", lambda: _is_own(page, image))
        yield Case(group, "three engines", lambda: check_words(race(page, CLIP).texts, CLIP))
        if image.health:
            yield Case(group, "health check", lambda: _call(inside(image.health)))
        for name in ("/", image.folder, f"/{container.PACKAGES}", "/etc"):
            writes = inside([PYTHON, "-c", _WRITES, name])
            yield Case(group, f"{name} is read-only", partial(_fails, writes))
        yield Case(group, "SIGTERM", lambda: _stop(run, page))


def _build(folder: Path, *flags: str) -> None:
    _call([sys.executable, str(SPACE), str(folder), *flags])


def _start(run: SuiteRun, page: Page) -> None:
    run.measure("seconds until the engines are ready", page.wait_until_ready())


def _is_own(page: Page, image: Image) -> None:
    """The page runs in its root file system, as its user, and cannot get any right back."""
    process = Path(f"/proc/{page.process.pid}")
    found = os.readlink(process / "cwd")
    if not found.endswith(image.folder) or found == str(ROOT):
        raise Unexpected(f"expected the page in {image.folder}, got {found}")
    status = dict(
        line.split(":\t", 1)
        for line in (process / "status").read_text().splitlines()
        if ":\t" in line
    )
    got = {name: status[name].split()[0] for name in ("Uid", "CapEff", "CapBnd", "NoNewPrivs")}
    wanted = {"Uid": "1000", "CapEff": "0" * 16, "CapBnd": "0" * 16, "NoNewPrivs": "1"}
    if got != wanted:
        raise Unexpected(f"expected {wanted}, got {got}")


def _stop(run: SuiteRun, page: Page) -> None:
    started_s = time.monotonic()
    page.process.terminate()
    code = page.process.wait(STOP_S)
    run.measure("seconds until a page has ended", time.monotonic() - started_s)
    if code:
        raise Unexpected(f"expected exit code 0, got {code}: {page.tail()}")


def _call(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise Unexpected(f"expected exit code 0, got {done.returncode}: {done.stderr[-300:]}")


def _fails(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if not done.returncode or "Read-only file system" not in done.stderr:
        raise Unexpected(f"expected a read-only file system, got {done.stderr[-300:]!r}")
