"""Suite `perimeter`: raw HTTP calls of the published attack classes, refused or without effect.

The real page runs at localhost with one public name. An attack is refused if the answer is a 4xx,
or none. It is without effect if nothing happened: no file was stored, no run kept, the canary in
the network has no visitor, and no answer has words of the canary file or the attacker's address.
Every attack must be without effect, and refused unless the page may ignore what is hostile in it;
both are counted. A few calls that are none of that must succeed, or a page that refuses everything
would pass.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tools.robustness import attacks
from tools.robustness.attacks import Attack
from tools.robustness.page import ROOT, Answer, Page, running_page
from tools.robustness.raw_http import Canary, canary, send, send_bytes
from tools.robustness.suite import Case, SuiteRun, Unexpected

BAR = (
    "at least 100 raw calls of the published attack classes: none has an effect, and all are "
    "refused but those whose hostile part the page ignores"
)
IGNORED = "may be answered without effect"
CLIP = ROOT / "examples" / "clips" / "plain.flac"
NAME = attacks.PUBLIC_NAME
BOUNDARY = "frontier"


@dataclass(frozen=True)
class Target:
    """The page under attack, and what an attack must not touch."""

    page: Page
    canary: Canary
    secret: Path  # a file beside the page's folders

    def traces(self) -> tuple[list[Path], int]:
        """Every file of the page's temporary folder and of its kept runs; visits to the canary."""
        files = [*self.page.temporary.rglob("*"), *(self.page.cache / "runs").rglob("*")]
        return sorted(files), self.canary.n_visitors


def cases(run: SuiteRun) -> Iterator[Case]:
    with tempfile.TemporaryDirectory(prefix="perimeter-") as folder, canary() as watched:
        secret = Path(folder, "secret.wav")
        secret.write_text(attacks.SECRET)
        settings = {"MAXWHISPER_HOSTS": NAME}
        with running_page(environment=settings, wait=False) as page:
            page.wait_until_ready(n_engines=0)  # it answers; only a race needs engines
            target = Target(page, watched, secret)
            for attack in attacks.all_attacks(watched.address, str(secret)):
                group = f"{attack.group}: {IGNORED if attack.may_answer else 'refused'}"
                yield Case(group, attack.name, partial(_has_no_effect, run, target, attack))
            for name, check in LEGITIMATE.items():
                yield Case("legitimate calls succeed", name, partial(check, page))
            if not run.is_short:
                page.wait_until_ready()
                yield Case("legitimate calls succeed", "a race", partial(_race, page))


def _has_no_effect(run: SuiteRun, target: Target, attack: Attack) -> None:
    """Raise `Unexpected` for an attack that had an effect, or was not refused though it must be."""
    before = target.traces()
    if attack.request is not None:
        answer = send_bytes(target.page, attack.request)
    else:
        answer = send(target.page, attack.method, attack.path, attack.headers, attack.body)
    if attack.may_answer:
        _expect(answer.status < 500, "no 5xx", answer)
    else:
        _expect(answer.status == 0 or 400 <= answer.status < 500, "a 4xx", answer)
    for word in (attacks.SECRET, attacks.EVIL, str(target.page.temporary), "Traceback"):
        _expect(word not in answer.text, f"no {word!r} in the answer", answer)
    _expect(attacks.EVIL not in str(answer.headers), "no foreign address in a header", answer)
    allowed = [name for name in answer.headers if name.startswith("access-control-")]
    _expect(not allowed, "no CORS header", answer)
    if target.traces() != before:
        raise Unexpected(f"expected no trace, got another state after {answer.status}")
    outcome = "answered without effect" if 200 <= answer.status < 400 else "refused"
    run.measured[f"attacks {outcome}"] = run.measured.get(f"attacks {outcome}", 0) + 1


def _expect(is_right: bool, what: str, answer: Answer) -> None:
    if not is_right:
        raise Unexpected(f"expected {what}, got {answer.status}: {answer.text[:120]!r}")


def _get(page: Page, path: str, headers: Mapping[str, str] | None = None) -> Answer:
    answer = send(page, "GET", path, headers)
    _expect(answer.status == 200, "200", answer)
    return answer


def _upload(page: Page, **headers: str) -> str:
    """Send the clip and return the name that it gets."""
    form = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="a.flac"\r\n\r\n'
    ).encode()
    body = form + CLIP.read_bytes() + f"\r\n--{BOUNDARY}--\r\n".encode()
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    answer = send(page, "POST", "/gradio_api/upload", kind | headers, body)
    _expect(answer.status == 200, "200", answer)
    return str(json.loads(answer.body)[0])


def _opens(page: Page) -> None:
    answer = _get(page, "/", {"Sec-Fetch-Site": "none"})
    for name in (*attacks.REQUIRED_HEADERS, "content-security-policy"):
        _expect(name in answer.headers, f"a header {name}", answer)
    _expect("server" not in answer.headers, "no server banner", answer)


def _opens_by_link(page: Page) -> None:
    _get(page, "/", {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})


def _opens_at_its_public_name(page: Page) -> None:
    own = {"Host": NAME, "Origin": f"https://{NAME}", "Sec-Fetch-Site": "same-origin"}
    _get(page, "/config", own)


def _uploads_and_plays(page: Page) -> None:
    own = f"http://{page.host}:{page.port}"
    name = _upload(page, Origin=own, **{"Sec-Fetch-Site": "same-origin"})
    answer = _get(page, f"/gradio_api/file={name}")
    _expect(answer.body == CLIP.read_bytes(), "the uploaded file", Answer(200, {}, b""))


def _uploads_by_curl(page: Page) -> None:
    name = _upload(page)
    if not name.startswith("/uploads/"):
        raise Unexpected(f"expected a public name, got {name}")


def _race(page: Page) -> None:
    recording = {"path": _upload(page), "meta": {"_type": "gradio.FileData"}}
    body = json.dumps({"data": [recording, "", "en", "", 1, False, {}]}).encode()
    kind = {"Content-Type": "application/json"}
    event = json.loads(send(page, "POST", "/gradio_api/call/compare", kind, body).body)["event_id"]
    answer = page.request("GET", f"/gradio_api/call/compare/{event}", timeout_s=300.0)
    _expect("event: complete" in answer.text, "a finished race", answer)


LEGITIMATE: dict[str, Callable[[Page], None]] = {
    "the page, with every header": _opens,
    "the page, by a link of another site": _opens_by_link,
    "the configuration, at the public name": _opens_at_its_public_name,
    "an upload by the page, played": _uploads_and_plays,
    "an upload by curl": _uploads_by_curl,
}
