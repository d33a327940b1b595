"""Where the time goes: stages that add up, cold and warm, benchmarks with date and machine."""

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta

import msgspec
import numpy as np
import pytest

from maxwhisper.engines.status import Status
from maxwhisper.evaluation.bench import harness
from maxwhisper.evaluation.bench.cases import Clip, Mode, Model
from maxwhisper.options import GREEDY
from maxwhisper.web.ui.race.verdict import score
from maxwhisper.web.ui.timings.accuracy_chart import accuracy_chart
from maxwhisper.web.ui.timings.recorded_benchmarks import RecordedBenchmarks, badge_html
from maxwhisper.web.ui.timings.stages import OTHER, TOTAL, engine_stages, stages_html
from maxwhisper.web.ui.timings.tab import accuracy_html, measured_html, run_html, starts_html
from tests.fakes.runs import make_run
from tests.fakes.scripted_subject import contestant

EVIL = "<script>alert(1)</script>"


def test_stages_come_in_the_order_of_the_work_and_add_up_to_the_total():
    stages = engine_stages("maxwhisper", {"decode": 0.5, "mel": 0.1, "new": 0.1, "total": 1.0}, 9.0)
    assert list(stages.seconds) == ["mel", "decode", "new", OTHER]
    assert stages.seconds[OTHER] == pytest.approx(0.3)
    assert stages.total_s == pytest.approx(1.0)


def test_clock_resolution_is_no_stage():
    assert list(engine_stages("x", {"mel": 0.4, "decode": 0.5995, "total": 1.0}, 1.0).seconds) == [
        "mel",
        "decode",
    ]


@pytest.mark.parametrize(("timings", "total_s"), [({"total": 2.0}, 2.0), ({}, 9.0)])
def test_an_engine_without_stages_is_one_bar(timings, total_s):
    assert engine_stages("openai-whisper", timings, 9.0).seconds == {TOTAL: total_s}


def test_bars_share_one_scale_and_the_table_says_the_same():
    page = stages_html(
        [engine_stages("a", {"total": 4.0}, 4.0), engine_stages(EVIL, {"mel": 1.0}, 1.0)]
    )
    assert re.findall(r"width: ([\d.]+)%", page) == ["100.00", "25.00"]
    assert "<td>1.000 s <small>100%</small></td>" in page
    assert "<script" not in page


def test_a_run_says_when_and_where_and_which_engines_report_no_stages():
    run = make_run(audio_name=EVIL, model=EVIL)
    blind = replace(run.results[0].transcript, timings={"total": 0.4})
    *others, ours = run.results
    results = (*(replace(result, transcript=blind) for result in others), ours)
    page = run_html(msgspec.structs.replace(run, results=results))
    assert "openai-whisper and faster-whisper: total time only." in page
    assert "this is the median round" in page
    alone = run_html(msgspec.structs.replace(run, results=results[2:], rounds=1))
    assert "the median round" not in alone
    assert "total time only" not in alone
    assert "measured on 2 January 2026<" in page
    assert "Test CPU" in page
    assert "<script" not in page


def test_each_engine_has_its_milliseconds_per_token():
    ours = engine_stages("maxwhisper", {"prefill": 0.1, "decode": 0.4, "total": 1.0}, 9.0, 20)
    assert (ours.decoder_ms, ours.token_ms) == pytest.approx((25.0, 50.0))
    whole = engine_stages("openai-whisper", {"total": 2.0}, 9.0, 20)
    assert (whole.decoder_ms, whole.token_ms) == (None, pytest.approx(100.0))
    silent = engine_stages("faster-whisper", {"decode": 0.4, "total": 1.0}, 9.0)
    assert (silent.decoder_ms, silent.token_ms) == (None, None)
    table = stages_html([ours, whole, silent])
    assert re.findall(r"<td>(?:([\d.]+) ms|–)</td>", table)[-6:] == [
        *("25.00", "", ""),
        *("50.00", "100.00", ""),
    ]


def test_a_fresh_run_is_not_called_an_old_one():
    run = make_run()
    soon = datetime.fromisoformat(run.when) + timedelta(minutes=1)
    assert "measured just now" in measured_html(run, soon)
    assert "measured on 2 January 2026" in measured_html(run, soon + timedelta(hours=1))


def test_cold_and_warm_of_engines_that_know_both():
    page = starts_html(
        {"maxwhisper": Status("ready", cold_s=1.5, warm_s=0.5), "other": Status("loading")}
    )
    assert "<td>1.50 s</td><td>0.50 s</td><td>3.0×</td>" in page
    assert "other" not in page
    assert starts_html({"other": Status("loading")}) == ""


