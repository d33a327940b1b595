"""Where the time goes: stages that add up, cold and warm, records with their provenance."""

import json
import re
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from fake_runs import make_run
from scripted_subject import contestant

from maxwhisper import bench
from maxwhisper.bench_cases import Clip, Mode, Model
from maxwhisper.options import GREEDY
from maxwhisper.serving.status import Status
from maxwhisper.ui.accuracy_chart import accuracy_chart
from maxwhisper.ui.recorded import Records, badge_html
from maxwhisper.ui.scores import score
from maxwhisper.ui.stages import REST, WHOLE, stages_html, work_of
from maxwhisper.ui.timings import accuracy_heading, measured_html, run_html, starts_html

EVIL = "<script>alert(1)</script>"


def test_stages_come_in_the_order_of_the_work_and_add_up_to_the_total():
    work = work_of("maxwhisper", {"decode": 0.5, "mel": 0.1, "new": 0.1, "total": 1.0}, 9.0)
    assert list(work.seconds) == ["mel", "decode", "new", REST]
    assert work.seconds[REST] == pytest.approx(0.3)
    assert work.total_s == pytest.approx(1.0)


def test_rounding_of_clocks_is_no_stage():
    assert list(work_of("x", {"mel": 0.4, "decode": 0.5995, "total": 1.0}, 1.0).seconds) == [
        "mel",
        "decode",
    ]


@pytest.mark.parametrize(("timings", "total_s"), [({"total": 2.0}, 2.0), ({}, 9.0)])
def test_an_engine_that_does_not_tell_is_one_bar(timings, total_s):
    assert work_of("openai-whisper", timings, 9.0).seconds == {WHOLE: total_s}


def test_bars_share_one_scale_and_the_table_says_the_same():
    page = stages_html([work_of("a", {"total": 4.0}, 4.0), work_of(EVIL, {"mel": 1.0}, 1.0)])
    assert re.findall(r"width: ([\d.]+)%", page) == ["100.00", "25.00"]
    assert "<td>1.000 s <small>100%</small></td>" in page
    assert "<script" not in page


def test_a_run_says_when_and_where_and_which_engines_cannot_be_looked_into():
    run = make_run(audio_name=EVIL, model=EVIL)
    blind = replace(run.results[0].transcript, timings={"total": 0.4})
    page = run_html(replace(run, results=(replace(run.results[0], transcript=blind),)))
    assert "openai-whisper cannot be looked into" in page
    assert "measured on 2 January 2026, not now" in page
    assert "Test CPU" in page
    assert "<script" not in page


def test_a_fresh_run_is_not_called_an_old_one():
    run = make_run()
    soon = datetime.fromisoformat(run.when) + timedelta(minutes=1)
    assert "measured just now" in measured_html(run, soon)
    assert "not now" in measured_html(run, soon + timedelta(hours=1))


def test_cold_and_warm_of_engines_that_know_both():
    page = starts_html(
        {"maxwhisper": Status("ready", cold_s=1.5, warm_s=0.5), "other": Status("loading")}
    )
    assert "<td>1.50 s</td><td>0.50 s</td><td>3.0×</td>" in page
    assert "other" not in page
    assert starts_html({"other": Status("loading")}) == ""


def test_the_heading_says_what_errors_are_of():
    assert accuracy_heading("word") == "<h3>Speed against word errors</h3>"
    assert accuracy_heading("character", "Why.").startswith("<h3>Speed against character errors")


def test_speed_against_errors_needs_the_words():
    results = make_run().results
    assert accuracy_chart(score(results, "", "en")) is None
    figure = accuracy_chart(score(results, "the quick brown cat jumps over it", "en"))
    assert [trace.x[0] for trace in figure.data] == pytest.approx([100 / 7] * 3)
    assert len({trace.marker.symbol for trace in figure.data}) == 3  # told apart without colour
    assert figure.layout.xaxis.range[0] == 0, "no error rate is negative"


@pytest.fixture
def folder(tmp_path):
    """A folder with one record of two engines on two lengths."""
    clips = [Clip(f"{s} s", np.zeros(s * 16_000, np.float32)) for s in (1, 10)]
    plan = bench.Plan([Model("fake")], [Mode("greedy", GREEDY)], clips, 3, aa=False)
    record = bench.run(plan, lambda _: [contestant("a"), contestant("b", [0.4, 0.5, 0.6])])
    record["machine"]["cpu"] = EVIL
    (tmp_path / "cpu.json").write_text(json.dumps(record))
    return tmp_path


def test_records_show_their_figures_and_where_they_are_from(folder):
    records = Records(folder)
    assert "Choose a figure" in records.read()
    assert "time against length" in records.names[0]
    figure = records.find(records.names[0])
    assert {"a", "b"} <= {trace.name for trace in figure.drawing.data}
    badge = badge_html(figure.record)
    assert re.search(r"measured on \d{1,2} \w+ 20\d\d, not now", badge)
    assert "median of 3 rounds" in badge
    assert "<script" not in badge
    assert records.find("something else") is None


def test_records_of_one_day_are_told_apart(folder):
    path = folder / "cpu.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "when": "2026-11-22T10:23:45+00:00"}))
    (folder / "later.json").write_text(json.dumps({**record, "when": "2026-11-22T12:11:08+00:00"}))
    records = Records(folder)
    records.read()
    lengths = [name for name in records.names if "time against length" in name]
    assert [name[-16:] for name in lengths] == ["2026-11-22 10:23", "2026-11-22 12:11"]


@pytest.mark.parametrize(
    ("worst", "said"),
    [
        (None, "how noisy the machine was is not known</p>"),
        (0.012, "timed twice, differed by up to 1.2%</p>"),
        (0.127, "differed by up to 12.7%: a noisy machine, no smaller difference counts</p>"),
    ],
)
def test_a_badge_says_which_differences_count(folder, worst, said):
    records = Records(folder)
    records.read()
    record = records.find(records.names[0]).record
    assert badge_html({**record, "aa": {"limit": 0.02, "worst": worst}}).endswith(said)


def test_without_records_the_tab_says_how_to_make_one(tmp_path):
    records = Records(tmp_path)
    assert "python -m maxwhisper bench --output" in records.read()
    assert records.names == []


def test_a_broken_record_is_explained(tmp_path):
    (tmp_path / "x.json").write_text("{}")
    records = Records(tmp_path)
    assert "is no benchmark record" in records.read()
    assert records.names == []
