"""The suite `bad_inputs`: every file of `bad_files` and every bad value, at three doors.

Library, command line and page get the same files. Each must give the refusal or the seconds that
follow from how the file was made, and say what is missing. The page is asked over HTTP, as its own
recorder does: the answer to an upload, before Run.
"""

import json
import re
import subprocess
import sys
import tempfile
import uuid
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import maxwhisper
from maxwhisper.errors import AudioError, OptionError
from tools.robustness.bad_files import recipes
from tools.robustness.page import ROOT, Answer, Page, running_page
from tools.robustness.recordings import DELAY_S, RATE, Expected, Recipe, encoded, text
from tools.robustness.suite import Case, SuiteRun, Unexpected

BAR = (
    "at least 400 generated inputs by library, command line and page: all of them the expected "
    "typed error or the right text; nothing heard partly without saying so; no 5xx, no traceback"
)
LIMIT_S = 600.0  # of a recording, at every door
PAGE_MIN_S = 0.1
BATCH = 60  # files of one command
SHORT_STEP = 97  # in a short run one file of so many
BYTES_TOLERANCE_S = 0.5  # a part of a file by its bytes: no codec has a constant rate
SAID_TOLERANCE_S = 0.25  # heard and said together: two roundings, and the delay of an encoder
ALIKE = 0.8  # of the characters of a text; at 8 kHz and 64 kbit/s one word may differ

# Bad values of options: name, value. Every one is an `OptionError`, and a refusal of the page.
BAD_VALUES: dict[str, list[Any]] = {
    "task": ["sing", "", None, 3, True, ["transcribe"], "\0", "x" * 9999],
    "beam_size": [0, -1, 2.5, "5", True, [1], float("nan"), 10**30],
    "temperature": [-0.1, None, "0", True, [], [None], float("nan"), float("inf"), {}, -(10**400)],
    "without_timestamps": [None, 1, "True", [], 0.0],
    "word_timestamps": [None, 1, "False", {}],
    "condition_on_previous_text": [None, 0, "no"],
    "initial_prompt": [
        *(5, True, {}, [1.5], [[1]], "<|endoftext|>", "a <|startoftranscript|> b", "<|0.00|>"),
        *("<|nospeech|>", "a <|de|> b", "<|yue|>", "a\ud800b"),
    ],
    "language": ["xx", "x" * 10_000, 5, True, ["en"], "\0", "e\nn", " ", "\udcff"],
}
BAD_OPTIONS = [(name, value) for name, values in BAD_VALUES.items() for value in values]
PAGE_VALUES: dict[str, list[Any]] = {
    "rounds": [0, 6, -1, True, {}, "1", 1.5, [1], 10**12],
    "keep": [None, 1, "yes", []],
    "reference": [None, 5, ["a"], "x" * 20_001],
    "model": [None, 5, "huge", "../demo", "/etc/passwd", "x" * 9999],
    "options": [5, "x", ["task"], {"vad": "now and then"}, {"x" * 999: 1}],
    "recording": [None, {}, 5, "x", {"path": 5}, {"path": "/etc/hostname"}],
}
PAGE_ONLY = [(name, value) for name, values in PAGE_VALUES.items() for value in values]
BAD_FLAGS: list[list[str]] = [
    ["--beam_size", "abc"],
    ["--beam_size", "0"],
    ["--temperature", "nan"],
    ["--temperature", "0,x"],
    ["--language", "x" * 10_000],
    ["--initial_prompt", "<|endoftext|>"],
    ["--initial_prompt", b"\xff".decode("utf-8", "surrogateescape")],
    ["--suppress_tokens", "one"],
    ["--clip_timestamps", "a,b"],
    ["--word_timestamps", "maybe"],
    ["--patience", "inf"],
    ["--seed", "-1"],
]


@dataclass(frozen=True)
class Outcome:
    """What one door said to one file. `code` and `error` are empty for a file that was heard."""

    code: str = ""  # of the library's error
    error: str = ""
    seconds: float | None = None
    warning: str = ""
    text: str | None = None


