"""whisper.cpp as an `Engine`, for the benchmark: the same weights in a GGML file, greedy or beams.

Needs the extra `field`, which only who asks for this engine has to install.

In: a checkpoint, a waveform, options. Out: a `Transcript`. It computes on the CPU, as the binding
on PyPI was built: its `device_reason` names the instruction sets.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import _pywhispercpp as cpp
import numpy as np
from pywhispercpp.utils import redirect_stderr

from baselines.setup import cpu_threads
from maxwhisper.audio.waveform import Waveform
from maxwhisper.checkpoint.convert_ggml import PRECISIONS, ggml_file
from maxwhisper.checkpoint.schema import Checkpoint
from maxwhisper.decoding.window import compression_ratio
from maxwhisper.engine import Engine, EngineInfo, Progress
from maxwhisper.errors import DeviceError, EngineUnavailable, OptionError
from maxwhisper.network.dims import SAMPLE_RATE, Dims
from maxwhisper.options import TranscribeOptions, VadOptions
from maxwhisper.text.languages import spoken_language
from maxwhisper.text.tokenizer import get_tokenizer
from maxwhisper.transcript import OnSegment, OnText, Segment, Transcript

NAME = "whisper.cpp"
# Options that this adapter passes on. Thresholds decide about a second temperature, of which there
# is none here; the library has no threshold for repetition, so they do nothing.
HONOURED = frozenset(
    [
        "language",
        "task",
        "temperature",
        "beam_size",
        "initial_prompt",
        "sample_len",
        "without_timestamps",
        "condition_on_previous_text",
        "suppress_blank",
        "suppress_tokens",
        "compression_ratio_threshold",
        "logprob_threshold",
        "no_speech_threshold",
    ]
)
_CENTISECONDS = 100


@dataclass
class WhisperCppEngine:
    """A loaded whisper.cpp context and its description."""

    context: Any
    info: EngineInfo
    checkpoint: Checkpoint

    def transcribe(
        self,
        waveform: Waveform,
        options: TranscribeOptions,
        on_segment: OnSegment | None = None,
        *,
        batch_size: int | None = None,
        vad: VadOptions | bool | None = None,
        on_text: OnText | None = None,
    ) -> Transcript:
        """See `Engine.transcribe`. Segments are reported after each window, and `on_text` is never
        called. `avg_logprob` is over the tokens of text alone. The library does not tell
        `no_speech_prob`, which is 0 here.

        Raises `OptionError` for batches, speech detection and options not in `HONOURED`, and
        `EngineUnavailable` if the library fails.
        """
        if batch_size is not None or vad:
            missing = "batches of windows" if batch_size is not None else "speech detection"
            raise OptionError(f"{NAME} has no {missing} here: it reads one window after another")
        parameters = self._parameters(options)
        found: list[Segment] = []

        def keep(context: Any, n_new: int, _data: object = None) -> None:
            for segment in self._segments(len(found), len(found) + n_new):
                found.append(segment)
                if on_segment:
                    on_segment(segment)

        cpp.assign_new_segment_callback(parameters, keep)
        samples = np.ascontiguousarray(waveform, np.float32)
        start_s = time.perf_counter()
        status = cpp.whisper_full(self.context, parameters, samples, samples.size)
        seconds = time.perf_counter() - start_s
        if status:
            raise EngineUnavailable(f"{NAME} failed with status {status}")
        language = cpp.whisper_lang_str(cpp.whisper_full_lang_id(self.context))
        return Transcript(
            text="".join(segment.text for segment in found),
            language=language if isinstance(language, str) else language.decode(),
            segments=tuple(found),
            duration=len(waveform) / SAMPLE_RATE,
            timings={"total": seconds},
        )

    def _segments(self, first: int, end: int) -> Iterator[Segment]:
        eot = get_tokenizer(self.checkpoint.dims).eot
        for number in range(first, end):
            text = cpp.whisper_full_get_segment_text(self.context, number)
            places = range(cpp.whisper_full_n_tokens(self.context, number))
            tokens = [cpp.whisper_full_get_token_id(self.context, number, i) for i in places]
            chances = [cpp.whisper_full_get_token_p(self.context, number, i) for i in places]
            logprobs = [
                math.log(max(chance, 1e-30))
                for token, chance in zip(tokens, chances, strict=True)
                if token < eot
            ]
            start, stop = (
                function(self.context, number) / _CENTISECONDS
                for function in (cpp.whisper_full_get_segment_t0, cpp.whisper_full_get_segment_t1)
            )
            heard = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
            yield Segment(
                id=number,
                seek=0,
                start=start,
                end=stop,
                text=heard,
                tokens=tuple(tokens),
                temperature=0.0,
                avg_logprob=sum(logprobs) / max(1, len(logprobs)),
                compression_ratio=compression_ratio(heard) if heard else 0.0,
                no_speech_prob=0.0,
            )

    def _parameters(self, options: TranscribeOptions) -> Any:
        """The options as whisper.cpp's parameters. Raises `OptionError`."""
        require_honoured(options, self.checkpoint.dims)
        strategies, beam_size = cpp.whisper_sampling_strategy, options.beam_size or 1
        parameters = cpp.whisper_full_default_params(
            strategies.WHISPER_SAMPLING_BEAM_SEARCH
            if beam_size > 1
            else strategies.WHISPER_SAMPLING_GREEDY
        )
        if beam_size > 1:
            parameters.beam_search = {"beam_size": beam_size, "patience": -1.0}
        n_half = self.checkpoint.dims.n_text_ctx // 2
        settings = {
            "n_threads": cpu_threads(),
            "language": spoken_language(self.checkpoint.dims, options.language, options.task)
            or "auto",
            "translate": options.task == "translate",
            "temperature": 0.0,
            "temperature_inc": 0.0,
            "greedy": {"best_of": 1},
            "initial_prompt": options.initial_prompt or "",
            "no_timestamps": options.without_timestamps,
            "n_max_text_ctx": n_half if options.condition_on_previous_text else 0,
            "no_context": True,  # of an earlier recording
            "suppress_blank": options.suppress_blank,
            "suppress_nst": _suppresses_symbols(options),
            "max_tokens": 0 if options.sample_len is None else options.sample_len - 1,
            "logprob_thold": _threshold(options.logprob_threshold, -math.inf),
            "no_speech_thold": _threshold(options.no_speech_threshold, 1.0),
            **dict.fromkeys(("print_progress", "print_realtime", "print_timestamps"), False),
        }
        for name, value in settings.items():
            setattr(parameters, name, value)
        return parameters


