"""Long form as openai-whisper does it: window after window, each seeking from the last timestamp.

In: a network and a waveform of any length. Out: a `Transcript`. Never sees a logit. Source:
openai/whisper transcribe.py:38-515.
"""

from dataclasses import dataclass, field

import numpy as np

from maxwhisper.clock import StageClock
from maxwhisper.decoding.language import detect_language
from maxwhisper.decoding.protocols import Float32, LogMelFrames, Network
from maxwhisper.decoding.window import WindowResult, decode_windows
from maxwhisper.dims import N_FRAMES, N_SAMPLES, SAMPLE_RATE
from maxwhisper.engine import OnSegment, Waveform
from maxwhisper.errors import OptionError
from maxwhisper.languages import spoken_language
from maxwhisper.options import TranscribeOptions
from maxwhisper.tokenizer import Tokenizer, get_tokenizer
from maxwhisper.transcribe.segments import Window, window_segments, without_empty
from maxwhisper.transcript import Segment, Transcript

# A window decoded hotter than this does not prompt the next one (transcribe.py:503).
PROMPT_RESET_TEMPERATURE = 0.5

SUPPORTED = frozenset(
    {
        "language",
        "task",
        "temperature",  # 0 alone: see `check_options`
        "sample_len",
        "suppress_tokens",
        "suppress_blank",
        "without_timestamps",
        "max_initial_timestamp",
        "compression_ratio_threshold",
        "logprob_threshold",
        "no_speech_threshold",
        "condition_on_previous_text",
        "initial_prompt",
        "carry_initial_prompt",
    }
)


def check_options(options: TranscribeOptions) -> None:
    """Raise `OptionError` for what this mode does not do."""
    options.validate().require_supported("maxwhisper", SUPPORTED)
    if options.temperature not in (0, (0,)):
        raise OptionError(
            f"maxwhisper decodes greedily: temperature must be 0, got {options.temperature}"
        )


@dataclass
class History:
    """Tokens said so far, and which of them prompt the next window."""

    initial_prompt: tuple[int, ...]
    carry: bool
    most: int  # prompt tokens a window can take
    tokens: list[int] = field(default_factory=list)
    reset_since: int = 0

    def __post_init__(self) -> None:
        self.tokens.extend(self.initial_prompt)

    def prompt(self) -> tuple[int, ...]:
        if not self.carry:
            return tuple(self.tokens[self.reset_since :])
        ignored = max(len(self.initial_prompt), self.reset_since)
        remaining = self.most - len(self.initial_prompt)
        return (*self.initial_prompt, *self.tokens[ignored:][-remaining:])

    def add(self, segments: list[Segment]) -> None:
        for segment in segments:
            self.tokens.extend(segment.tokens)

    def reset(self) -> None:
        self.reset_since = len(self.tokens)

    def said(self) -> list[int]:
        return self.tokens[len(self.initial_prompt) :]


def transcribe(
    network: Network,
    waveform: Waveform,
    options: TranscribeOptions,
    on_segment: OnSegment | None = None,
) -> Transcript:
    """Transcribe float32 mono 16 kHz samples (n,), window by window."""
    check_options(options)
    clock = StageClock()
    with clock.stage("mel"):
        mel = network.log_mel(waveform, padding=N_SAMPLES)
    content_frames = len(mel) - N_FRAMES
    language = choose_language(network, mel, options, clock)
    tokenizer = get_tokenizer(network.dims, language=language, task=options.task)
    history = _new_history(tokenizer, options, network.dims.n_text_ctx)

    segments: list[Segment] = []
    seek = 0
    while seek < content_frames:
        window = Window(seek, min(N_FRAMES, content_frames - seek))
        result = _decode(network, mel, window, tokenizer, options, history, clock)
        if _is_silence(result, options):
            seek += window.size
            continue
        found, seek = window_segments(result, window, tokenizer, first_id=len(segments))
        found = without_empty(found)
        segments.extend(found)
        history.add(found)
        if not options.condition_on_previous_text or result.temperature > PROMPT_RESET_TEMPERATURE:
            history.reset()
        for segment in found if on_segment else ():
            on_segment(segment)  # type: ignore[misc]
    return Transcript(
        text=tokenizer.decode(history.said()),
        language=language,
        segments=tuple(segments),
        duration=len(waveform) / SAMPLE_RATE,
        timings=clock.seconds,
    )


def choose_language(
    network: Network, mel: LogMelFrames, options: TranscribeOptions, clock: StageClock
) -> str:
    """Code of the language asked for, "en" for an English-only network, or the likeliest in 30 s.

    Raises `OptionError` for a language or a task that the network was not trained for.
    """
    language = spoken_language(network.dims, options.language, options.task)
    if language is not None:
        return language
    with clock.stage("encoder"):
        encoded = network.encode(mel[:N_FRAMES][None])
    with clock.stage("language"):
        probabilities = detect_language(network, encoded, get_tokenizer(network.dims))
    return max(probabilities, key=probabilities.__getitem__)


def _new_history(tokenizer: Tokenizer, options: TranscribeOptions, n_text_ctx: int) -> History:
    prompt = options.initial_prompt
    tokens = tuple(tokenizer.encode(" " + prompt.strip())) if prompt is not None else ()
    return History(tokens, options.carry_initial_prompt, n_text_ctx // 2 - 1)


def _decode(
    network: Network,
    mel: LogMelFrames,
    window: Window,
    tokenizer: Tokenizer,
    options: TranscribeOptions,
    history: History,
    clock: StageClock,
) -> WindowResult:
    with clock.stage("encoder"):
        encoded = network.encode(padded_window(mel, window)[None])
    prompt = history.prompt()
    return decode_windows(network, encoded, 1, tokenizer, options, prompt, clock)[0]


def padded_window(mel: LogMelFrames, window: Window) -> Float32:
    """(T, M) -> (3000, M): the window, then zeros.

    Zero in the normalised domain is louder than silence; that is what the reference feeds
    (transcribe.py:283-286), although its language detection sees true silence (:151).
    """
    content = mel[window.seek : window.seek + window.size]
    padded = np.zeros((N_FRAMES, content.shape[1]), np.float32)
    padded[: window.size] = content
    return padded


def _is_silence(result: WindowResult, options: TranscribeOptions) -> bool:
    """Probably no speech, and the text is not confident enough to say otherwise."""
    if options.no_speech_threshold is None:
        return False
    confident = (
        options.logprob_threshold is not None and result.avg_logprob > options.logprob_threshold
    )
    return result.no_speech_prob > options.no_speech_threshold and not confident