def cases(run: SuiteRun) -> Iterator[Case]:
    """Every file at the library; the others in batches and at a running page."""
    chosen = list(recipes())[:: SHORT_STEP if run.is_short else 1]
    run.measure("generated files", len(chosen))
    for recipe in chosen:
        yield Case(f"library: {recipe.group}", recipe.name, partial(_library, recipe))
    yield from _library_options(run)
    yield from _command_line(chosen[:3] if run.is_short else chosen)
    for flags in BAD_FLAGS[:: 6 if run.is_short else 1]:
        name = " ".join(flags)[:40]
        yield Case("command line: options", repr(name), partial(_flags, flags))
    with running_page(wait=False) as page:
        _wait_for_http(page)
        for recipe in chosen:
            yield Case(f"page: {recipe.group}", recipe.name, partial(_page, page, recipe))
        values = [*BAD_OPTIONS, *PAGE_ONLY][:: 20 if run.is_short else 1]
        for number, (name, value) in enumerate(values):
            check = partial(_payload, page, name, value)
            yield Case("page: options", f"{number}: {name}={value!r:.30}", check)
        if not run.is_short:
            page.wait_until_ready()
            yield Case("page: race", "a whole recording", partial(_race, page, is_damaged=False))
            yield Case("page: race", "a damaged recording", partial(_race, page, is_damaged=True))
        yield Case("page: log", "no traceback", partial(_log, page))


def judge(outcome: Outcome, expected: Expected, least_s: float = 0.0) -> None:
    """Raise `Unexpected` unless `outcome` is one that `expected` allows. The door refuses
    recordings shorter than `least_s`."""
    got = f"got {outcome.code or outcome.error or outcome}"
    if "Traceback" in outcome.error or "Internal error" in outcome.error:
        raise Unexpected(f"expected an answer, {got}")
    if outcome.error:
        is_too_short = expected.seconds is not None and expected.seconds < least_s
        is_expected = outcome.code in expected.codes if outcome.code else bool(expected.codes)
        if not is_expected and not is_too_short:
            raise Unexpected(f"expected {sorted(expected.codes) or 'no refusal'}, {got}")
        if len(outcome.error) > 400:
            raise Unexpected(f"expected a short refusal, got {len(outcome.error)} characters")
        return
    if expected.seconds is None:
        raise Unexpected(f"expected a refusal of {sorted(expected.codes)}, {got}")
    if outcome.seconds is not None:
        _judge_seconds(outcome, expected, got)
    elif outcome.warning and not expected.may_lack:
        raise Unexpected(f"expected no warning, got {outcome.warning!r}")
    if expected.has_text and outcome.text is not None:
        alike = SequenceMatcher(None, outcome.text.strip().lower(), text().lower()).ratio()
        if alike < ALIKE:
            raise Unexpected(f"expected {text()!r}, got {outcome.text!r}")


def _judge_seconds(outcome: Outcome, expected: Expected, got: str) -> None:
    assert outcome.seconds is not None
    assert expected.seconds is not None
    lost = sum(float(number) for number in re.findall(r"(\d+\.\d) s", outcome.warning))
    if expected.may_lack and "no end mark" in outcome.warning:
        return  # nobody can know how much is missing
    tolerance = DELAY_S
    if expected.may_lack:
        tolerance = SAID_TOLERANCE_S if outcome.warning else DELAY_S
    elif expected.codes:
        tolerance = BYTES_TOLERANCE_S
    elif outcome.warning:
        raise Unexpected(f"expected no warning, got {outcome.warning!r}")
    if abs(outcome.seconds + lost - expected.seconds) > tolerance:
        raise Unexpected(f"expected {expected.seconds:.2f} s heard or said, {got}")


def _library(recipe: Recipe) -> None:
    """`maxwhisper.audio` reads the file."""
    from maxwhisper.audio.load import decode

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        path = Path(folder, recipe.file_name)
        path.write_bytes(recipe.make())
        try:
            waveform = decode(path, max_seconds=LIMIT_S)
        except AudioError as error:
            judge(Outcome(error.code, str(error)), recipe.expected)
            return
    if not np.isfinite(waveform).all():
        raise Unexpected("expected finite samples")
    warning = " ".join(str(each.message) for each in said)
    judge(Outcome(seconds=len(waveform) / RATE, warning=warning), recipe.expected)