def test_speed_against_errors_needs_the_transcript():
    run = make_run(reference="")
    assert "Word errors need the correct transcript" in accuracy_html(run)
    assert accuracy_chart(score(run.results, "", "en")) == ""
    assert accuracy_html(make_run()).startswith("<h2>Speed against word errors</h2>")


def test_each_engine_is_a_mark_of_its_own_shape_where_its_figures_lie():
    scores = score(make_run().results, "the quick brown cat jumps over it", "en")
    drawn = accuracy_chart(scores).replace("\u00a0", " ")
    marks = re.findall(
        r'class="mark".*? x="(.*?)%" y="(.*?)%"><title>(.*?)</title>\s*<path d="(.*?)"', drawn
    )
    assert len({shape for *_, shape in marks}) == 3, "told apart without colour"
    top = 1.15 * max(s.result.rtfx for s in scores)
    for (x, y, title, _), s in zip(marks, scores, strict=True):
        assert title == f"{s.engine}: 14.3 % WER, RTFx {s.result.rtfx:.1f}"
        assert drawn.count(title) == 3, "for the eye, the pointer and the screen reader"
        assert float(x) == pytest.approx(100 / 1.15, abs=0.01)
        assert float(y) == pytest.approx(100 * (1 - s.result.rtfx / top), abs=0.01)


@pytest.fixture
def folder(tmp_path):
    """A folder with one record of two engines on two lengths."""
    clips = [Clip(f"{s} s", np.zeros(s * 16_000, np.float32)) for s in (1, 10)]
    plan = harness.Plan([Model("fake")], [Mode("greedy", GREEDY)], clips, 3, aa=False)
    record = harness.run(plan, lambda _: [contestant("a"), contestant("b", [0.4, 0.5, 0.6])])
    record.machine["cpu"] = EVIL
    (tmp_path / "cpu.json").write_text(json.dumps(record.to_dict()))
    return tmp_path


def test_records_show_their_figures_with_date_and_machine(folder):
    records = RecordedBenchmarks(folder)
    assert "Each name gives machine and date" in records.read()
    assert "time against length" in records.names[0]
    figure = records.find(records.names[0])
    assert {"a", "b"} <= {trace.name for trace in figure.drawing.data}
    badge = badge_html(figure.record)
    assert re.search(r"measured on \d{1,2} \w+ 20\d\d<", badge)
    assert "median of 3 rounds" in badge
    assert "<script" not in badge
    assert records.find("something else") is None


def test_records_of_one_day_have_different_names(folder):
    path = folder / "cpu.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "when": "2026-11-22T10:23:45+00:00"}))
    (folder / "later.json").write_text(json.dumps({**record, "when": "2026-11-22T12:11:08+00:00"}))
    records = RecordedBenchmarks(folder)
    records.read()
    lengths = [name for name in records.names if "time against length" in name]
    assert [name[-16:] for name in lengths] == ["2026-11-22 10:23", "2026-11-22 12:11"]


def test_trained_weights_and_a_clean_commit_are_shown_first(folder):
    record = json.loads((folder / "cpu.json").read_text())
    told = (("demo", "0" * 40 + "+"), ("random:tiny", "1" * 40), ("demo", "2" * 40))
    for hour, (model, commit) in enumerate(told):
        text = json.dumps({**record, "when": f"2026-11-22T0{hour}:00:00+00:00"})
        changed = json.loads(text.replace('"fake"', f'"{model}"'))
        changed["machine"]["commit"] = commit
        (folder / f"{hour}.json").write_text(json.dumps(changed))
    (folder / "cpu.json").unlink()
    records = RecordedBenchmarks(folder)
    records.read()
    assert records.names[0].startswith("demo: time against length")
    assert records.names[0].endswith("02:00"), "of the clean commit"
    assert records.names[-1].startswith("random:tiny"), "though it is of a clean commit"


@pytest.mark.parametrize(
    ("worst", "said"),
    [
        (None, "noise not measured</p>"),
        (0.012, "measured twice differed by up to 1.2 %</p>"),
        (0.127, "noisy machine: ignore differences under 12.7 %</p>"),
    ],
)
def test_a_badge_says_which_differences_count(folder, worst, said):
    records = RecordedBenchmarks(folder)
    records.read()
    record = records.find(records.names[0]).record
    record.aa.worst = worst
    assert badge_html(record).replace("\u00a0", " ").endswith(said)


def test_without_records_the_tab_says_how_to_make_one(tmp_path):
    records = RecordedBenchmarks(tmp_path)
    assert "python -m maxwhisper bench --output" in records.read()
    assert records.names == []


def test_a_broken_record_is_explained(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    records = RecordedBenchmarks(tmp_path)
    assert "is no benchmark record" in records.read()
    assert records.names == []
