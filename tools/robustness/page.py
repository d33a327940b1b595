"""The real page as a child process: `app.py` with a port, a cache and temporary folders of its own.

In: settings of the environment. Out: a `Page` with its address, its process and its folders.
"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
READY_S = 240.0  # three engines load the bundled checkpoint in about 10 s on two idle cores
STOP_S = 30.0
BOUNDARY = "edge-of-the-form"


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, read whole."""

    status: int
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", errors="replace")


@dataclass(frozen=True)
class Page:
    """A running page. `temporary` is its TMPDIR, `cache` its MAXWHISPER_CACHE, `log` its output."""

    host: str
    port: int
    process: subprocess.Popen[bytes]
    temporary: Path
    cache: Path
    log: Path

    @property
    def address(self) -> str:
        return f"http://{self.host}:{self.port}"

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float = 30.0,
    ) -> Answer:
        """Send one request and read its whole answer. Raises `OSError` when the page hangs up."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=timeout_s)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            named = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, named, answer.read())
        finally:
            connection.close()

    def wait_until_ready(self, within_s: float = READY_S, n_engines: int = 3) -> float:
        """Wait until /readyz says that `n_engines` are ready, and return the seconds. Raises
        `RuntimeError` with the end of the log when they are not, or when the page has ended."""
        started_s = time.monotonic()
        while time.monotonic() - started_s < within_s:
            if self.process.poll() is not None:
                raise RuntimeError(f"the page ended with {self.process.returncode}: {self.tail()}")
            try:
                states = self.request("GET", "/readyz", timeout_s=5.0).text.splitlines()
                if sum(state.endswith(": ready") for state in states) >= n_engines:
                    return time.monotonic() - started_s
            except (OSError, http.client.HTTPException):
                pass
            time.sleep(0.1)
        raise RuntimeError(f"the page was not ready within {within_s:.0f} s: {self.tail()}")

    def tail(self) -> str:
        """The last lines of the page's output."""
        return self.log.read_text(errors="replace")[-2000:]


def form(
    name: str, content: bytes, field: str = "files", fields: Mapping[str, str] | None = None
) -> tuple[bytes, str]:
    """A form with one file and other `fields`, and its content type."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'
        for key, value in (fields or {}).items()
    ]
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    body = "".join([*parts, head]).encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()
    return body, f"multipart/form-data; boundary={BOUNDARY}"


def free_port() -> int:
    """A port of this machine that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def running_page(
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    host: str = "127.0.0.1",
    wait: bool = True,
    arguments: Sequence[str] = ("--model", "demo"),
) -> Iterator[Page]:
    """Start the page, by default on the bundled checkpoint; with `wait`, return once it is ready.

    `folder` keeps cache and temporary folders for a restart; without it they are made and deleted.
    The page is stopped at the end, with SIGKILL for it and its engines when SIGTERM does not do.
    """
    with tempfile.TemporaryDirectory(prefix="robustness-") as made:
        home, port = folder or Path(made), free_port()
        command = [sys.executable, "app.py", "--host", host, "--port", str(port), *arguments]
        with started(command, port, home, environment or {}) as page:
            if wait:
                page.wait_until_ready()
            yield page


@contextmanager
def started(
    command: Sequence[str], port: int, home: Path, environment: Mapping[str, str]
) -> Iterator[Page]:
    """Start a page by its own command, with its folders in `home`, and stop it at the end."""
    temporary, cache, log = home / "tmp", home / "cache", home / "page.log"
    for part in (temporary, cache):
        part.mkdir(parents=True, exist_ok=True)
    settings = {"TMPDIR": str(temporary), "MAXWHISPER_CACHE": str(cache), **environment}
    with log.open("ab") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=os.environ | settings,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a group of its own: nothing survives `_stop`
        )
    try:
        yield Page("127.0.0.1", port, process, temporary, cache, log)
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_S)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