def _library_options(run: SuiteRun) -> Iterator[Case]:
    model = maxwhisper.load("demo")
    for number, (name, value) in enumerate(BAD_OPTIONS[:: 10 if run.is_short else 1]):

        def check(name: str = name, value: Any = value) -> None:
            try:
                model.transcribe(np.zeros(RATE, np.float32), **{name: value})
            except OptionError as error:
                if len(str(error)) > 700:  # a list of languages is the longest
                    raise Unexpected(f"expected a short text, got {len(str(error))}") from None
                return
            raise Unexpected(f"expected OptionError for {name}={value!r:.40}")

        yield Case("library: options", f"{number}: {name}={value!r:.30}", check)


def _command_line(chosen: Sequence[Recipe]) -> Iterator[Case]:
    """One command for each batch, and a case for each file of its answer."""
    flags = ["--json", "--language", "en", "--temperature", "0"]
    usable = [recipe for recipe in chosen if recipe.group != "bombs"]  # no limit at this door
    for start in range(0, len(usable), BATCH):
        batch = usable[start : start + BATCH]
        with tempfile.TemporaryDirectory() as folder:
            files = []
            for number, recipe in enumerate(batch):
                path = Path(folder, str(number), recipe.file_name)
                path.parent.mkdir()
                path.write_bytes(recipe.make())
                files.append(str(path))
            done = _maxwhisper(["transcribe", *flags, "--", *files])
        for number, recipe in enumerate(batch):
            check = partial(_answered, done, files[number], recipe)
            yield Case(f"command line: {recipe.group}", recipe.name, check)


def _answered(done: "subprocess.CompletedProcess[str]", file: str, recipe: Recipe) -> None:
    if done.returncode not in (0, 1) or "Traceback" in done.stderr:
        raise Unexpected(f"expected exit code 0 or 1, got {done.returncode}: {done.stderr[-300:]}")
    entry = next(e for e in map(json.loads, done.stdout.splitlines()) if e["file"] == file)
    if "error" in entry:
        judge(Outcome(error=entry["error"]), recipe.expected)
    else:
        warning, seconds = entry.get("warning", ""), entry["duration"]
        judge(Outcome("", "", seconds, warning, entry["text"]), recipe.expected)


def _flags(flags: list[str]) -> None:
    done = _maxwhisper(["transcribe", str(ROOT / "examples" / "clips" / "plain.flac"), *flags])
    lines = done.stderr.strip().splitlines()
    is_refused = done.returncode in (1, 2) and "error: " in lines[-1] and not done.stdout
    if not is_refused or "Traceback" in done.stderr or len(lines[-1]) > 800:
        raise Unexpected(f"expected one line, got {done.returncode}: {done.stderr[-300:]}")


def _maxwhisper(arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "maxwhisper", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, timeout=1200, check=False
    )


def _page(page: Page, recipe: Recipe) -> None:
    """The recorder's upload, and its answer below the player."""
    sent = _upload(page, recipe.file_name, recipe.make())
    if sent is None:  # an empty or nameless part of the form: nothing was stored
        judge(Outcome(error="nothing was uploaded"), recipe.expected)
        return
    outputs = _event(page, "receive", [sent, None])
    problem = re.sub(r"<[^>]+>", "", str(outputs[4])).strip()
    is_accepted = outputs[3].get("interactive", False)  # of the button Run
    if is_accepted == ("no engine hears" not in problem and bool(problem)):
        raise Unexpected(f"expected Run or a reason, got {is_accepted} and {problem!r}")
    outcome = Outcome(warning=problem) if is_accepted else Outcome(error=problem)
    judge(outcome, recipe.expected, PAGE_MIN_S)


def _payload(page: Page, name: str, value: Any) -> None:
    """The endpoint with one bad value: an error in words, or a refused request."""
    values: dict[str, Any] = {
        "recording": _upload(page, "voice.wav", encoded("pcm16.wav")),
        **{"model": "", "language": "en", "reference": "", "rounds": 1, "keep": False},
        "options": {},
    }
    if name in values:
        values[name] = value
    else:
        values["options"] = {name: value}
    asked = _post(page, "/gradio_api/call/compare", {"data": list(values.values())})
    if asked.status >= 500:
        raise Unexpected(f"expected a refusal, got {asked.status}: {asked.text[:200]}")
    if asked.status != 200:
        return
    event = json.loads(asked.text)["event_id"]
    told = page.request("GET", f"/gradio_api/call/compare/{event}", timeout_s=120).text
    if "event: error" not in told or "Internal error" in told or "null" in told.split("data:")[-1]:
        raise Unexpected(f"expected a reason, got {told[-300:]}")


