"""The slides: every number is one of the record's, nothing is loaded, nothing is taken for HTML."""

import html
import json
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest

from maxwhisper.cli import build_parser
from maxwhisper.evaluation.bench import harness
from maxwhisper.evaluation.bench.cases import Clip, Mode, Model
from maxwhisper.evaluation.bench.harness import Plan
from maxwhisper.evaluation.bench.record import BenchRecord
from maxwhisper.evaluation.bench.summary import ratios, scaling, stages
from maxwhisper.evaluation.records import machine_line
from maxwhisper.options import GREEDY
from maxwhisper.web.ui.use_it.diagram import STEPS
from tests.fakes.scripted_subject import MIB, contestant
from tools.slides import __main__, results
from tools.slides.deck import deck
from tools.train_demo.record import Agreement, Evaluation, GoalVerdict

ROOT = Path(__file__).parents[2]
EVALUATION = Evaluation(
    checkpoint="digest",
    machine={"cpu": "Test CPU", "threads": 2, "gpus": [], "commit": "b285cc85a6e0"},
    sets={"seen": "sentences in voices of its training", "real": "people"},
    word_error_rates={"on clear speech": 0.0878, "on people": 0.5819},
    goals=[
        GoalVerdict("seen", "wer", "≤ 0.08", engine, None, met)
        for engine, met in (
            ("maxwhisper", True),
            ("maxwhisper", False),
            ("maxwhisper", None),
            ("faster-whisper", False),
        )
    ],
    engines={},
    agreement={"seen": Agreement(12, 0), "real": Agreement(27, 3)},
    differences=[],
)
HOSTILE = '<img src="https://evil.example/x" onerror=alert(1)>'


def measure(name="jfk", ours=(0.3, 0.29, 0.31), theirs=(0.2, 0.19, 0.21)):
    """A record: three engines in two modes, on one clip of a minute and on one of two."""
    contestants = [
        contestant("openai-whisper", [0.9, 0.8, 1.0] * 4, no_batches=True),
        contestant("faster-whisper", [*theirs] * 4, peaks={}),
        contestant("maxwhisper", [*ours] * 4, peaks={60 * 16_000: 300 * MIB}),
    ]
    spoken = "And so, my fellow Americans."
    lengths_s = {name: 60, "long": 120}
    clips = [Clip(key, np.zeros(s * 16_000, np.float32), spoken) for key, s in lengths_s.items()]
    modes = [Mode("greedy", GREEDY), Mode("batched 8", GREEDY, 8)]
    plan = Plan([Model("fake")], modes, clips, rounds=3, aa=False)
    record = harness.run(plan, lambda _: contestants)
    return BenchRecord.from_dict(json.loads(json.dumps(record.to_dict())))


@pytest.fixture(scope="module")
def record():
    return measure()


@pytest.fixture(scope="module")
def page(record):
    return deck([record], EVALUATION)


def sections(page: str) -> list[str]:
    return re.findall(r"<section.*?</section>", page, re.DOTALL)


def plain(markup: str) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", markup))


def leaves(value) -> list:
    if isinstance(value, dict):
        return [*value, *(leaf for each in value.values() for leaf in leaves(each))]
    if isinstance(value, list | tuple):
        return [leaf for each in value for leaf in leaves(each)]
    return [value]


def known(record) -> tuple[set[float], str]:
    """Numbers that records say, or that `summary` derives from them; and all their words."""
    found = [*leaves(record.to_dict()), *leaves(EVALUATION.to_dict())]
    numbers = {float(leaf) for leaf in found if isinstance(leaf, int | float)}
    for row in ratios(record):
        numbers |= {row.speed, row.slowest, row.fastest, row.memory or 0.0}
    for row in scaling(record):
        numbers |= {row.uneven, *(1000 * each for each in row.seconds_per_audio_s)}
    agreement = EVALUATION.agreement.values()
    numbers |= {sum(getattr(each, name) for each in agreement) for name in ("items", "differ")}
    ours = [goal for goal in EVALUATION.goals if goal.engine == "maxwhisper"]
    numbers |= {
        len([g for g in ours if g.met is not None]),
        len([g for g in ours if g.met is False]),
    }
    words = [*map(str, found), machine_line(record.machine)]
    words += [
        machine_line(EVALUATION.machine),
        *(f"{s.name} {s.does} {s.gives} {s.loop}" for s in STEPS),
    ]
    return numbers, " ".join(words)


def test_every_number_is_one_of_the_records(record, page):
    numbers, _ = known(record)
    shown = re.findall(r'<data value="([^"]+)">([^<]+)</data>', page)
    assert len(shown) > 40
    for value, text in shown:
        assert float(value) in numbers, (value, text)
        digits = re.search(r"[\d.]+", text)[0]
        scaled = 100 * float(value) if "%" in text else float(value)
        decimals = len(digits.partition(".")[2])
        assert abs(float(digits) - scaled) <= 0.51 * 10**-decimals, (value, text)


