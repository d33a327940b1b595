"""Suite `flips`: one bit of the compiled code of the bundled network flipped, its checksum renewed.

Each case loads the damaged graphs as a start of the engine does, in a process of its own, and
transcribes a clip. That process must live and its text must be right: the graphs are refused, or
the bit does not matter to the clip. Each flip is also loaded without any trial or check, which says
what the flips would do.
"""

import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import chain
from pathlib import Path

from maxwhisper.cache import sha256_of
from maxwhisper.runtime import artifacts
from maxwhisper.whisper import load
from tools.robustness.page import ROOT
from tools.robustness.suite import Case, SuiteRun, Unexpected

BAR = (
    "at least 50 random bits of compiled code flipped with a renewed checksum: no process of ours "
    "dies, no other text"
)
N_FLIPS, N_SHORT, SEED = 50, 2, 29
CLIP = ROOT / "examples" / "clips" / "plain.flac"
START_S = 600.0
ELF, SECTION = b"\x7fELF", b".ltext\0"  # an object, and the machine code in it
DIED = "the process died"

# Loads the bundled network from a cache and transcribes the clip; nothing is compiled or unpacked.
STARTER = """
import json, sys
from pathlib import Path
from maxwhisper import checkpoint, whisper
from maxwhisper.audio.load import decode
from maxwhisper.errors import MaxWhisperError
from maxwhisper.runtime import compiled
class Refused(Exception): pass
def refuse(*_): raise Refused
compiled._compile, whisper.artifact_sources = refuse, list
cache, clip, is_bare = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3] == "bare"
if is_bare:
    compiled.require_tried = whisper.verify_once = lambda *_: None
lines = []
try:
    engine = whisper.create_engine(
        checkpoint.load("demo"), device="cpu", cache_dir=cache, progress=lines.append
    )
    answer = {"text": engine.transcribe(decode(clip), language="en", temperature=0.0).text}
except Refused:
    answer = {"refused": " ".join(lines)}
except (MaxWhisperError, RuntimeError, ValueError) as error:
    answer = {"refused": str(error)}
print("ANSWER" + json.dumps(answer), flush=True)
"""


def cases(run: SuiteRun) -> Iterator[Case]:
    """Yield a case for each flip; the short form has a few."""
    engine = load("demo", device="cpu")
    text = engine.transcribe(CLIP, language="en", temperature=0.0).text
    key = artifacts.artifact_key(engine.dims, engine.placement)
    sound = engine.network.artifact
    if sound is None:
        raise Unexpected("expected compiled graphs in a file, got some without")
    chance = random.Random(SEED)
    counts = dict.fromkeys((DIED, "another text", "refused by MAX"), 0)
    with tempfile.TemporaryDirectory(prefix="robustness-flips-") as made:

        def write(folder: Path) -> None:
            shutil.copyfile(sound, folder / artifacts.MEF)

        cache, code = Path(made), sound.read_bytes()
        entry, places = artifacts.artifact(key, cache), list(chain(*code_of(code)))
        for _ in range(N_SHORT if run.is_short else N_FLIPS):
            at, bit = chance.choice(places), chance.randrange(8)
            plant(entry.ready(write, list), code, at, bit)
            bare = started(cache, "bare")
            plant(entry.ready(write, list), code, at, bit)  # what is refused is removed
            found = started(cache, "checked")
            counts[DIED] += bare == DIED
            counts["refused by MAX"] += bare.startswith("refused")
            counts["another text"] += bare.startswith("text") and bare != f"text{text}"
            group = _group(found, text)
            yield Case(group, f"byte {at}, bit {bit}", partial(_check, found, text))
    for name, count in counts.items():
        run.measure(f"flips that go this way without trial and check: {name}", count)


def _group(found: str, text: str) -> str:
    if found.startswith("refused"):
        by_child = "process that runs them" in found or "do not load (status" in found
        return "found by the process that tries" if by_child else "found by the check of numbers"
    return "unnoticed, the same text" if found == f"text{text}" else "unnoticed, wrong"


def _check(found: str, text: str) -> None:
    if not found.startswith("refused") and found != f"text{text}":
        raise Unexpected(f"expected a refusal or {text!r}, got {found!r}")


def started(cache: Path, how: str) -> str:
    """How a start with this cache ends: "text…", "refused…" or `DIED`."""
    run = subprocess.run(
        [sys.executable, "-c", STARTER, str(cache), str(CLIP), how],
        cwd=ROOT,
        env={**os.environ, "XDG_STATE_HOME": os.devnull, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=START_S,
    )
    said = [line for line in run.stdout.splitlines() if line.startswith("ANSWER")]
    if not said:
        if run.returncode > 0:
            return f"traceback: {run.stderr[-300:]}"
        return DIED
    return "".join("".join(pair) for pair in json.loads(said[0][len("ANSWER") :]).items())


def plant(folder: Path, code: bytes, at: int, bit: int) -> None:
    """Write graphs with one other bit, and the checksum of what they are now."""
    flipped = bytearray(code)
    flipped[at] ^= 1 << bit
    (folder / artifacts.MEF).write_bytes(flipped)
    sign_again(folder)


def sign_again(folder: Path) -> None:
    """The checksum of changed graphs, as somebody who can write the cache would renew it."""
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"] = {artifacts.MEF: sha256_of(folder / artifacts.MEF)}
    (folder / "manifest.json").write_text(json.dumps(manifest))


def code_of(data: bytes) -> list[range]:
    """Places of the machine code in an artifact, which contains ELF objects: MAX's and those of our
    kernels."""
    starts = [found.start() for found in re.finditer(re.escape(ELF), data)]
    code = [place for start in starts if (place := _code_of_object(data, start))]
    if not code:
        raise ValueError("expected machine code in the artifact, found none")
    return code


def _code_of_object(data: bytes, start: int) -> range:
    table, size, count, names = (
        *struct.unpack_from("<Q", data, start + 40),
        *struct.unpack_from("<HHH", data, start + 58),
    )
    sections = [struct.unpack_from("<IIQQQQ", data, start + table + size * i) for i in range(count)]
    for name, _, _, _, offset, length in sections:
        if data[start + sections[names][4] + name :].startswith(SECTION):
            return range(start + offset, start + offset + length)
    return range(0)
