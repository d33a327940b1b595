"""The suite `callers`: programs that use the API at once, slow senders among them.

Each caller sends one short recording after another to our engine. It must get its own words, soon
enough, or a refusal at once. Recordings that wait are decoded together, so that many callers get
more done than one.
"""

import http.client
import json
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from tools.robustness.crowd import Visitor, slow_senders
from tools.robustness.page import Page, form, running_page
from tools.robustness.recordings import CLIPS
from tools.robustness.suite import Case, SuiteRun, Unexpected

BAR = (
    "1, 8, 32 and 100 callers, slow senders among them: each gets its own words, or within 0.2 s "
    "a refusal that says when to come back; nobody starves; 32 callers get twice as much done as "
    "one"
)
MODEL = "maxwhisper/demo"
ENDPOINT = "/v1/audio/transcriptions"
NAMES = ("plain.flac", "numbers.flac", "noisy.flac", "two_voices.flac")
CALLERS, SHORT_CALLERS = (1, 8, 32, 100), (1, 4)
SENT = 160  # recordings for each number of callers, or one for each of them
SHORT_SENT = 8
REFUSAL_S = 0.2
PATIENCE_S = 300.0
# A caller waits for the others' recordings before its own: twice as long as all of them take on
# average, and one more turn.
STARVING, TURN_S = 2.0, 5.0
GAIN = 2.0


@dataclass(frozen=True)
class Call:
    """One recording that was sent. `text` is None where it was refused."""

    name: str
    status: int
    text: str | None
    retry_after: str
    seconds: float
    problem: str = ""


def cases(run: SuiteRun) -> Iterator[Case]:
    limits = {"MAXWHISPER_MAX_MINUTES": "0", "MAXWHISPER_MAX_UPLOADS": "0"}
    with running_page(environment=limits) as page:
        alone = {name: _call(page, 1, name) for name in NAMES}
        for name, call in alone.items():
            yield Case("alone", name, partial(_check, call, call.text or "?"))
        texts = {name: call.text or "" for name, call in alone.items()}
        rates: dict[int, float] = {}
        for n in SHORT_CALLERS if run.is_short else CALLERS:
            n_sent = max(n, SHORT_SENT if run.is_short else SENT)
            with slow_senders(page.host, page.port, max(1, n // 8)):
                started_s = time.monotonic()
                calls = _calls(page, n, n_sent)
                seconds = time.monotonic() - started_s
            answered = sum(call.text is not None for call in calls)
            rates[n] = answered / seconds
            run.measure(f"{n} callers: recordings a second", rates[n])
            run.measure(f"{n} callers: slowest answer, seconds", max(c.seconds for c in calls))
            for number, call in enumerate(calls):
                yield Case(_group(n), f"call {number}", partial(_check, call, texts[call.name]))
            yield Case(_group(n), "nobody starves", partial(_check_wait, calls, n, rates[n]))
        if not run.is_short:
            yield Case("all", f"32 callers get {GAIN:g}× done", partial(_check_gain, rates))


def _group(n: int) -> str:
    return "1 caller" if n == 1 else f"{n} callers"


def _calls(page: Page, n_callers: int, n_sent: int) -> list[Call]:
    """`n_callers` threads that send `n_sent` recordings between them, each one after another."""
    lock, left = threading.Lock(), iter(range(n_sent))

    def send(caller: int) -> list[Call]:
        calls: list[Call] = []
        while True:
            with lock:
                number = next(left, None)
            if number is None:
                return calls
            calls.append(_call(page, caller, NAMES[number % len(NAMES)]))

    with ThreadPoolExecutor(n_callers) as pool:
        return [call for calls in pool.map(send, range(n_callers)) for call in calls]


def _call(page: Page, caller: int, name: str) -> Call:
    """Send a recording as `caller`, from an address of its own."""
    fields = {"model": MODEL, "language": "en", "temperature": "0", "response_format": "json"}
    body, kind = form(name, (CLIPS / name).read_bytes(), "file", fields)
    headers = {**Visitor(page.host, page.port, caller).headers, "Content-Type": kind}
    started_s = time.monotonic()
    try:
        answer = page.request("POST", ENDPOINT, body, headers, timeout_s=PATIENCE_S)
    except (OSError, http.client.HTTPException) as error:
        return Call(name, 0, None, "", time.monotonic() - started_s, repr(error))
    seconds = time.monotonic() - started_s
    if answer.status != 200:
        retry = answer.headers.get("retry-after", "")
        return Call(name, answer.status, None, retry, seconds, answer.text[:200])
    return Call(name, 200, str(json.loads(answer.body)["text"]), "", seconds)


def _check(call: Call, expected: str) -> None:
    if call.text is not None:
        if call.text != expected:
            raise Unexpected(f"expected {expected!r:.150}, got {call.text!r:.150}")
    elif call.status not in (429, 503) or not call.retry_after:
        raise Unexpected(f"expected a text or Retry-After, got {call.status}: {call.problem}")
    elif call.seconds > REFUSAL_S:
        raise Unexpected(f"expected a refusal within {REFUSAL_S} s, got {call.seconds:.2f} s")


def _check_wait(calls: Sequence[Call], n_callers: int, rate: float) -> None:
    if not rate:
        raise Unexpected("expected answers, got none")
    allowed_s = STARVING * n_callers / rate + TURN_S
    slowest = max(call.seconds for call in calls)
    if slowest > allowed_s:
        raise Unexpected(f"expected every answer within {allowed_s:.1f} s, got {slowest:.1f} s")


def _check_gain(rates: Mapping[int, float]) -> None:
    gain = rates[32] / rates[1]
    if gain < GAIN:
        raise Unexpected(f"expected {GAIN:g} times the recordings of one caller, got {gain:.2f}")
