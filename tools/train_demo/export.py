"""Convert a training run to the folder that the package ships: Hugging Face layout, float16.

In: checkpoint.pt of `train`, and the held-out speech. Out: model.safetensors, config.json and
generation_config.json as `save_pretrained` writes them, and training.json, which records how the
network was made and the sha256 of each file. `card` writes the model card from it.

`python -m tools.train_demo.export run speech maxwhisper/assets/demo`
"""

import argparse
import gzip
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maxwhisper.checkpoint.bundled import NAME, TRAINING, VERIFIED, WEIGHTS
from maxwhisper.checkpoint.convert import save_hf, write_json
from maxwhisper.checkpoint.schema import Array, Checkpoint, make_checkpoint
from maxwhisper.network.dims import Dims
from tools.train_demo.alignment import alignment_heads
from tools.train_demo.corpus import Corpus
from tools.train_demo.model import canonical_weights, restored
from tools.train_demo.warm_start import CHECKPOINT

SOURCE = "trained by this project on speech that it synthesised, see tools/train_demo"


def load_run(run: Path, dtype: type[np.floating[Any]]) -> tuple[Checkpoint, dict[str, Any]]:
    """Return the network of a run with all rows of the full vocabulary, and the run's counters."""
    state = torch.load(run / CHECKPOINT, map_location="cpu", weights_only=True)
    learner, vocabulary = restored(state)
    weights: dict[str, Array] = {
        name: array.astype(dtype) for name, array in canonical_weights(learner, vocabulary).items()
    }
    trained = {**state["counters"], "seed": state["seed"], "tokens_used": len(vocabulary.tokens)}
    trained["began_with"] = state.get("began_with")
    return make_checkpoint(NAME, Dims(**state["dims"]), weights, None, SOURCE), trained


def with_measured_heads(
    checkpoint: Checkpoint, held_out: Corpus, count: int
) -> tuple[Checkpoint, float]:
    """Return the checkpoint with its alignment heads, and their error in seconds on `count`
    utterances."""
    timed = (held_out[i] for i in range(len(held_out)))
    chosen = [utterance for utterance in timed if len(utterance.words)][:count]
    heads, error_s = alignment_heads(checkpoint, chosen)
    name, source = checkpoint.name, checkpoint.source
    return make_checkpoint(name, checkpoint.dims, checkpoint.weights, heads, source), error_s


def speech_summary(folder: Path) -> dict[str, Any]:
    """Return hours and utterances of the training speech by synthesiser."""
    corpus = Corpus(folder)
    hours: Counter[str] = Counter()
    for voice, n_samples in zip(corpus.voices, corpus.n_samples, strict=True):
        hours[voice.split()[0]] += n_samples / 16_000 / 3600
    return {
        "utterances": len(corpus),
        "hours": {program: round(float(h), 2) for program, h in sorted(hours.items())},
        "voices": len(set(corpus.voices)),
    }


def record_of(
    checkpoint: Checkpoint,
    trained: dict[str, Any],
    speech: dict[str, Any],
    error_s: float,
) -> dict[str, Any]:
    """Return how the network was made, ready for JSON."""
    return {
        "dims": checkpoint.dims.to_dict(),
        "stored_as": str(checkpoint.weights["decoder.ln.weight"].dtype),
        "training": trained,
        "speech": speech,
        "alignment_heads": [list(pair) for pair in checkpoint.alignment_heads],
        "word_start_error_s": round(error_s, 4),
    }


def write_record(folder: Path, record: dict[str, Any]) -> None:
    """Write training.json with the sha256 and sizes of the files beside it."""
    contents = {name: (folder / name).read_bytes() for name in VERIFIED}
    record["sha256"] = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    record["bytes"] = {name: len(data) for name, data in contents.items()}
    record["bytes_gzipped"] = len(gzip.compress(contents[WEIGHTS], 6))
    write_json(folder / TRAINING, record)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("speech", type=Path)
    parser.add_argument("folder", type=Path, help="where the network is written")
    parser.add_argument("--dtype", choices=("float16", "float32"), default="float16")
    parser.add_argument("--align", type=int, default=50, help="utterances that choose the heads")
    options = parser.parse_args()

    dtype = np.float16 if options.dtype == "float16" else np.float32
    checkpoint, trained = load_run(options.run, dtype)
    checkpoint, error_s = with_measured_heads(
        checkpoint, Corpus(options.speech / "seen"), options.align
    )
    save_hf(checkpoint, options.folder)
    speech = speech_summary(options.speech / "train")
    record = record_of(checkpoint, trained, speech, error_s)
    write_record(options.folder, record)
    print(json.dumps(record, indent=2))


if __name__ == "__main__":
    main()
