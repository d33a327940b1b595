"""Our options as keywords of faster-whisper's `transcribe`.

In: options. Out: keywords that make the library do what the options mean in openai-whisper. An
option that the library lacks, or implements differently, raises `OptionError`. Knows no model and
no audio.
"""

from dataclasses import asdict, replace
from typing import Any

from faster_whisper.vad import VadOptions as PeerVadOptions

from maxwhisper.errors import OptionError
from maxwhisper.network.dims import CHUNK_LENGTH_S, Dims
from maxwhisper.options import (
    AT_LEAST_1,
    FASTER,
    FASTER_BATCHES,
    TranscribeOptions,
    VadOptions,
    check_value,
)
from maxwhisper.options.info import supported
from maxwhisper.text.languages import spoken_language
from maxwhisper.text.tokenizer import get_tokenizer

NAME = FASTER

# The batched pipeline does not check whether a window failed. It accepts the defaults, so that all
# engines can have the same options, and None, which means no check.
BATCHED_UNREAD = ("compression_ratio_threshold", "logprob_threshold", "no_speech_threshold")


def sequential_arguments(
    options: TranscribeOptions, dims: Dims, vad: VadOptions | bool | None = None
) -> dict[str, Any]:
    """Keywords of `WhisperModel.transcribe` that mean what the options mean in openai-whisper.

    Raises `OptionError` for options that this library does not honour, for `sample_len` beside
    anything that prompts a window, and for clips beside speech detection, which would not happen.
    """
    options.validate().require_supported(NAME)
    check_value("vad", vad, VadOptions | bool | None)
    if vad and options.clip_timestamps != TranscribeOptions.clip_timestamps:
        raise OptionError(f"{NAME} does not detect speech beside clip_timestamps: give one of them")
    honoured = supported(TranscribeOptions, NAME) - {"logprob_threshold", "sample_len"}
    threshold = options.language_detection_threshold
    # 0 and None remove the limit in openai-whisper, where 0 would force <|0.00|> here; so does more
    # than a window.
    first_s = min(options.max_initial_timestamp or CHUNK_LENGTH_S, CHUNK_LENGTH_S)
    return {name: value for name, value in options.to_dict().items() if name in honoured} | {
        "language": spoken_language(dims, options.language, options.task),
        "temperature": list(options.temperatures),
        "beam_size": options.beam_size or 1,
        "best_of": options.best_of or 1,
        "patience": 1.0 if options.patience is None else options.patience,
        "suppress_tokens": _suppress_tokens(options.suppress_tokens),
        "max_initial_timestamp": first_s,
        "log_prob_threshold": options.logprob_threshold,
        # Without a threshold all windows vote: no probability is above 1.
        "language_detection_threshold": 1.0 if threshold is None else threshold,
        "max_new_tokens": _max_new_tokens(options, dims),
        "vad_filter": bool(vad),
        "vad_parameters": _vad_parameters(vad) if isinstance(vad, VadOptions) else None,
    }


def batch_arguments(
    options: TranscribeOptions, batch_size: int, vad: VadOptions | bool | None, audio_s: float
) -> dict[str, Any]:
    """Keywords of `BatchedInferencePipeline.transcribe` in addition to the sequential ones.

    The pipeline decodes every window once and detects speech before that, so it keeps what
    `no_speech_threshold` would skip. Raises `OptionError` for options that the pipeline does not
    honour, thresholds other than the defaults, several temperatures, and clips beside speech
    detection.
    """
    check_value("batch_size", batch_size, int, AT_LEAST_1)
    options.require_supported(FASTER_BATCHES)
    for name in BATCHED_UNREAD:
        if getattr(options, name) not in (None, getattr(TranscribeOptions, name)):
            raise OptionError(
                f"{NAME} in batches checks no window: leave {name} at its default or None"
            )
    if len(options.temperatures) > 1:
        raise OptionError(f"{NAME} in batches has no temperature fallback: give one temperature")
    arguments: dict[str, Any] = {"batch_size": batch_size, "vad_filter": vad is not False}
    if isinstance(vad, VadOptions):  # a chunk longer than a window would lose its end
        max_s = min(vad.max_speech_duration_s, CHUNK_LENGTH_S)
        arguments["vad_parameters"] = _vad_parameters(replace(vad, max_speech_duration_s=max_s))
    clips = options.clip_timestamps
    if clips == "0":
        return arguments | {"clip_timestamps": None}
    if isinstance(clips, str) or vad is not False:
        raise OptionError(f"{NAME} in batches takes clip_timestamps as numbers, with vad=False")
    ends = [*clips[1::2], audio_s]  # the last clip may have no end
    spans = zip(clips[::2], ends, strict=False)
    return arguments | {"clip_timestamps": [{"start": a, "end": b} for a, b in spans]}


def _vad_parameters(vad: VadOptions) -> PeerVadOptions:
    """The library's own options, with the same names and meanings. Not a dict: from a dict, batches
    drop `max_speech_duration_s`."""
    return PeerVadOptions(**asdict(vad.validate()))


def _max_new_tokens(options: TranscribeOptions, dims: Dims) -> int | None:
    """`sample_len` as this library's `max_new_tokens`; None for no limit.

    CTranslate2 samples min(max_length / 2, max_length - prompt) tokens, and `max_length` is prompt
    plus `max_new_tokens`. A `max_length` of 2 `sample_len` therefore gives `sample_len` tokens,
    provided that the prompt has at most as many. Raises `OptionError` where the prompt varies.
    """
    if options.sample_len is None:
        return None
    if options.condition_on_previous_text or options.initial_prompt or options.hotwords:
        raise OptionError(
            f"{NAME} does not support sample_len beside condition_on_previous_text, initial_prompt "
            "or hotwords: it counts the prompt's tokens as well"
        )
    sot_sequence = get_tokenizer(dims, language="en", task=options.task).sot_sequence
    n_prompt = len(sot_sequence) + options.without_timestamps
    if not n_prompt <= options.sample_len <= dims.n_text_ctx // 2:
        raise OptionError(
            f"sample_len must be between {n_prompt} and {dims.n_text_ctx // 2} for {NAME}, "
            f"got {options.sample_len}"
        )
    return 2 * options.sample_len - n_prompt


def _suppress_tokens(tokens: str | tuple[int, ...] | None) -> list[int]:
    """None and "" suppress nothing, not even the specials, as in openai-whisper."""
    if isinstance(tokens, str):
        return [int(token) for token in tokens.split(",") if token]
    return list(tokens or ())
