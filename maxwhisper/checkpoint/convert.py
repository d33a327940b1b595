"""Convert a `Checkpoint` to the formats of openai-whisper and Hugging Face.

The inverse of `openai_pt` and `hf_folder`. `convert_ctranslate2` writes CTranslate2's format.
torch and whisper are imported only inside the functions that need them.
"""

import base64
import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors.numpy import save_file

from maxwhisper.checkpoint.hf_folder import CONFIG_KEYS, hf_name
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.text.tokenizer import Tokenizer, get_tokenizer

if TYPE_CHECKING:
    import whisper.model


def to_openai(checkpoint: Checkpoint) -> "whisper.model.Whisper":
    """Return openai-whisper's own model with these weights, on the CPU, in evaluation mode.

    Its parameters are float32 whatever precision is stored, as in `whisper.load_model`.
    """
    import torch
    from whisper.model import ModelDimensions, Whisper

    model = Whisper(ModelDimensions(**checkpoint.dims.to_dict()))
    model.load_state_dict(
        {name: torch.tensor(array) for name, array in checkpoint.weights.items()}, strict=True
    )
    model.set_alignment_heads(_alignment_mask(checkpoint))
    return model.eval()


def _alignment_mask(checkpoint: Checkpoint) -> bytes:
    """Encode alignment heads as openai-whisper does: a boolean (layer, head) mask, gzip, base85."""
    mask = np.zeros((checkpoint.dims.n_text_layer, checkpoint.dims.n_text_head), dtype=bool)
    for layer, head in checkpoint.alignment_heads:
        mask[layer, head] = True
    return base64.b85encode(gzip.compress(mask.tobytes()))


def save_openai_pt(checkpoint: Checkpoint, path: Path) -> None:
    """Write an OpenAI `.pt` file for `whisper.load_model(path)`. That format has no alignment
    heads."""
    import torch

    state_dict = {name: torch.tensor(array) for name, array in checkpoint.weights.items()}
    torch.save({"dims": checkpoint.dims.to_dict(), "model_state_dict": state_dict}, path)


def save_hf(checkpoint: Checkpoint, folder: Path) -> None:
    """Write model.safetensors, config.json and generation_config.json as `save_pretrained` does."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = get_tokenizer(checkpoint.dims)
    save_file(
        {hf_name(name): np.ascontiguousarray(a) for name, a in checkpoint.weights.items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    write_json(folder / "config.json", _hf_config(checkpoint, tokenizer))
    write_json(folder / "generation_config.json", _hf_generation_config(checkpoint, tokenizer))


def _hf_config(checkpoint: Checkpoint, tokenizer: Tokenizer) -> dict[str, Any]:
    dims = checkpoint.dims
    return {
        "architectures": ["WhisperForConditionalGeneration"],
        "model_type": "whisper",
        "activation_function": "gelu",
        **{key: getattr(dims, field) for field, key in CONFIG_KEYS.items()},
        "num_hidden_layers": dims.n_audio_layer,
        "encoder_ffn_dim": 4 * dims.n_audio_state,
        "decoder_ffn_dim": 4 * dims.n_text_state,
        "decoder_start_token_id": tokenizer.sot,
        "bos_token_id": tokenizer.eot,
        "eos_token_id": tokenizer.eot,
        "pad_token_id": tokenizer.eot,
        "is_encoder_decoder": True,
        "tie_word_embeddings": True,
        "torch_dtype": str(checkpoint.weights["decoder.ln.weight"].dtype),
    }


def _hf_generation_config(checkpoint: Checkpoint, tokenizer: Tokenizer) -> dict[str, Any]:
    config: dict[str, Any] = {
        "alignment_heads": [list(pair) for pair in checkpoint.alignment_heads],
        "begin_suppress_tokens": suppressed_at_begin(tokenizer),
        "suppress_tokens": suppressed_always(tokenizer),
        "decoder_start_token_id": tokenizer.sot,
        "bos_token_id": tokenizer.eot,
        "eos_token_id": tokenizer.eot,
        "pad_token_id": tokenizer.eot,
        "no_timestamps_token_id": tokenizer.no_timestamps,
        "is_multilingual": checkpoint.dims.is_multilingual,
        "max_length": checkpoint.dims.n_text_ctx,
        "max_initial_timestamp_index": 50,  # 1 s of 0.02 s
    }
    if checkpoint.dims.is_multilingual:
        codes = zip(tokenizer.all_language_codes, tokenizer.all_language_tokens, strict=True)
        config["lang_to_id"] = {f"<|{code}|>": token for code, token in codes}
        config["task_to_id"] = {
            "transcribe": tokenizer.transcribe,
            "translate": tokenizer.translate,
        }
    return config


def suppressed_always(tokenizer: Tokenizer) -> list[int]:
    """Return the tokens that `suppress_tokens="-1"` masks: non-speech symbols and control tokens.

    Source: openai/whisper decoding.py:615-642.
    """
    return sorted({*tokenizer.non_speech_tokens, *tokenizer.control_tokens})


def suppressed_at_begin(tokenizer: Tokenizer) -> list[int]:
    """Return the tokens that `suppress_blank` masks at the first position: a space and the end."""
    return [*tokenizer.encode(" "), tokenizer.eot]


def write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
