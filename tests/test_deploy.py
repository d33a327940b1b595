"""The script that deploys, on a machine whose commands only write down that they were called."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SCRIPT = "deploy/lambda/deploy_lambda_ai.sh"
NAME = "198-51-100-9.sslip.io"

# Every fake writes its name and arguments into $CALLS, answers as $ANSWERS/NAME says, and fails
# where its line holds $FAILS.
FAKE = """#!/bin/bash
line="${0##*/} $*"
echo "$line" >>"$CALLS"
[[ -z $FAILS || $line != *"$FAILS"* ]] || exit 7
answer=$ANSWERS/${0##*/}
[[ ! -x $answer ]] || exec "$answer" "$@"
"""
ANSWERS = {
    "id": '[[ $1 == -u && $# == 1 ]] && echo "${FAKE_USER:-0}" || [[ -e $DESTDIR/user ]]',
    "useradd": 'touch "$DESTDIR/user"',
    "nvidia-smi": 'echo "${FAKE_DRIVER:-580.95.05}"',
    "git": '[[ $3 == --add ]] && echo "$5" >>"$DESTDIR/safe" || cat "$DESTDIR/safe" 2>/dev/null',
    # `python3 -m venv FOLDER` and `uv venv … FOLDER` leave fakes behind
    "python3": 'mkdir -p "$3/bin" && ln -sf "$FAKES/pip" "$FAKES/uv" "$3/bin/"',
    "uv": '[[ $1 != venv ]] || { mkdir -p "${*: -1}/bin"; ln -sf "$FAKES/segno" "${*: -1}/bin/"; }',
    "curl": """case "$*" in
        *ipify*) echo 198.51.100.9 ;;
        *upload) echo '["/tmp/u/plain.flac"]' ;;
        *call/compare) echo '{"event_id":"e1"}' ;;
        *compare/e1) echo "${FAKE_EVENT:-event: complete}" ;;
        *readyz) echo "maxwhisper: ready" ;;
    esac""",
}
COMMANDS = (
    *("id", "nvidia-smi", "apt-get", "curl", "useradd", "install", "git", "python3", "pip", "uv"),
    *("runuser", "systemctl", "caddy", "segno", "sleep"),
)
NEEDED = ("bash", "cat", "dirname", "env", "grep", "ln", "mkdir", "sh", "touch", "tr")


class Box:
    """A machine in a folder: `run` deploys on it, `calls` is what was called."""

    def __init__(self, folder: Path) -> None:
        self.root, self.app = folder / "root", folder / "opt" / "maxwhisper"
        self._fakes, answers = folder / "fakes", folder / "answers"
        for each in (self.root / "etc", self.app / "deploy/lambda", self._fakes, answers):
            each.mkdir(parents=True)
        shutil.copy(ROOT / SCRIPT, self.app / SCRIPT)
        (self.app / "packages.txt").write_text("ffmpeg\n")
        (self.root / "etc/os-release").write_text('ID=ubuntu\nVERSION_ID="24.04"\n')
        for name in COMMANDS:
            write_script(self._fakes / name, FAKE)
        for name, body in ANSWERS.items():
            write_script(answers / name, f"#!/bin/bash\n{body}\n")
        for name in NEEDED:
            (self._fakes / name).symlink_to(shutil.which(name))
        self._log = folder / "calls"
        self._environment = {
            "PATH": str(self._fakes),
            "FAKES": str(self._fakes),
            "ANSWERS": str(answers),
            "CALLS": str(self._log),
            "DESTDIR": str(self.root),
            "FAILS": "",
        }

    def run(self, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
        self._log.write_text("")
        return subprocess.run(
            [self.app / SCRIPT, *flags],
            env=self._environment | environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    @property
    def calls(self) -> list[str]:
        return self._log.read_text().replace(f"{self.root}/", "/").splitlines()

    def without(self, command: str) -> None:
        (self._fakes / command).unlink()

    def file(self, path: str) -> str:
        return (self.root / path).read_text()


def write_script(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def position(lines: list[str], *words: str) -> int:
    """Number of the first line that holds all words."""
    return next(n for n, line in enumerate(lines) if all(word in line for word in words))


@pytest.fixture
def box(tmp_path):
    return Box(tmp_path)


ORDER = [
    ("nvidia-smi",),
    ("apt-get", "install", "ca-certificates curl"),
    ("apt-get", "install", "caddy git python3-venv ffmpeg"),
    ("useradd", "maxwhisper"),
    ("pip", "uv=="),
    ("uv", "venv", "--python 3.11"),
    ("uv", "pip install", "requirements.txt", "requirements-gpu.txt"),
    ("compile", "--model demo", "--device gpu"),
    ("selftest", "--model demo", "--device gpu"),
    ("transcribe", "--engine openai-whisper", "--device gpu"),
    ("transcribe", "--engine faster-whisper", "--device gpu"),
    ("transcribe", "--engine maxwhisper", "--device gpu"),
    ("systemctl restart maxwhisper",),
    ("caddy validate",),
    ("systemctl reload-or-restart caddy",),
    ("http://127.0.0.1:7860/readyz",),
    (f"https://{NAME}/readyz",),
    (f"https://{NAME}/gradio_api/upload",),
    ("segno", f"https://{NAME}"),
]


def test_a_bare_box_becomes_a_page(box):
    result = box.run()
    assert result.returncode == 0, result.stderr
    positions = [position(box.calls, *words) for words in ORDER]
    assert positions == sorted(positions)
    assert f"https://{NAME}" in result.stdout.splitlines()[-8:][0]
    assert "let TCP 80 and 443 in" in result.stdout


def test_the_service_can_only_run_on_the_gpu(box):
    box.run("--model", "tiny", "--model", "demo")
    unit = box.file("etc/systemd/system/maxwhisper.service")
    start = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    assert start.endswith("--host 127.0.0.1 --port 7860 --device gpu --model tiny --model demo")
    assert f"WorkingDirectory={box.app}\n" in unit
    for model in ("tiny", "demo"):
        assert any(f"selftest --model {model} --device gpu" in call for call in box.calls)


def test_again_changes_nothing_and_asks_for_no_second_user(box):
    box.run()
    files = {path: path.stat().st_mtime_ns for path in box.root.rglob("*") if path.is_file()}
    result = box.run()
    assert result.returncode == 0, result.stderr
    assert not [
        call for call in box.calls if call.startswith(("useradd", "git config --system --add"))
    ]
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_a_dry_run_prints_every_command_and_runs_none(box):
    shown = [line for line in box.run().stdout.splitlines() if line.startswith("+ ")]
    dry = box.run("--dry-run")
    assert (dry.returncode, box.calls) == (0, [])
    stand_ins = {"198-51-100-9": "203-0-113-7", "/tmp/u/plain.flac": "FILE", "/e1": "/EVENT"}
    for answer, stand_in in stand_ins.items():
        shown = [line.replace(answer, stand_in) for line in shown]
    assert [line for line in dry.stdout.splitlines() if line.startswith("+ ")] == shown
    assert "ExecStart=" in dry.stdout, "files are shown with their content"


def test_with_a_name_nobody_is_asked_for_the_address(box):
    box.run("--domain", "whisper.example.org", "--email", "me@example.org")
    assert not [call for call in box.calls if "ipify" in call]
    caddyfile = box.file("etc/caddy/Caddyfile")
    assert "email me@example.org" in caddyfile
    assert "\nwhisper.example.org {" in caddyfile
    assert "tls internal" not in caddyfile


def test_an_internal_certificate_is_trusted_by_its_own_test(box):
    assert box.run("--internal-ca").returncode == 0
    assert f"{NAME} {{\n\ttls internal\n" in box.file("etc/caddy/Caddyfile")
    assert "--cacert" in box.calls[position(box.calls, f"https://{NAME}/readyz")]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"FAKE_USER": "1000"}, "expected root, got user 1000: run it with sudo"),
        ({"FAKE_DRIVER": "570.12"}, "expected NVIDIA driver 580 or newer, got 570.12"),
        ({"FAKE_DRIVER": "no devices"}, "expected a driver's version from nvidia-smi"),
    ],
)
def test_what_this_machine_must_have(box, environment, message):
    result = box.run(**environment)
    assert result.returncode == 1
    assert message in result.stderr
    assert not [call for call in box.calls if call.startswith("apt-get")], "nothing was changed"


def test_without_a_driver(box):
    box.without("nvidia-smi")
    result = box.run()
    assert result.returncode == 1
    assert "expected an NVIDIA driver, found no nvidia-smi: choose an image" in result.stderr
    assert box.calls == ["id -u"]


def test_another_ubuntu_is_refused(box):
    (box.root / "etc/os-release").write_text('ID=ubuntu\nVERSION_ID="20.04"\n')
    result = box.run()
    assert result.returncode == 1
    assert "expected Ubuntu 22.04 or 24.04, got ubuntu 20.04" in result.stderr


@pytest.mark.parametrize(
    ("fails", "doing", "advice", "never"),
    [
        ("install --yes", "installing system packages", "another apt at work", "useradd"),
        (
            "selftest",
            "checking every component of demo on the GPU",
            "do not go on stage",
            "systemctl",
        ),
        ("caddy validate", "starting the proxy", "journalctl -u caddy", "readyz"),
    ],
)
def test_a_step_that_fails_says_what_to_do_and_ends_it(box, fails, doing, advice, never):
    result = box.run(FAILS=fails)
    assert result.returncode == 1
    assert f"ERROR while {doing}" in result.stderr
    assert "ended with 7" in result.stderr
    assert advice in result.stderr
    assert result.stderr.count("ERROR") == 1
    assert not [call for call in box.calls if never in call]


def test_a_page_that_cannot_transcribe_is_no_success(box):
    result = box.run(FAKE_EVENT="event: error\ndata: no engine is ready")
    assert result.returncode == 1
    assert "no engine is ready" in result.stderr


@pytest.mark.parametrize("flags", [["--domain"], ["--model", "a b"], ["--what"]])
def test_a_wrong_command_line(box, flags):
    result = box.run(*flags)
    assert (result.returncode, box.calls) == (2, [])
    assert "--help" in result.stderr


def test_help(box):
    result = box.run("--help")
    assert (result.returncode, box.calls) == (0, [])
    assert all(flag in result.stdout for flag in ("--domain", "--internal-ca", "--dry-run"))


def test_shellcheck_has_nothing_to_say():
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed: apt-get install shellcheck")
    result = subprocess.run(
        ["shellcheck", ROOT / SCRIPT],
        capture_output=True,
        text=True,
        env=os.environ | {"LANG": "C.UTF-8"},
    )
    assert result.stdout == ""


def test_the_runbook_names_what_exists():
    runbook = (ROOT / "deploy/RUNBOOK.md").read_text()
    assert SCRIPT in runbook
    usage = subprocess.run([ROOT / SCRIPT, "--help"], capture_output=True, text=True).stdout
    page = (ROOT / "app.py").read_text()
    for flag in {word for word in runbook.replace("`", " ").split() if word.startswith("--")}:
        assert flag in usage or flag in page, flag
