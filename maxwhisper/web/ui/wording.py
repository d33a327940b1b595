"""Words that several tabs show: states of engines, and what each figure means."""

from maxwhisper.engines.status import Status

# Names of figures as they are shown, and the explanation that appears under the pointer.
FIGURES = {
    "seconds": "computing time, the median of all rounds",
    "RTFx": "seconds of audio transcribed per second of computing: higher is faster",
    "WER": "word error rate: substituted, deleted and inserted words per word of the correct "
    "transcript",
    "CER": "character error rate: the word error rate of languages without spaces",
    "accuracy": "word error rate if the correct transcript is known, else agreement",
    "agreement": "share of words that agree with openai-whisper's transcript, or with "
    "faster-whisper's if that is missing",
    "invented": "words transcribed although nobody speaks",
    "first text": "seconds until the first segment was known",
    "tokens/s": "tokens of text per second of computing",
    "rounds": "number of measurements, and the fastest and slowest of them",
}


def ordinal(number: int) -> str:
    """The ordinal of a whole number from 1 on: "1st", "2nd", "11th"."""
    is_teen = number % 100 in (11, 12, 13)
    ending = "th" if is_teen else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def status_word(status: Status) -> str:
    """The state of an engine in one word."""
    if status.phase == "ready":
        return "warm"
    if status.phase == "loading" and status.detail.startswith("compiling"):
        return "compiling"
    return status.phase


def status_note(status: Status) -> str:
    """The state of an engine with its detail, in one line."""
    if status.phase == "ready":
        return "ready"
    if status.phase == "crashed":
        return status.detail
    return f"{status.phase}: {status.detail}" if status.detail else status.phase
