"""The deployment script, on a machine whose commands only log that they were called. Its smoke test
runs against the real page: curl is real where the page is requested."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fakes.page import served_page

ROOT = Path(__file__).parents[1]
SCRIPT = "deploy/lambda/deploy_lambda_ai.sh"
NAME = "198-51-100-9.sslip.io"
DOMAIN = "whisper.example.org"

# Every fake logs its name and arguments in $CALLS, answers with $ANSWERS/NAME, and fails if that
# line contains $FAILS.
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
    # `python3 -m venv FOLDER` and `uv venv … FOLDER` create fakes
    "python3": 'mkdir -p "$3/bin" && ln -sf "$FAKES/pip" "$FAKES/uv" "$3/bin/"',
    "uv": '[[ $1 != venv ]] || { mkdir -p "${*: -1}/bin"; ln -sf "$FAKES/segno" "${*: -1}/bin/"; }',
    # Requests to the public name and to the local port go to the real page.
    "curl": """requests=("${@//https:\\/\\/$NAME/$PAGE}")
    requests=("${requests[@]//http:\\/\\/127.0.0.1:7860/$PAGE}")
    case "$*" in
        *ipify*) echo 198.51.100.9 ;;
        *"https://$NAME"*) exec "$REAL_CURL" -H "Host: $NAME" "${requests[@]}" ;;
        *127.0.0.1*) exec "$REAL_CURL" "${requests[@]}" ;;
    esac""",
}
COMMANDS = (
    *("id", "nvidia-smi", "apt-get", "curl", "useradd", "install", "git", "python3", "pip", "uv"),
    *("runuser", "systemctl", "caddy", "segno", "sleep"),
)
NEEDED = ("bash", "cat", "dirname", "env", "grep", "ln", "mkdir", "sh", "touch", "tr")


class Box:
    """A machine in a folder: `run` deploys on it, `calls` lists the calls. `page` is the address of
    the page that it serves."""

    def __init__(self, folder: Path, page: str) -> None:
        self.root, self.app = folder / "root", folder / "opt" / "maxwhisper"
        self._fakes, answers = folder / "fakes", folder / "answers"
        self.clip = self.app / "examples/clips/plain.flac"
        for each in (self.root / "etc", self.app / "deploy/lambda", self._fakes, answers):
            each.mkdir(parents=True)
        self.clip.parent.mkdir(parents=True)
        for file in (SCRIPT, "examples/clips/plain.flac"):
            shutil.copy(ROOT / file, self.app / file)
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
            "NAME": NAME,
            "PAGE": page.rstrip("/"),
            "REAL_CURL": str(shutil.which("curl")),
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
    """Number of the first line that contains all words."""
    return next(n for n, line in enumerate(lines) if all(word in line for word in words))


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Address of the real page, on fake engines."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed: apt-get install curl")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MAXWHISPER_HOSTS", f"{NAME},{DOMAIN}")  # the unit of the service has its own
        with served_page(patch, tmp_path_factory.mktemp("page")) as (address, *_):
            yield address


@pytest.fixture
def box(tmp_path, page):
    return Box(tmp_path, page)


ORDER = [
    ("nvidia-smi",),
    ("apt-get", "install", "ca-certificates curl"),
    ("apt-get", "install", "caddy git python3-venv ffmpeg"),
    ("useradd", "maxwhisper"),
    ("pip", "uv=="),
    ("uv", "venv", "--python 3.11"),
    ("uv", "pip install", "--require-hashes", "deploy/requirements.lock"),
    ("compile", "--model large-v3-turbo", "--device gpu"),
    ("selftest", "--model large-v3-turbo", "--device gpu"),
    ("transcribe", "--engine openai-whisper", "--device gpu"),
    ("transcribe", "--engine faster-whisper", "--device gpu"),
    ("transcribe", "--engine maxwhisper", "--device gpu"),
    ("compile", "--model demo", "--device gpu"),
    ("systemctl restart maxwhisper",),
    ("caddy validate",),
    ("systemctl reload-or-restart caddy",),
    ("http://127.0.0.1:7860/readyz",),
    (f"https://{NAME}/readyz",),
    (f"https://{NAME}/gradio_api/upload",),
    ("segno", f"https://{NAME}"),
]


def test_a_bare_machine_serves_the_page(box):
    result = box.run()
    assert result.returncode == 0, result.stderr
    positions = [position(box.calls, *words) for words in ORDER]
    assert positions == sorted(positions)
    assert f"https://{NAME}" in result.stdout.splitlines()[-8:][0]
    assert "allow inbound TCP 80 and 443" in result.stdout


@pytest.mark.parametrize("order", ["refuse", "exhaust"])  # to all fake engines, or one of them
def test_an_engine_that_refuses_fails_the_smoke_test(box, order):
    script = box.app / SCRIPT
    plain, spoiled = "false,{}]}", f'false,{{"initial_prompt":"{order}"}}]}}'
    assert plain in script.read_text()
    script.write_text(script.read_text().replace(plain, spoiled))
    result = box.run()
    assert result.returncode == 1
    assert "expected three transcripts, got: " in result.stderr


def test_the_service_can_only_run_on_the_gpu(box):
    box.run("--model", "tiny", "--model", "demo")
    unit = box.file("etc/systemd/system/maxwhisper.service")
    start = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    assert start.endswith("--host 127.0.0.1 --port 7860 --device gpu --model tiny --model demo")
    assert f"WorkingDirectory={box.app}\n" in unit
    for model in ("tiny", "demo"):
        assert any(f"selftest --model {model} --device gpu" in call for call in box.calls)


def test_a_second_run_changes_no_file_and_adds_no_user(box):
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
    stand_ins = {
        "198-51-100-9": "203-0-113-7",
        r"(?<=path\\\":\\\")[^\\]+": "FILE",  # in a shown command, quotes have backslashes
        r"(?<=compare/)[0-9a-f]{32}": "EVENT",
    }
    for answer, stand_in in stand_ins.items():
        shown = [re.sub(answer, stand_in, line) for line in shown]
    assert [line for line in dry.stdout.splitlines() if line.startswith("+ ")] == shown
    assert "ExecStart=" in dry.stdout, "files are shown with their content"


def test_with_a_domain_the_address_is_not_looked_up(box):
    result = box.run("--domain", DOMAIN, "--email", "me@example.org", NAME=DOMAIN)
    assert result.returncode == 0, result.stderr
    assert f" MAXWHISPER_HOSTS={DOMAIN}\n" in box.file("etc/systemd/system/maxwhisper.service")
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
def test_an_unsuitable_machine_is_refused(box, environment, message):
    result = box.run(**environment)
    assert result.returncode == 1
    assert message in result.stderr
    assert not [call for call in box.calls if call.startswith("apt-get")], "nothing is changed"


def test_a_machine_without_a_driver_is_refused(box):
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
        ("install --yes", "installing system packages", "another apt is running", "useradd"),
        (
            "selftest",
            "checking every component of large-v3-turbo on the GPU",
            "do not go on stage",
            "systemctl",
        ),
        ("caddy validate", "starting the proxy", "journalctl -u caddy", "readyz"),
    ],
)
def test_a_failed_step_ends_the_script_with_advice(box, fails, doing, advice, never):
    result = box.run(FAILS=fails)
    assert result.returncode == 1
    assert f"ERROR while {doing}" in result.stderr
    assert "ended with 7" in result.stderr
    assert advice in result.stderr
    assert result.stderr.count("ERROR") == 1
    assert not [call for call in box.calls if never in call]


def test_a_page_that_cannot_transcribe_is_a_failure(box):
    box.clip.write_text("no recording")
    result = box.run()
    assert result.returncode == 1
    assert "expected three transcripts, got: event: error" in result.stderr
    assert "This is a text file, not audio" in result.stderr


@pytest.mark.parametrize("flags", [["--domain"], ["--model", "a b"], ["--what"]])
def test_a_wrong_command_line_is_refused(box, flags):
    result = box.run(*flags)
    assert (result.returncode, box.calls) == (2, [])
    assert "--help" in result.stderr


def test_help_lists_the_flags(box):
    result = box.run("--help")
    assert (result.returncode, box.calls) == (0, [])
    assert all(flag in result.stdout for flag in ("--domain", "--internal-ca", "--dry-run"))


def test_shellcheck_finds_nothing():
    if shutil.which("shellcheck") is None:
        pytest.skip("shellcheck is not installed: apt-get install shellcheck")
    result = subprocess.run(
        ["shellcheck", ROOT / SCRIPT],
        capture_output=True,
        text=True,
        env=os.environ | {"LANG": "C.UTF-8"},
    )
    assert result.stdout == ""


def test_the_flags_in_the_runbook_exist():
    runbook = (ROOT / "deploy/RUNBOOK.md").read_text()
    assert SCRIPT in runbook
    usage = subprocess.run([ROOT / SCRIPT, "--help"], capture_output=True, text=True).stdout
    page = (ROOT / "app.py").read_text()
    for flag in {word for word in runbook.replace("`", " ").split() if word.startswith("--")}:
        assert flag in usage or flag in page, flag
