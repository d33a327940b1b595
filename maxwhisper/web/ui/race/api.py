"""The endpoints for programs: `compare` races every engine on one recording, `transcribe` runs ours
alone, `models` says what is on offer. All answer JSON.

Input: a `Runner`, so that the same queue, limits and checks apply as to the page's Run button.
The first two report progress on the way. If the client disconnects, its race stops.
"""

import inspect
import secrets
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import gradio as gr

from maxwhisper.engines.timing import TimedTranscript
from maxwhisper.engines.verdict import ruling_of
from maxwhisper.errors import AudioError, OptionError, quoted
from maxwhisper.options import GREEDY
from maxwhisper.options.info import check_value
from maxwhisper.web.ui.errors import shown_errors
from maxwhisper.web.ui.race.request import RACE_MODE, RACE_OPTIONS, Request, Source
from maxwhisper.web.ui.race.result_view import View, scores_of
from maxwhisper.web.ui.race.runner import Runner

ENDPOINTS = COMPARE, TRANSCRIBE, MODELS = "compare", "transcribe", "models"  # in their addresses


@dataclass(frozen=True)
class Comparison:
    """The inputs of `compare`, in order. Gradio passes on whatever a client sends."""

    recording: gr.FileData
    model: str = ""
    language: str = "en"
    reference: str = ""
    rounds: int | None = None
    keep: bool = True
    options: dict[str, Any] | None = None

    def request(self, runner: Runner, visitor: str) -> Request:
        """The race to run, its recording decoded. Raises `OptionError` for a value that is not
        allowed, and `AudioError` if the recording was not uploaded or is none; then its file is
        gone."""
        recording: Any = self.recording
        if not isinstance(recording, dict) or not isinstance(recording.get("path"), str):
            raise AudioError("not_an_upload", "Upload the recording first.")
        own = runner.uploads.adopt(recording["path"])
        try:
            request = self.of(Source(own, is_upload=True, name=own.name), runner, visitor)
        except OptionError:
            runner.uploads.delete(own)
            raise
        runner.uploads.check(own)
        return request

    def of(self, source: Source, runner: Runner, visitor: str) -> Request:
        """The race of `source`. Raises `OptionError`."""
        for name in ("model", "language", "reference"):
            check_value(name, getattr(self, name), str)
        if self.rounds is not None:
            check_value("rounds", self.rounds, int)
        asked = _checked(self.options or {})
        mode = {name: asked.pop(name) for name in RACE_MODE if name in asked}
        request = Request(
            source,
            self.model or runner.pool.default_model,
            GREEDY.changed({"language": self.language or None, **asked}),
            self.reference,
            self.rounds,
            self.keep,
            visitor,
            **mode,
        )
        request.validate()
        runner.pool.check_model(request.model)
        return request