def require_honoured(options: TranscribeOptions, dims: Dims) -> None:
    """Raise `OptionError` for an option that whisper.cpp would ignore or do differently."""
    options.validate()
    for field in fields(options):
        value, default = getattr(options, field.name), getattr(TranscribeOptions(), field.name)
        if field.name not in HONOURED and value != default:
            raise OptionError(f"{NAME} does not honour {field.name} here: leave it at its default")
    if options.temperatures != (0.0,):
        raise OptionError(f"{NAME} has one temperature here, 0: give temperature=0")
    if isinstance(options.initial_prompt, tuple | list):
        raise OptionError(f"{NAME} takes a prompt as text: give words instead of tokens")
    special = range(get_tokenizer(dims).eot, dims.n_vocab)
    if not isinstance(options.suppress_tokens, str | None) and not set(options.suppress_tokens) <= {
        -1,
        *special,
    }:
        raise OptionError(f"{NAME} cannot suppress single tokens: give suppress_tokens='-1' or ''")


def _suppresses_symbols(options: TranscribeOptions) -> bool:
    """True for the default list of symbols. Special tokens are never written by this library, but
    for the end of the text, which it cannot suppress."""
    tokens = options.suppress_tokens
    return tokens == "-1" or (not isinstance(tokens, str | None) and -1 in tokens)


def _threshold(value: float | None, never: float) -> float:
    return never if value is None else value


def create_engine(
    checkpoint: Checkpoint,
    *,
    device: str = "auto",
    dtype: str = "auto",
    cache_dir: Path | None = None,
    progress: Progress | None = None,
) -> Engine:
    """Build the engine. The converted weights are saved in `cache_dir`. `dtype` is that of the
    matrices: one of `PRECISIONS`, of which "auto" is float16.

    Raises `DeviceError` for a GPU and for another precision, and `EngineUnavailable` if the library
    does not load the file.
    """
    if device not in ("auto", "cpu"):
        raise DeviceError(f"expected device 'auto' or 'cpu' for {NAME}, got {device!r}")
    precision = "float16" if dtype == "auto" else dtype
    if precision not in PRECISIONS:
        raise DeviceError(f"expected dtype {sorted(PRECISIONS)} for {NAME}, got {dtype}")
    file = ggml_file(checkpoint, precision, cache_dir, progress)
    settings = cpp.whisper_context_default_params()
    settings.use_gpu = False
    with redirect_stderr(to=None):  # fifty lines about the file
        context = cpp.whisper_init_from_file_with_params(str(file), settings)
    if context is None:
        raise EngineUnavailable(f"{NAME} does not load {file}")
    info = EngineInfo(
        name=NAME,
        version=f"pywhispercpp {version('pywhispercpp')}",
        model=checkpoint.name,
        device="cpu",
        device_reason=f"{cpu_threads()} CPU threads; built for {_instruction_sets()}",
        dtype=precision,
        weights=checkpoint.place,
    )
    return WhisperCppEngine(context, info, checkpoint)


def _instruction_sets() -> str:
    """Of the library: "AVX AVX2 FMA"."""
    said = cpp.whisper_print_system_info()
    text = said.decode() if isinstance(said, bytes) else str(said)
    flags = [part.split(" = ")[0].strip() for part in text.split("|") if part.strip()[-1:] == "1"]
    return " ".join(flag for flag in flags if (flag.isupper() and "AVX" in flag) or flag == "FMA")