def test_no_number_is_typed_by_hand(record, page):
    """What is left without the numbers and the commands has digits only in words of the record."""
    _, words = known(record)
    for section in sections(page):
        left = plain(re.sub(r"<data.*?</data>|<pre>.*?</pre>", " ", section, flags=re.DOTALL))
        for token in left.split():
            token = token.strip(".,;:()…")
            assert not re.search(r"\d", token) or token in words, token


def test_the_talk_has_its_parts_in_order(page):
    titles = [plain(title) for title in re.findall(r"<h[12]>(.*?)</h[12]>", page)]
    parts = ["maxwhisper", "Which", "Every heavy", "How it is", "How many", "Where the", "Twice"]
    parts += ["Results on a GPU", "One checkpoint", "What we lost", "What next"]
    for title, beginning in zip(titles, parts, strict=True):
        assert title.startswith(beginning)


def test_the_architecture_is_that_of_the_diagram(page):
    boxes = re.findall(r'<li class="(graph|python)"><b>(.*?)</b>', page)
    assert sorted(boxes) == sorted(("graph" if s.is_graph else "python", s.name) for s in STEPS)


def test_bars_are_as_long_as_their_numbers(record, page):
    chart = next(section for section in sections(page) if "How many times" in section)
    lanes = re.findall(r'width:([\d.]+)%;background.*?<data value="([\d.]+)">', chart)
    fastest = max(run.audio_s / min(run.seconds) for run in record.runs[:6] if run.seconds)
    assert len(lanes) == 5, "openai-whisper has no batches"
    assert [float(rtfx) for _, rtfx in lanes] == sorted((float(r) for _, r in lanes), reverse=True)
    for width, rtfx in lanes:
        assert float(width) == pytest.approx(100 * float(rtfx) / fastest, abs=0.01)
    assert "has no batches" in plain(chart)


def test_stages_fill_the_median(record):
    run = msgspec.structs.replace(record.measured[0], median_s=1.0)
    assert stages(run) == pytest.approx({"mel": 0.1, "decode": 0.2, "not told": 0.7})


def test_what_we_lost_is_said(record, page):
    lost = plain(sections(page)[-2])
    assert lost.count("we are slower") == 4, "two modes, two clips"
    assert re.search(r"Up to\s+3.00×\s+the memory of openai-whisper", lost)
    assert re.search(r"miss\s+1\s+of\s+2\s+of their own goals", lost)
    assert "Catch up with faster-whisper" in plain(sections(page)[-1])


def test_what_we_won_is_not_called_lost():
    page = deck([measure(ours=(0.1, 0.09, 0.11))], EVALUATION)
    assert "slower" not in plain(sections(page)[-2])
    assert "we are faster" in plain(page)


def test_many_losses_still_fit_on_a_slide(record):
    lost = plain(results.lost([record, record, record], EVALUATION))
    assert lost.count("we are slower") == results.MAX_LOSSES
    assert re.search(r"and\s+6\s+more times", lost)


def test_without_a_record_slides_say_which_command_makes_it():
    page = deck([], EVALUATION)
    assert "Nothing has been measured yet." in page
    commands = set(re.findall(r"<code>(python -m maxwhisper .*?)</code>", page))
    assert len(commands) == 3, "any, on a CPU, on a GPU"
    for command in commands:
        args = build_parser().parse_args(command.split()[3:])
        assert args.output == Path("results/NAME.json")


def test_what_a_record_says_is_text(record):
    document = json.dumps(record.to_dict())
    hostile = BenchRecord.from_dict(json.loads(document.replace("jfk", HOSTILE.replace('"', "'"))))
    hostile.machine["cpu"] = HOSTILE
    evaluation = msgspec.structs.replace(EVALUATION, word_error_rates={HOSTILE: 0.5})
    page = deck([hostile], evaluation)
    assert "<img" not in page
    assert page.count("&lt;img") > 3


def test_nothing_is_loaded(page):
    assert not re.search(
        r"\b(src|href|srcset|action)\s*=|url\(|@import|@font-face|fetch\(|http", page
    )


def test_paper_and_ink_are_the_pages():
    css = (ROOT / "tools/slides/deck.css").read_text()
    theme = (ROOT / "maxwhisper/palette.py").read_text()
    colours = set(re.findall(r"#[0-9a-f]{6}", css))
    assert len(colours) > 10
    assert {each for each in colours if each not in theme} == set()


def test_the_command_writes_the_deck(tmp_path, record, capsys):
    (tmp_path / "one.json").write_text(json.dumps(record.to_dict()))
    out = tmp_path / "docs" / "index.html"
    assert __main__.main([str(tmp_path / "*.json"), "--output", str(out)]) == 0
    assert "from 1 record(s)" in capsys.readouterr().out
    assert out.read_text().startswith("<!doctype html>")
    assert __main__.main([str(tmp_path / "none" / "*.json"), "--output", str(out)]) == 0
    assert "from 0 record(s)" in capsys.readouterr().out


def test_what_is_no_record_is_refused(tmp_path, capsys):
    (tmp_path / "bad.json").write_text("{}")
    for name in ("bad.json", "missing.json"):
        assert __main__.main([str(tmp_path / name), "--output", str(tmp_path / "x.html")]) == 1
        assert "is no benchmark record" in capsys.readouterr().err
    assert not (tmp_path / "x.html").exists()
