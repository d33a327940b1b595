"""Our options in faster-whisper's terms: keywords for its `transcribe`, or a refusal.

In: options. Out: keywords that make the library do what the options mean in openai-whisper. Nothing
is ignored: what it lacks, or does otherwise, raises. Knows no model and no audio.
"""

from dataclasses import asdict, fields, replace
from typing import Any

from faster_whisper.vad import VadOptions as PeerVadOptions

from maxwhisper.dims import CHUNK_LENGTH_S, Dims
from maxwhisper.errors import OptionError
from maxwhisper.languages import spoken_language
from maxwhisper.options import TranscribeOptions
from maxwhisper.tokenizer import get_tokenizer
from maxwhisper.vad import VadOptions
from maxwhisper.validation import AT_LEAST_1, check_value

NAME = "faster-whisper"

# What this library lacks, or does otherwise than the reference (versions 1.2.1 and 4.8).
UNSUPPORTED = frozenset(
    {
        "length_penalty",  # n ** a instead of ((5 + n) / 6) ** a
        "prefix",  # a timestamp is put before it, and it holds for the first window only
        "carry_initial_prompt",
        "seed",  # CTranslate2 seeds a thread once, when it first samples
        "hallucination_silence_threshold",  # one branch of the reference is missing
    }
)
# What its batched pipeline ignores besides, or does otherwise.
BATCHED_UNSUPPORTED = frozenset(
    {
        "max_initial_timestamp",
        "prompt_reset_on_temperature",
        "initial_prompt",  # it would prompt every window, not the first alone
    }
)
# Its batched pipeline judges no window. The defaults pass, so that all engines can have the same
# options, and None, which asks for just that.
BATCHED_UNREAD = ("compression_ratio_threshold", "logprob_threshold", "no_speech_threshold")
_SUPPORTED = frozenset(field.name for field in fields(TranscribeOptions)) - UNSUPPORTED


def sequential_arguments(
    options: TranscribeOptions, dims: Dims, vad: VadOptions | bool | None = None
) -> dict[str, Any]:
    """Keywords of `WhisperModel.transcribe` that mean what the options mean in the reference.

    Raises `OptionError` for the options in `UNSUPPORTED`, for `sample_len` beside anything that
    prompts a window, and for clips beside speech detection, which would not happen then.
    """
    options.validate().require_supported(NAME, _SUPPORTED)
    check_value("vad", vad, VadOptions | bool | None)
    clips, threshold = options.clip_timestamps, options.language_detection_threshold
    if vad and clips != TranscribeOptions.clip_timestamps:
        raise OptionError(f"{NAME} takes clip_timestamps only where no speech is looked for")
    return {
        "language": spoken_language(dims, options.language, options.task),
        "task": options.task,
        "temperature": list(options.temperatures),
        "beam_size": options.beam_size or 1,
        "best_of": options.best_of or 1,
        "patience": 1.0 if options.patience is None else options.patience,
        "suppress_tokens": _suppress_tokens(options.suppress_tokens),
        "suppress_blank": options.suppress_blank,
        "without_timestamps": options.without_timestamps,
        # 0 and None switch the limit off in the reference, where 0 would force <|0.00|> here; so
        # does more than a window.
        "max_initial_timestamp": min(
            options.max_initial_timestamp or CHUNK_LENGTH_S, CHUNK_LENGTH_S
        ),
        "compression_ratio_threshold": options.compression_ratio_threshold,
        "log_prob_threshold": options.logprob_threshold,
        "no_speech_threshold": options.no_speech_threshold,
        "condition_on_previous_text": options.condition_on_previous_text,
        "prompt_reset_on_temperature": options.prompt_reset_on_temperature,
        "initial_prompt": options.initial_prompt,
        "hotwords": options.hotwords,
        "repetition_penalty": options.repetition_penalty,
        "no_repeat_ngram_size": options.no_repeat_ngram_size,
        "language_detection_segments": options.language_detection_segments,
        # Without a threshold all windows vote: no probability is above 1.
        "language_detection_threshold": 1.0 if threshold is None else threshold,
        "word_timestamps": options.word_timestamps,
        "prepend_punctuations": options.prepend_punctuations,
        "append_punctuations": options.append_punctuations,
        "clip_timestamps": clips if isinstance(clips, str) else list(clips),
        "max_new_tokens": _max_new_tokens(options, dims),
        "vad_filter": bool(vad),
        "vad_parameters": _vad_parameters(vad) if isinstance(vad, VadOptions) else None,
    }


