"""docs/options.md says what every entry point answers, and nowhere is an option ignored."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from baselines.faster_options import BATCHED_UNREAD, batch_arguments
from maxwhisper.cli import build_parser
from maxwhisper.cli.flags import options_from
from maxwhisper.errors import OptionError
from maxwhisper.options import (
    FALLBACK,
    GREEDY,
    StreamOptions,
    TranscribeOptions,
    VadOptions,
    WindowOptions,
)
from maxwhisper.options.info import options_of
from maxwhisper.whisper import Whisper
from tools.options_table import rows, table

PAGE = (Path(__file__).parents[2] / "docs" / "options.md").read_text()
CELL = re.compile(r"yes|refused: [^|]+|n/a: [^|]+")


def cells():
    """(option, column, cell) of the committed page."""
    for line in PAGE.splitlines():
        if line.startswith("| `"):
            name, *found = [part.strip() for part in line.strip("|").split(" | ")]
            for column, cell in zip(table.COLUMNS, found, strict=True):
                yield name.strip(" `"), column, cell


def test_the_page_is_what_the_entry_points_answer():
    assert table.page() == PAGE, "python -m tools.options_table > docs/options.md"


def test_every_option_has_a_row_and_no_cell_is_ignored():
    wanted = {field.name for field in fields(TranscribeOptions)}
    for group, options in (("vad", VadOptions), ("stream", StreamOptions)):
        wanted |= {f"{group}.{field.name}" for field in fields(options)}
    wanted -= {"stream.vad"}  # in the row of `vad`
    named = {row.name for row in (*rows.OPTIONS, *rows.READING)}
    assert named == wanted | {"vad", "batch_size", "temperature_increment_on_fallback"}
    assert {name for name, _, _ in cells()} == named
    assert [cell for cell in cells() if not CELL.fullmatch(cell[2])] == []


def test_no_reason_is_left_over_and_none_is_long():
    """Each is the reason of a cell that says no."""
    noes = {(name, column): cell for name, column, cell in cells() if cell != table.YES}
    groups = (
        ("", TranscribeOptions),
        ("", WindowOptions),
        ("vad.", VadOptions),
        ("stream.", StreamOptions),
    )
    described = {
        (f"{group}{name}", column): option.info.unsupported[engine]
        for group, options in groups
        for name, option in options_of(options).items()
        for column, engine in rows.DESCRIBED.items()
        if engine in option.info.unsupported
    }
    assert len(described) > 15
    for reasons, used in (
        (rows.WHY, noes),
        (described, noes),
        (rows.WHY_ALL, {(n.partition(".")[0], column): c for (n, column), c in noes.items()}),
    ):
        for key, why in reasons.items():
            assert key in used, key
            assert len(why.split()) <= 5, why


@pytest.mark.parametrize("name", ["hotwords", "beam_size"])
def test_an_option_that_gets_lost_is_found(monkeypatch, name):
    """What the table would say of an entry point that forgot one."""
    row = next(row for row in rows.OPTIONS if row.name == name)
    transcribe = Whisper.transcribe

    def forgetful(self, audio, **settings):
        settings.pop(name, None)
        return transcribe(self, audio, **settings)

    assert table.cell(row, rows.SEQUENTIAL) == "yes"
    monkeypatch.setattr(Whisper, "transcribe", forgetful)
    assert table.cell(row, rows.SEQUENTIAL) == "ignored"


@pytest.mark.parametrize("name", BATCHED_UNREAD)
def test_what_faster_whisper_would_ignore_in_batches_is_refused(name):
    """Its pipeline takes these thresholds and reads none of them."""
    for value in (getattr(TranscribeOptions, name), None):
        batch_arguments(GREEDY.changed({name: value}), 8, None, 10.0)
    with pytest.raises(OptionError, match=f"leave {name} at its default"):
        batch_arguments(GREEDY.changed({name: 0.5}), 8, None, 10.0)


@pytest.mark.parametrize(
    ("flags", "temperature"),
    [
        ([], FALLBACK),
        (["0.5"], (0.0, 0.5, 1.0)),
        (["0.5", "--temperature=0.4"], (0.4, 0.9)),
        (["0.5", "--temperature=1.5"], (1.5,)),
        (["None"], (0.0,)),
        (["0"], (0.0,)),
    ],
)
def test_the_fallback_step_is_taken_from_where_the_temperature_begins(flags, temperature):
    """Without a temperature from 0, as openai-whisper's command line does."""
    said = [f"--temperature_increment_on_fallback={flags[0]}", *flags[1:]] if flags else []
    args = build_parser().parse_args(["transcribe", "a.wav", *said])
    assert options_from(args).temperature == temperature


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["nan"], "temperature_increment_on_fallback must be at least 0.01, or None, got nan"),
        (["1e-9"], "temperature_increment_on_fallback must be at least 0.01"),
        (["0.2", "--temperature=nan"], "temperature must be at least 0 and finite"),
        (["0.2", "--temperature=inf"], "temperature must be at least 0 and finite"),
        (["0.2", "--temperature=-inf"], "temperature must be at least 0 and finite"),
    ],
)
def test_a_fallback_that_leads_nowhere_is_refused(flags, complaint):
    args = build_parser().parse_args(
        ["transcribe", "a.wav", f"--temperature_increment_on_fallback={flags[0]}", *flags[1:]]
    )
    with pytest.raises(OptionError, match=complaint):
        options_from(args)


def test_a_fallback_step_beside_a_list_of_temperatures_is_refused():
    flags = ["--temperature=0,0.5", "--temperature_increment_on_fallback=0.1"]
    with pytest.raises(OptionError, match="needs one --temperature"):
        options_from(build_parser().parse_args(["transcribe", "a.wav", *flags]))