def race_api(runner: Runner, forget: Callable[[str], None]) -> None:
    """Add the endpoints to the current `gr.Blocks`. `forget` deletes what gradio keeps of the page
    with this session; every call has a page of its own."""

    @shown_errors
    def compare(asker: gr.Request, *values: Any, **named: Any) -> Iterator[dict[str, Any]]:
        """Run every engine on an uploaded recording. An empty `model` is the page's default; an
        empty `language` is detected. `reference` is the correct transcript, or "[nobody speaks]";
        it adds word error rates, or character error rates (`cer`) where a language has no spaces
        between words. `rounds` is 1 to 5; without it, 3 for a recording under a minute,
        else 1. Without `keep`, the server deletes recording and result.
        `options` has the page's settings by openai-whisper's names: task, beam_size (1 to 10),
        temperature (one number, 0 to 1), without_timestamps, word_timestamps,
        condition_on_previous_text, initial_prompt; and batch_size (1 to 16) and vad, which
        openai-whisper refuses. Progress comes first: the number of races ahead and the state of
        each engine. The last answer has the run, its scores by engine, the factor (the fastest
        baseline's median time over ours, null where it is too close or too noisy to call), the
        verdict in sentences, and the query that opens the run on the page.
        Example, in Python:
        `Client(page).predict(handle_file("talk.flac"), rounds=3, api_name="/compare")`."""
        request = Comparison(*values, **named).request(runner, asker.client.host)
        session = secrets.token_hex(8)
        try:
            for view in runner.run(session, request):
                if not view.is_over:
                    yield progress(view)
            yield answer(view, has_link=request.is_kept and not view.problem)
        finally:
            runner.leave(session)
            runner.discard(request)
            forget(str(asker.session_hash))

    @shown_errors
    def transcribe(
        recording: gr.FileData,
        asker: gr.Request,
        model: str = "",
        language: str = "en",
        word_timestamps: bool = False,
    ) -> Iterator[dict[str, Any]]:
        """Transcribe an uploaded recording with maxwhisper alone; it waits in the same queue as
        races, and nothing of it is kept. An empty `model` is the page's default; an empty
        `language` is detected. Progress comes first. The last answer has the text, the language,
        the seconds of audio and of work, and each segment with its times, with `word_timestamps`
        also each word with its own. Example, in Python:
        `Client(page).predict(handle_file("talk.flac"), api_name="/transcribe")`."""
        wanted = {"word_timestamps": word_timestamps}
        asked = Comparison(recording, model, language, options=wanted, keep=False)
        request = asked.request(runner, asker.client.host)
        try:
            for step in runner.transcribe(request):
                yield {"progress": step} if isinstance(step, str) else transcribed(step)
        finally:
            runner.discard(request)
            forget(str(asker.session_hash))

    def models(asker: gr.Request) -> dict[str, Any]:
        """The models that a race or a transcription may name, the default first, the state of
        each engine, and the number of races that wait. Example, in Python:
        `Client(page).predict(api_name="/models")`."""
        try:
            return offer(runner)
        finally:
            forget(str(asker.session_hash))

    # Gradio reads names and types of the inputs from the signature: one parameter for each.
    asker, *_ = inspect.signature(compare).parameters.values()
    inputs = [asker, *inspect.signature(Comparison).parameters.values()]
    compare.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        inputs, return_annotation=dict[str, Any]
    )
    compare.__annotations__ = {each.name: each.annotation for each in inputs}
    # type checkers do not see that gradio exports `api`
    transcribe.__annotations__["return"] = dict[str, Any]  # of the last answer, not of the iterator
    for name, endpoint in ((COMPARE, compare), (TRANSCRIBE, transcribe), (MODELS, models)):
        gr.api(endpoint, api_name=name, concurrency_limit=None)  # type: ignore[attr-defined]


def _checked(options: Any) -> dict[str, Any]:
    """The options that a client sent; `Request.validate` checks their values. Raises `OptionError`
    for an option that a race does not have."""
    if not isinstance(options, dict):
        raise OptionError(f"options must be an object, got {quoted(options)}")
    known = (*RACE_OPTIONS, *RACE_MODE)
    for name in options:
        if name not in known:
            raise OptionError(f"a race has no option {quoted(name)}, only {', '.join(known)}")
    return dict(options)


def transcribed(timed: TimedTranscript) -> dict[str, Any]:
    """A transcript of our engine, ready for JSON."""
    transcript = timed.transcript
    return {
        "text": transcript.text.strip(),
        "language": transcript.language,
        "audio_s": transcript.duration,
        "seconds": timed.seconds,
        "segments": [
            {"start": each.start, "end": each.end, "text": each.text.strip()}
            | ({"words": [asdict(word) for word in each.words]} if each.words else {})
            for each in transcript.segments
        ],
    }


def offer(runner: Runner) -> dict[str, Any]:
    """The models and the engines of the page, ready for JSON."""
    default = runner.pool.default_model
    others = [name for name in runner.pool.models if name != default]
    statuses = runner.pool.statuses()
    return {
        "models": [default, *others],
        "engines": {name: status.phase for name, status in statuses.items()},
        "races_waiting": runner.queue.n_waiting,
    }


def progress(view: View) -> dict[str, Any]:
    """The progress of a race, ready for JSON."""
    engines = {n: {"phase": panel.phase, "note": panel.note} for n, panel in view.panels.items()}
    return {"races_ahead": view.n_ahead, "engines": engines}


def answer(view: View, *, has_link: bool) -> dict[str, Any]:
    """A finished race, ready for JSON, with a link if `has_link`."""
    assert view.run is not None, "the last view of a race has its run"
    scores = {
        score.engine: {
            "median_s": score.result.median_s,
            "rtfx": score.result.rtfx,
            "tokens_per_s": score.result.tokens_per_s,
            "first_text_s": score.result.first_text_s,
            "word_errors": score.errors.to_dict() if score.errors else None,
            "agreement": score.agreement,
        }
        for score in scores_of(view.run)
    }
    factor = ruling_of(view.run.results).factor
    link = f"?run={view.run.id}" if has_link and view.run.results else None
    return {
        "run": view.run.to_dict(),
        "scores": scores,
        "factor": asdict(factor) if factor else None,
        "verdict": [*view.sentences, *([view.problem] if view.problem else [])],
        "link": link,
    }
