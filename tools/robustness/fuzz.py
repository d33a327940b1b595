"""Suite `fuzz`: headers of weights and recordings, damaged at random, 100,000 of each format.

In: small sound files, written by the tools of each format. A child process reads one damaged file
after another: each must be read, or refused with the typed error. A child that dies, a case that
takes long, and memory that grows are failures. A case is known by its number, which decides about
the damage.
"""

import json
import random
import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.robustness.page import ROOT
from tools.robustness.suite import Case, SuiteRun, Unexpected

if TYPE_CHECKING:
    from maxwhisper.checkpoint.schema import Checkpoint

BAR = (
    "100,000 damaged headers of each format of weights, and 100,000 of recordings: read or refused "
    "with the typed error within 5 s; no process dies; memory grows by at most 256 MiB"
)
N_CASES, N_SHORT = 100_000, 150
PER_CHILD = 5_000  # cases
MAX_GROWTH_MIB = 256.0
CHILD_S = 1800.0
RATE = 48_000  # of the recordings, which last a second
EXTREMES = (b"\0", b"\xff", b"\x7f", b"\x80")
NUMBERS = (b"0", b"-1", b"1.5", b"1e9", b"999999999999", b"null", b'"1"')

Regions = Sequence[tuple[int, int]]  # first byte and end of each part that describes others


@dataclass(frozen=True)
class Target:
    """A format. `write` makes sound files in a folder, and returns the one to be damaged and the
    parts of it that are damaged."""

    name: str
    write: Callable[[Path], tuple[Path, Regions]]
    is_audio: bool = False


def cases(run: SuiteRun) -> Iterator[Case]:
    """Yield a case for each child process."""
    each = targets()
    for target in each:
        n_cases = N_SHORT if run.is_short else N_CASES
        if target.is_audio:  # as many of all formats together
            n_cases //= sum(other.is_audio for other in each)
        for first in range(0, n_cases, PER_CHILD):
            numbers = range(first, min(first + PER_CHILD, n_cases))
            name = f"{numbers.start:,} to {numbers.stop - 1:,}"
            yield Case(target.name, name, partial(_read_all, run, target, numbers))


def _read_all(run: SuiteRun, target: Target, numbers: range) -> None:
    """Have a child read damaged files, and judge what it says."""
    with tempfile.TemporaryDirectory(prefix="robustness-fuzz-") as folder:
        ended = subprocess.run(
            [sys.executable, "-m", "tools.robustness.fuzz_child"],
            input=json.dumps([target.name, numbers.start, numbers.stop, folder]),
            cwd=ROOT,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=CHILD_S,
        )
        last = (Path(folder) / "case").read_text() if (Path(folder) / "case").exists() else "none"
    if ended.returncode:
        end = ended.stderr.strip()[-200:]
        raise Unexpected(f"the process ended with {ended.returncode} at case {last}: {end}")
    found = json.loads(ended.stdout.splitlines()[-1])
    run.measure(f"{target.name}: MiB that memory grew by", found["growth_mib"])
    run.measure(f"{target.name}: the slowest, seconds", found["slowest_s"])
    for name in ("read", "refused"):
        key = f"{target.name}: {name}"
        run.measured[key] = run.measured.get(key, 0) + found[name]
    if found["wrong"]:
        raise Unexpected(f"{len(found['wrong'])} cases: {found['wrong'][0]}")
    if found["growth_mib"] > MAX_GROWTH_MIB:
        raise Unexpected(f"memory grew by {found['growth_mib']:.0f} MiB")


def targets() -> list[Target]:
    """The formats of weights, then those of recordings."""
    weights = {
        "safetensors": _write_safetensors,
        "config.json": _write_config,
        "OpenAI .pt": _write_pt,
        "GGML": _write_ggml,
        "GGUF": _write_gguf,
        "CTranslate2": _write_ctranslate2,
    }
    audio = {"wav": "pcm_s16le", "flac": "flac", "mp3": "mp3", "opus": "libopus", "m4a": "aac"}
    return [Target(name, write) for name, write in weights.items()] + [
        Target(ending, partial(_write_audio, ending, codec), is_audio=True)
        for ending, codec in audio.items()
    ]