def batch_arguments(
    options: TranscribeOptions, batch_size: int, vad: VadOptions | bool | None, audio_s: float
) -> dict[str, Any]:
    """Keywords of `BatchedInferencePipeline.transcribe` beside the sequential ones.

    The pipeline decodes every window once and keeps what `no_speech_threshold` would skip: finding
    speech is what comes before it. Raises `OptionError` for the options in `BATCHED_UNSUPPORTED`,
    for thresholds of one's own, for temperatures to fall back to, and for clips beside speech
    detection.
    """
    check_value("batch_size", batch_size, int, AT_LEAST_1)
    options.require_supported(f"{NAME} in batches", _SUPPORTED - BATCHED_UNSUPPORTED)
    for name in BATCHED_UNREAD:
        if getattr(options, name) not in (None, getattr(TranscribeOptions, name)):
            raise OptionError(f"{NAME} in batches judges no window: leave {name} alone, or at None")
    if len(options.temperatures) > 1:
        raise OptionError(f"{NAME} in batches does not fall back: give one temperature")
    arguments: dict[str, Any] = {"batch_size": batch_size, "vad_filter": vad is not False}
    if isinstance(vad, VadOptions):  # a chunk of more than a window would lose its end
        most_s = min(vad.max_speech_duration_s, CHUNK_LENGTH_S)
        arguments["vad_parameters"] = _vad_parameters(replace(vad, max_speech_duration_s=most_s))
    clips = options.clip_timestamps
    if clips == "0":
        return arguments | {"clip_timestamps": None}
    if isinstance(clips, str) or vad is not False:
        raise OptionError(f"{NAME} in batches takes clip_timestamps as numbers, with vad=False")
    ends = [*clips[1::2], audio_s]  # the last clip may have no end
    spans = zip(clips[::2], ends, strict=False)
    return arguments | {"clip_timestamps": [{"start": a, "end": b} for a, b in spans]}


def _vad_parameters(vad: VadOptions) -> PeerVadOptions:
    """The same names and meanings. No mapping: of one, batches drop `max_speech_duration_s`."""
    return PeerVadOptions(**asdict(vad.validate()))


def _max_new_tokens(options: TranscribeOptions, dims: Dims) -> int | None:
    """`sample_len` in this library's terms, where no prompt makes them vary.

    CTranslate2 samples min(max_length / 2, max_length - prompt) tokens, and `max_length` here is
    the prompt and these: twice `sample_len` in all gives `sample_len`, if the prompt is no longer.
    """
    if options.sample_len is None:
        return None
    if options.condition_on_previous_text or options.initial_prompt or options.hotwords:
        raise OptionError(
            f"{NAME} does not support sample_len beside condition_on_previous_text, initial_prompt "
            "or hotwords: it would count the prompt"
        )
    sot_sequence = get_tokenizer(dims, language="en", task=options.task).sot_sequence
    n_prompt = len(sot_sequence) + options.without_timestamps
    if not n_prompt <= options.sample_len <= dims.n_text_ctx // 2:
        raise OptionError(
            f"sample_len must lie in {n_prompt}..{dims.n_text_ctx // 2} for {NAME}, "
            f"got {options.sample_len}"
        )
    return 2 * options.sample_len - n_prompt


def _suppress_tokens(tokens: str | tuple[int, ...] | None) -> list[int]:
    """None and "" suppress nothing, not even the specials, as in the reference."""
    if isinstance(tokens, str):
        return [int(token) for token in tokens.split(",") if token]
    return list(tokens or ())
