"""A whole comparison for a program: one recording in, every engine's transcript, times and scores
out, as JSON.

In: a `Runner`. The same line, limits and checks as behind the page's own Run button. On the way it
says how far it is; a program that goes away stops its race.
"""

import secrets
from collections.abc import Iterator
from typing import Any

import gradio as gr

from maxwhisper.errors import AudioError, OptionError
from maxwhisper.options import GREEDY
from maxwhisper.ui.errors import shown_errors
from maxwhisper.ui.race_run import Request, Runner, Source
from maxwhisper.ui.run_view import View, scores_of

COMPARE = "compare"  # its name in addresses
_TEXT, _YES_NO = (str, "a text"), (bool, "true or false")
# What the page's settings have beside the language, and what a program must send for it.
OPTIONS: dict[str, tuple[type | tuple[type, ...], str]] = {
    "task": _TEXT,
    "beam_size": (int, "a whole number"),
    "temperature": ((int, float), "one number"),
    "without_timestamps": _YES_NO,
    "word_timestamps": _YES_NO,
    "condition_on_previous_text": _YES_NO,
    "initial_prompt": _TEXT,
}


def race_api(runner: Runner) -> None:
    """Add the endpoint to the current `gr.Blocks`."""

    @shown_errors
    def compare(
        recording: gr.FileData,
        asker: gr.Request,
        model: str = "",
        language: str = "en",
        reference: str = "",
        rounds: int = 1,
        keep: bool = True,
        options: dict[str, Any] | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Run every engine on an uploaded recording. An empty `model` is the page's default, an
        empty `language` is detected, `reference` is what was said and gives word error rates,
        character error rates (`cer`) where words have no spaces between them, or "[nobody speaks]";
        `rounds` 1 to 5; without `keep`, nothing stays on the server. `options`
        are those of the transcription that the page's settings have, by openai-whisper's names:
        task, beam_size (1 to 10), temperature (one number, 0 to 1), without_timestamps,
        word_timestamps, condition_on_previous_text, initial_prompt. The answer is the run, its
        scores by engine, the verdict in sentences, and the query that opens it on the page; what
        comes before it tells how many races are ahead, and of each engine how far it is."""
        sent: Any = recording  # gradio passes on what came, whatever the annotations say
        texts = (model, language, reference)
        if not all(isinstance(text, str) for text in texts) or not isinstance(rounds, int):
            raise OptionError("expected model, language and reference as texts, rounds as a number")
        if not isinstance(keep, bool):
            raise OptionError(f"expected keep as true or false, got {keep!r:.20}")
        if not isinstance(sent, dict) or not isinstance(sent.get("path"), str):
            raise AudioError("not_an_upload", "expected an uploaded recording: upload it first")
        own = runner.uploads.adopt(sent["path"])
        request = Request(
            Source(own, is_upload=True, name=own.name),
            model or runner.pool.models[0],
            GREEDY.changed({"language": language or None, **_known(options or {})}),
            reference,
            rounds,
            keep,
            asker.client.host,
        )
        session = secrets.token_hex(8)
        try:
            for view in runner.run(session, request):
                if not view.is_over:
                    yield progress(view)
            yield answer(view, has_link=keep and not view.problem)
        finally:
            runner.leave(session)

    # gradio exports `api` by a way that type checkers do not follow
    gr.api(compare, api_name=COMPARE, concurrency_limit=None)  # type: ignore[attr-defined]


def _known(options: Any) -> dict[str, Any]:
    """The options of a program. Raises `OptionError` for one that a race has no setting for, and
    for a value of another kind."""
    if not isinstance(options, dict):
        raise OptionError(f"expected options as an object by name, got {options!r:.20}")
    for name, value in options.items():
        if name not in OPTIONS:
            raise OptionError(
                f"a race has no option called {name!r:.40}: choose from {', '.join(OPTIONS)}"
            )
        kinds, words = OPTIONS[name]
        if not isinstance(value, kinds):
            raise OptionError(f"expected {name} as {words}, got {value!r:.20}")
    return options


def progress(view: View) -> dict[str, Any]:
    """How far a race is, JSON-ready."""
    lanes = {name: {"phase": lane.phase, "note": lane.note} for name, lane in view.lanes.items()}
    return {"races_ahead": view.n_ahead, "engines": lanes}


def answer(view: View, *, has_link: bool) -> dict[str, Any]:
    """A finished race, JSON-ready; `has_link` when it was kept."""
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
    link = f"?run={view.run.id}" if has_link and view.run.results else None
    return {
        "run": view.run.to_dict(),
        "scores": scores,
        "verdict": [*view.sentences, *([view.problem] if view.problem else [])],
        "link": link,
    }