def damaged(sound: bytes, regions: Regions, number: int) -> bytes:
    """The sound file with damage number `number`."""
    chance = random.Random(number)
    first, end = chance.choice(regions)
    at = chance.randrange(first, end)
    length = chance.randrange(1, 9)
    kind = chance.randrange(8)
    if kind == 0:  # bits
        content = bytearray(sound)
        for _ in range(length):
            content[chance.randrange(first, end)] ^= 1 << chance.randrange(8)
        return bytes(content)
    if kind == 1:  # a number that is as large or small as can be
        return sound[:at] + chance.choice(EXTREMES) * length + sound[at + length :]
    if kind == 2:
        return sound[:at] + chance.randbytes(length) + sound[at + length :]
    if kind == 3:  # the end is missing
        return sound[:at]
    if kind == 4:  # a part is missing
        return sound[:at] + sound[at + 8 * length :]
    if kind == 5:  # a part twice
        return sound[:at] + sound[at - min(at, 8 * length) : at] + sound[at:]
    if kind == 6:
        return sound[:at] + chance.randbytes(8 * length) + sound[at:]
    digits = [match.span() for match in re.finditer(rb"\d+", sound[first:end])]
    if not digits:
        return sound[:at] + sound[at + 1 :]
    left, right = chance.choice(digits)
    return sound[: first + left] + chance.choice(NUMBERS) + sound[first + right :]


def _checkpoint() -> "Checkpoint":
    from maxwhisper.checkpoint.random import random_checkpoint
    from maxwhisper.network.dims import Dims

    return random_checkpoint(Dims(80, 1500, 64, 1, 1, 51864, 448, 64, 1, 1))


def _write_safetensors(folder: Path) -> tuple[Path, Regions]:
    from maxwhisper.checkpoint.convert import save_hf

    save_hf(_checkpoint(), folder)
    path = folder / "model.safetensors"
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    return path, [(0, 8), (8, 8 + length)]


def _write_config(folder: Path) -> tuple[Path, Regions]:
    _write_safetensors(folder)
    path = folder / "config.json"
    return path, [(0, path.stat().st_size)]


def _write_pt(folder: Path) -> tuple[Path, Regions]:
    from maxwhisper.checkpoint.convert import save_openai_pt

    path = folder / "weights.pt"
    save_openai_pt(_checkpoint(), path)
    content = path.read_bytes()
    directory = content.index(b"PK\x01\x02")  # of the archive; the first file is the pickle
    return path, [(0, content.index(b"PK\x03\x04", 4)), (directory, len(content))]


def _write_ggml(folder: Path) -> tuple[Path, Regions]:
    from maxwhisper.checkpoint.convert_ggml import ggml_file
    from maxwhisper.network.mel_filters import N_BINS

    checkpoint = _checkpoint()
    content = ggml_file(checkpoint, "float16", folder / "cache").read_bytes()
    start = 56 + checkpoint.dims.n_mels * N_BINS * 4  # of the vocabulary
    (n_tokens,) = struct.unpack_from("<i", content, start)
    end = start + 4
    for _ in range(n_tokens):
        end += 4 + struct.unpack_from("<I", content, end)[0]
    # One token of 50,257: readers go through them, and nothing else of the file is as slow.
    content = content[:start] + struct.pack("<iI", 1, 1) + b"!" + content[end:]
    path = folder / "ggml-model.bin"
    path.write_bytes(content)
    names = (content.index(name.encode()) for name in checkpoint.weights)
    return path, [(0, 56), (start, start + 9), *((at - 24, at + 8) for at in names)]


def _write_gguf(folder: Path) -> tuple[Path, Regions]:
    from tests.fakes.weight_files import write_gguf

    checkpoint, path = _checkpoint(), folder / "model.gguf"
    write_gguf(checkpoint, path)  # type: ignore[no-untyped-call]
    content = path.read_bytes()
    end = max(content.index(name.encode()) for name in checkpoint.weights) + 64
    return path, [(0, end)]


def _write_ctranslate2(folder: Path) -> tuple[Path, Regions]:
    from maxwhisper.checkpoint.convert_ctranslate2 import to_ctranslate2

    to_ctranslate2(_checkpoint(), folder)
    path = folder / "model.bin"
    content = path.read_bytes()
    starts = [match.start() for match in re.finditer(rb"(en|de)coder/", content)]
    return path, [(0, 48), *((at - 4, min(at + 64, len(content))) for at in starts)]


def _write_audio(ending: str, codec: str, folder: Path) -> tuple[Path, Regions]:
    import av
    import numpy as np

    path = folder / f"clip.{ending}"
    samples = 0.1 * np.random.default_rng(0).standard_normal((1, RATE)).astype(np.float32)
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=RATE, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
        frame.sample_rate = RATE
        resampler = av.AudioResampler(stream.format, "mono", RATE, stream.frame_size)
        for part in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(part))
    size = path.stat().st_size
    return path, [(0, min(512, size)), (max(0, size - 1024), size)]
