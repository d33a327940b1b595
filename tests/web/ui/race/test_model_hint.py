"""The hint beside Run, and a default model that changes while somebody reads the page."""

import gradio as gr
import pytest

from maxwhisper.checkpoint.download import DownloadProgress
from maxwhisper.engines.pool import EnginePool
from maxwhisper.engines.status import Status
from maxwhisper.web.server.better_weights import BetterWeights, Standing
from maxwhisper.web.server.fair_use import FairUse, Limits
from maxwhisper.web.server.queue import VisitorQueue
from maxwhisper.web.server.uploads import Uploads
from maxwhisper.web.ui.race.inputs import race_inputs
from maxwhisper.web.ui.race.model_hint import wire_model_hint
from maxwhisper.web.ui.weights import Moment, ShownWeights, line_html, model_hint_html

HERE = Standing("ready", "base")
PROGRESS = DownloadProgress("base", 45 << 20, 139 << 20, 1 << 20)
DOWNLOADING = Standing("downloading", "base", PROGRESS)


@pytest.fixture
def weights(monkeypatch):
    pool = EnginePool(("maxwhisper",), ("demo", "base"))
    weights = BetterWeights("", pool, VisitorQueue(FairUse(Limits())))
    weights._standing = DOWNLOADING
    return weights


def moment(weights):
    return ShownWeights(weights, weights._pool).moment()


@pytest.fixture
def handlers(weights, tmp_path):
    with gr.Blocks() as page:
        inputs = race_inputs(Uploads(tmp_path), weights._pool, ())
        wire_model_hint(ShownWeights(weights, weights._pool), inputs)
    return {fn.name: fn.fn for fn in page.fns.values()}


def test_the_default_changes_for_who_chose_nothing_and_for_nobody_else(handlers, weights):
    weights._standing, weights._pool.default_model = HERE, "base"
    model, language, notice, hint = handlers["follow"](True, False, False, "demo", moment(weights))
    assert (model.value, language.value, notice, hint) == ("base", "", "", "")
    assert len(language.choices) == 100, "that it detects, and 99 languages"
    model, language, notice, hint = handlers["follow"](True, True, True, "demo", moment(weights))
    assert (model.value, notice) == ("demo", "")
    assert language == gr.skip(), "a language that he chose stays, too"
    assert "Use base, which understands human voices in 99 languages" in hint


def test_the_hint_gets_the_weights_now_or_as_soon_as_they_are_here(handlers, weights):
    model, _, is_chosen, hint, _ = handlers["enter"](False, "demo")
    assert (model, is_chosen) == (gr.skip(), False), "the next default is theirs"
    assert "Downloading base: 45 of 139 MiB, 1.0 MiB/s, 94 s left." in hint
    weights._standing = HERE
    model, language, is_chosen, hint, _ = handlers["enter"](False, "demo")
    assert (model, language.value, is_chosen, hint) == ("base", "", False, "")


def test_a_click_on_the_hint_tries_a_failed_download_again(handlers, weights):
    weights._standing = Standing("failed", "base", note="downloaded")
    *_, hint, _ = handlers["enter"](False, "demo")
    assert weights.standing.phase == "waiting"
    assert "Use base as soon as it is ready" in hint


def test_only_who_brings_his_own_voice_to_demo_is_told(handlers):
    heard = Moment(DOWNLOADING)
    assert "was trained only on synthesised speech" in handlers["begin"]("demo", heard)[1]
    assert handlers["begin"]("base", heard) == (True, "")
    assert handlers["receive"](None, "demo", heard) == (False, "")


@pytest.mark.parametrize(
    ("standing", "line", "hint"),
    [
        (Standing("off"), "", "Choose another model under Options."),
        (DOWNLOADING, "It understands human voices in 99 languages.", "as soon as it is ready"),
        (Standing("preparing", "base", note="loading"), "between races: loading.", "between races"),
        (HERE, "base is here</strong>: it understands human voices in 99 languages.", "Use base"),
        (Standing("failed", "base", note="downloaded"), "could not be downloaded", "Try again"),
        (Standing("offline", "base"), "downloads are switched off", "is not on this machine"),
        (Standing("ready", "<b>x"), "&lt;b&gt;x is here</strong>.", "Use &lt;b&gt;x</button>"),
    ],
)
def test_every_state_in_words(standing, line, hint):
    assert line in line_html(standing)
    assert (line_html(standing) == "") == (line == "")
    assert hint in model_hint_html(standing, "demo", 2)
    assert model_hint_html(standing, "base", 2) == ""
    assert ("button" in line_html(standing)) == (standing.phase in ("failed", "offline"))


def test_an_engine_that_refuses_the_model_is_named_before_the_race(handlers, weights, monkeypatch):
    refused = Status("unavailable", "<b> has no tokenizer", model="demo")
    statuses = {"maxwhisper": Status("ready", model="demo"), "faster-whisper": refused}
    monkeypatch.setattr(weights._pool, "statuses", lambda: statuses)
    shown = ShownWeights(weights, weights._pool)
    *_, heard = shown.now()
    hints = handlers["hint"](False, "demo", heard)
    assert "<strong>faster-whisper cannot run demo here:</strong> &lt;b&gt; has no" in hints
    assert "tokenizer. The others race without it." in hints
    assert "synthesised" not in hints
    assert "synthesised" in handlers["hint"](True, "demo", heard), "both, for an own recording"
    assert handlers["hint"](False, "base", heard) == "", "nobody has tried it"
    statuses["faster-whisper"] = Status("ready", model="demo")
    assert handlers["hint"](False, "demo", heard) == hints, "the page has not heard of it yet"
    *_, later = shown.now()
    assert later != heard, "the page asks for the hints anew"
    assert handlers["hint"](False, "demo", later) == ""


KEPT = "as it is"


def offered(handlers, *chosen):
    """Choices, value and whether it can be changed, of the language and of the task."""
    language, task = handlers["_offered"](*chosen)
    codes = [code for _, code in language["choices"]]
    return (
        (codes, language.get("value", KEPT), language["interactive"]),
        (task["choices"], task.get("value", KEPT), task["interactive"]),
    )


def test_weights_are_offered_no_language_and_no_task_that_they_lack(handlers):
    languages, tasks = offered(handlers, "tiny.en", "de", "translate")
    assert languages == (["en"], "en", False)
    assert tasks == (["transcribe"], "transcribe", False)
    languages, tasks = offered(handlers, "tiny", "de", "translate")
    assert (languages[0][0], languages[1:]) == ("", (KEPT, True))
    assert tasks == (["transcribe", "translate"], KEPT, True)
    turbo, tasks = offered(handlers, "turbo", "yue", "translate")
    assert turbo[1] == KEPT
    assert tasks == (["transcribe"], "transcribe", False)
    assert "yue" not in languages[0], "large-v3 brought it"
    assert offered(handlers, "somebody/whisper", "cy", "translate")[0][1] == KEPT, "not known"
