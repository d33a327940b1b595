"""One visitor who uploads a recording and races the engines on it, over HTTP.

In: a running page and a file. Out: what each engine heard, or why it did not.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from tools.robustness.page import Page, form
from tools.robustness.recordings import said, words
from tools.robustness.suite import Unexpected

RACE_S = 180.0
API = "/gradio_api"

Progress = Mapping[str, str]  # the phase of each engine: "waiting", "running", "done", "refused"


@dataclass(frozen=True)
class Heard:
    """The end of a race, by engine."""

    texts: Mapping[str, str]
    refused: Mapping[str, str]


def race(page: Page, recording: Path, watch: Callable[[Progress], None] | None = None) -> Heard:
    """Race once; `watch` receives the phases as they change. Raises `RuntimeError` with the answer
    of a page that refuses, `OSError` when it hangs up."""
    body, kind = form(recording.name, recording.read_bytes())
    (path,) = json.loads(_post(page, f"{API}/upload", body, kind))
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    call = json.dumps({"data": [file, "", "en", "", 1, False, {}]}).encode()
    event = json.loads(_post(page, f"{API}/call/compare", call, "application/json"))["event_id"]
    run = _follow(page, f"{API}/call/compare/{event}", watch or (lambda phases: None))["run"]
    texts = {result["engine"]: _text(result["transcript"]) for result in run["results"]}
    return Heard(texts, run["refused"])


def check_words(texts: Mapping[str, str], clip: Path) -> None:
    """Raise `Unexpected` unless three engines heard exactly what is said in a bundled clip."""
    right = words(said(clip.name))
    wrong = {name: text for name, text in texts.items() if words(text) != right}
    if len(texts) != 3 or wrong:
        raise Unexpected(f"expected three times {right}, got {texts}")


def _text(transcript: Mapping[str, Any]) -> str:
    return str(transcript["text"])


def _post(page: Page, path: str, body: bytes, kind: str) -> str:
    answer = page.request("POST", path, body, {"content-type": kind}, timeout_s=RACE_S)
    if answer.status != 200:
        raise RuntimeError(f"{path} answered {answer.status}: {answer.text[:200]}")
    return answer.text


def _follow(page: Page, path: str, watch: Callable[[Progress], None]) -> dict[str, Any]:
    """Read the events of a race until it is over; returns the last one."""
    connection = HTTPConnection(page.host, page.port, timeout=RACE_S)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        name, last = "", {}
        for raw in answer:
            key, _, value = raw.decode().rstrip("\n").partition(": ")
            if key == "event":
                name = value
            if key == "data" and name == "error":
                raise RuntimeError(f"the race ended with {value[:400]}")
            if key == "data" and name in ("generating", "complete"):
                (last,) = json.loads(value)
                watch({n: e["phase"] for n, e in last.get("engines", {}).items()})
        if "run" not in last:
            raise RuntimeError(f"expected a finished race, got {str(last)[:200]}")
        return last
    finally:
        connection.close()