def _race(page: Page, *, is_damaged: bool) -> None:
    """Three engines on one recording: the text is right, or what is missing stands beside it."""
    data = encoded("live.webm")
    if is_damaged:
        middle = len(data) // 2
        data = data[:middle] + bytes(1000) + data[middle + 1000 :]
    sent = _upload(page, "voice.webm", data)
    options = {"data": [sent, "", "en", "", 1, False, {}]}
    event = json.loads(_post(page, "/gradio_api/call/compare", options).text)["event_id"]
    told = page.request("GET", f"/gradio_api/call/compare/{event}", timeout_s=600).text
    answer = json.loads(told.strip().splitlines()[-1].removeprefix("data: "))[0]
    if is_damaged and "could not be decoded" not in " ".join(answer["verdict"]):
        raise Unexpected(f"expected what is missing, got {answer['verdict']}")
    if len(answer["run"]["results"]) != 3:
        raise Unexpected(f"expected three answers, got {answer['run']['refused']}")
    for result in answer["run"]["results"]:
        if not is_damaged:
            outcome = Outcome(text=result["transcript"]["text"])
            judge(outcome, Expected(seconds=0.0, has_text=True))


def _log(page: Page) -> None:
    log = page.log.read_text(errors="replace")
    if "Traceback" in log:
        raise Unexpected(f"expected no traceback, got {log[log.index('Traceback') :][:350]}")


def _upload(page: Page, name: str, data: bytes) -> dict[str, Any] | None:
    """Send a file as the recorder does. Returns it as an argument, None if it was refused."""
    mark = uuid.uuid4().hex
    quoted = name.replace('"', "%22").replace("\n", "%0A")
    head = f'--{mark}\r\nContent-Disposition: form-data; name="files"; filename="{quoted}"\r\n'
    body = f"{head}Content-Type: audio/x\r\n\r\n".encode() + data + f"\r\n--{mark}--\r\n".encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={mark}"}
    answer = page.request("POST", "/gradio_api/upload", body, headers, timeout_s=60)
    if answer.status >= 500:
        raise Unexpected(f"expected an upload or a refusal, got {answer.status}: {answer.text}")
    if answer.status != 200:
        return None
    (path,) = json.loads(answer.text)
    return {"path": path, "orig_name": name, "meta": {"_type": "gradio.FileData"}}


def _event(page: Page, name: str, data: list[Any]) -> list[Any]:
    """Join the queue as the page does, and return the outputs of the handler called `name`."""
    session = uuid.uuid4().hex
    body = {"data": data, "fn_index": _handler(page, name), "session_hash": session}
    joined = _post(page, "/gradio_api/queue/join", body)
    if joined.status != 200:
        raise Unexpected(f"expected a place in the queue, got {joined.status}: {joined.text[:200]}")
    told = page.request("GET", f"/gradio_api/queue/data?session_hash={session}", timeout_s=120)
    for line in told.text.splitlines():
        if '"process_completed"' in line:
            result = json.loads(line.removeprefix("data:"))
            if not result["success"]:
                raise Unexpected(f"expected outputs, got {result['output']}")
            outputs: list[Any] = result["output"]["data"]
            return outputs
    raise Unexpected(f"expected an answer, got {told.text[-200:]}")


_handlers: dict[str, list[str]] = {}


def _handler(page: Page, name: str) -> int:
    """Index of the event handler called `name`."""
    if page.address not in _handlers:
        config = json.loads(page.request("GET", "/config").text)
        _handlers[page.address] = [each["api_name"] for each in config["dependencies"]]
    return _handlers[page.address].index(name)


def _post(page: Page, path: str, body: Any) -> Answer:
    return page.request(
        "POST", path, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )


def _wait_for_http(page: Page) -> None:
    """Uploads need no engine: wait for the page, not for the engines."""
    page.wait_until_ready(n_engines=0)
