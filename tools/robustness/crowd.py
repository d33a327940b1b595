"""Visitors of the page, as many as asked: each opens it as gradio's script does, and races a clip.

In: the address of a running page. Out: what each visitor saw, with times. Knows nothing of the
project's code: it speaks HTTP.
"""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tools.robustness.page import BOUNDARY, form

PATIENCE_S = 600.0  # for the next line of an answer: a hundred visitors wait for each other
DRIP_S = 1.0  # a slow sender sends a byte this often


@dataclass(frozen=True)
class Clip:
    """A recording to race."""

    name: str
    data: bytes


@dataclass
class Visit:
    """What one visitor saw. Times are monotonic."""

    visitor: int
    clip: str
    statuses: list[int] = field(default_factory=list)  # of every request that opens the page
    n_loads: int = 0  # load events that ended well
    problem: str = ""  # why the race gave no texts
    told: list[int] = field(default_factory=list)  # races ahead, as the page said
    joined_s: float = 0.0  # first told
    started_s: float = 0.0  # nobody ahead
    ended_s: float = 0.0
    texts: dict[str, str] = field(default_factory=dict)  # by engine

    @property
    def waited_s(self) -> float:
        return self.started_s - self.joined_s


class Visitor:
    """Visitor `number`, from an address of its own, which a proxy on this machine names."""

    def __init__(self, host: str, port: int, number: int) -> None:
        self._host, self._port = host, port
        self.number = number
        self.session = f"visitor-{number}"
        self.model = "demo"
        self.headers = {"X-Forwarded-For": f"198.18.{number // 250}.{number % 250 + 1}"}

    def visit(self, clip: Clip) -> Visit:
        """Open the page, then race."""
        visit = Visit(self.number, clip.name)
        try:
            self.open(visit)
            self.race(clip, visit)
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            visit.problem = f"{type(error).__name__}: {error}"
        return visit

    def open(self, visit: Visit) -> None:
        """Get the page and its configuration, and run its load events as gradio's script does."""
        visit.statuses.append(self._ask("GET", "/")[0])
        status, body = self._ask("GET", "/config")
        visit.statuses.append(status)
        loads = [
            each
            for each in json.loads(body)["dependencies"]
            if any(trigger == "load" for _, trigger in each["targets"])
        ]
        for each in loads:
            asked = {"fn_index": each["id"], "session_hash": self.session}
            data = {"data": [None] * len(each["inputs"]), **asked}
            visit.statuses.append(self._ask("POST", "/gradio_api/queue/join", _json(data))[0])
        for line in self._lines(f"/gradio_api/queue/data?session_hash={self.session}"):
            message = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else {}
            visit.n_loads += message.get("msg") == "process_completed" and message["success"]
        if visit.n_loads < len(loads):
            visit.statuses.append(0)

    def race(self, clip: Clip, visit: Visit) -> None:
        """Upload the clip, run every engine on it and read the answer as it comes."""
        status, body = self._ask("POST", "/gradio_api/upload", form(clip.name, clip.data))
        if status != 200:
            visit.problem = f"upload: {status} {body[:200]!r}"
            return
        recording = {"path": json.loads(body)[0], "meta": {"_type": "gradio.FileData"}}
        data = {"data": [recording, self.model, "en", "", 1, False, {}]}
        status, body = self._ask("POST", "/gradio_api/call/compare", _json(data))
        if status != 200:
            visit.problem = f"race: {status} {body[:200]!r}"
            return
        event = ""
        for line in self._lines(f"/gradio_api/call/compare/{json.loads(body)['event_id']}"):
            kind, _, value = line.partition(": ")
            if kind == "event":
                event = value
            elif kind == "data" and event in ("generating", "complete", "error"):
                self._see(event, json.loads(value), visit)
        visit.ended_s = visit.ended_s or time.monotonic()

    def _see(self, event: str, data: object, visit: Visit) -> None:
        if event == "error" or not isinstance(data, list):
            visit.problem = f"race: {data!r:.200}"
        elif "run" in data[0]:
            results = data[0]["run"]["results"]
            visit.texts = {each["engine"]: each["transcript"]["text"] for each in results}
            visit.ended_s = visit.ended_s or time.monotonic()
        else:
            visit.told.append(data[0]["races_ahead"])
            visit.joined_s = visit.joined_s or time.monotonic()
            if not visit.told[-1]:
                visit.started_s = visit.started_s or time.monotonic()

    def _ask(
        self, method: str, path: str, body: tuple[bytes, str] | None = None
    ) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE_S)
        try:
            content, kind = body or (None, "")
            headers = {**self.headers, **({"Content-Type": kind} if kind else {})}
            connection.request(method, path, content, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def _lines(self, path: str) -> Iterator[str]:
        """The lines of a stream of events, as they come."""
        connection = http.client.HTTPConnection(self._host, self._port, timeout=PATIENCE_S)
        try:
            connection.request("GET", path, headers=self.headers)
            answer = connection.getresponse()
            while line := answer.readline():
                yield line.decode().rstrip("\n")
        finally:
            connection.close()


def wave(host: str, port: int, clips: Sequence[Clip], n: int) -> list[Visit]:
    """`n` visitors at once, each with the next clip."""
    visitors = [Visitor(host, port, number) for number in range(n)]
    with ThreadPoolExecutor(n) as threads:
        return list(threads.map(lambda who: who.visit(clips[who.number % len(clips)]), visitors))


@contextmanager
def slow_senders(host: str, port: int, n: int) -> Iterator[None]:
    """While open, `n` visitors drip uploads, a byte at a time, and begin again when cut off."""
    done = threading.Event()

    def drip(number: int) -> None:
        head = (
            "POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\n"
            f"X-Forwarded-For: 198.19.0.{number + 1}\r\nContent-Length: 1000000\r\n"
            f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n--{BOUNDARY}"
        )
        while not done.wait(DRIP_S):
            with suppress(OSError), socket.create_connection((host, port), timeout=5) as sender:
                sender.sendall(head.encode())
                while not done.wait(DRIP_S):
                    sender.sendall(b"-")

    threads = [threading.Thread(target=drip, args=(number,), daemon=True) for number in range(n)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        done.set()
        for thread in threads:
            thread.join()


def _json(data: object) -> tuple[bytes, str]:
    return json.dumps(data).encode(), "application/json"
