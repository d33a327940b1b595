"""Weights of every format, written by its own project's tool: the tokens are openai-whisper's.

The reference gets the numbers that a format keeps from the format's definition, not from our
readers.
"""

import numpy as np
import pytest

from maxwhisper.checkpoint import load
from maxwhisper.options import GREEDY
from maxwhisper.paths import cache_root
from maxwhisper.whisper import create_engine
from tests.fakes import weight_files
from tests.fakes.parity_helpers import assert_same, openai_transcribe

torch = pytest.importorskip("torch")
whisper = pytest.importorskip("whisper")

GRAPHS = cache_root()  # that of all tests: those of this folder have caches of their own
OPTIONS = {"language": "en", "sample_len": 24}  # random weights never end a text
QUANTISED = tuple(f"{kind} {q}" for kind in ("ggml", "gguf") for q in weight_files.QUANTISED)
FORMATS = (
    *("openai .pt", "openai .pt half", "safetensors", "shards", "pytorch_model.bin"),
    *("ctranslate2 float32", "ctranslate2 float16", "ctranslate2 bfloat16", "ctranslate2 int8"),
    *("ggml f32", "ggml f16", "gguf f32", "gguf f16", *QUANTISED),
)


@pytest.fixture(scope="module")
def write(v2, transformers_model, converted, tmp_path_factory):
    """write(format): the path of the weights, and the numbers that it keeps."""

    def write(name):
        program, _, kind = name.partition(" ")
        path, kept = tmp_path_factory.mktemp("weights") / "net", v2.weights
        if program == "ctranslate2":
            values = weight_files.ctranslate2_values
            return converted(kind), {name: values(name, a, kind) for name, a in kept.items()}
        if program in ("ggml", "gguf"):
            getattr(weight_files, f"write_{program}")(v2, path, kind)
            values = weight_files.stored_values
            return path, {name: values(name, a, kind) for name, a in kept.items()}
        if program == "openai":
            dtype = np.float16 if "half" in kind else np.float32
            kept = {name: array.astype(dtype) for name, array in kept.items()}
            state = {name: torch.from_numpy(array) for name, array in kept.items()}
            torch.save({"dims": v2.dims.to_dict(), "model_state_dict": state}, path)
        elif program == "pytorch_model.bin":
            transformers_model.config.save_pretrained(path)
            torch.save(transformers_model.state_dict(), path / "pytorch_model.bin")
        else:
            size = "6MB" if program == "shards" else "1GB"
            transformers_model.save_pretrained(path, max_shard_size=size)
        return path, kept

    return write


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_tokens_of_the_reference(v2, write, clip, name):
    path, kept = write(name)
    reference = whisper.model.Whisper(whisper.model.ModelDimensions(**v2.dims.to_dict()))
    reference.load_state_dict({n: torch.from_numpy(a).float() for n, a in kept.items()})
    waveform = clip("numbers")
    want = openai_transcribe(reference.eval(), waveform, **OPTIONS)
    engine = create_engine(load(path), device="cpu", cache_dir=GRAPHS)
    got = engine.transcribe(waveform, GREEDY.changed(OPTIONS))
    engine.close()
    assert_same(got, want)
    assert sum(len(segment.tokens) for segment in got.segments) >= OPTIONS["sample_len"]
