"""The table itself: every cell is what an entry point answered.

`yes`: the option made a difference, to what the decoder is asked or to what an engine is given.
`refused`: it raised. `n/a`: there is no place for it. An option that is accepted and changes
nothing is `ignored`, unless what it asks for is always so: those are in `rows.ALWAYS_SO`.
"""

from collections.abc import Callable, Sequence

from maxwhisper.errors import OptionError
from tools.options_table.api import api
from tools.options_table.entries import (
    Absent,
    Settings,
    batched,
    command_line,
    sequential,
    stream,
)
from tools.options_table.peers import faster, openai
from tools.options_table.rows import (
    ALWAYS_SO,
    API,
    BATCHED,
    COMMAND_LINE,
    FASTER,
    OPENAI,
    OPTIONS,
    READING,
    SEQUENTIAL,
    STREAM,
    WHY,
    WHY_ALL,
    Row,
)

Ask = Callable[[Settings, int], object]
COLUMNS: dict[str, Ask] = {
    SEQUENTIAL: sequential,
    BATCHED: batched,
    STREAM: stream,
    COMMAND_LINE: command_line,
    API: api,
    OPENAI: openai,
    FASTER: faster,
}
N_SEEDS = 8  # of networks that babble: one of them at least must tell the difference
YES, REFUSED, ABSENT, IGNORED = "yes", "refused", "n/a", "ignored"
UNKNOWN = "no option called"  # how `TranscribeOptions.changed` answers a name it does not know

HEAD = """# Which option may be given where

Written by `python -m tools.options_table > docs/options.md`, which gives every option to every
entry point, beside what it needs, and looks at what becomes of it; `tests/test_options_table.py`
holds this page to it. Options are fields of `TranscribeOptions`; those of `VadOptions` and
`StreamOptions` have `vad.` and `stream.` before them.

* `yes`: it made a difference. In the first three columns to what the network is asked or what comes
  of it, on a network that needs no weights; in the others to what an engine is given.
* `refused`: an error says so.
* `n/a`: there is no place for it, or what it asks for is so in any case.

Columns: `transcribe(audio)`, `transcribe(audio, batch_size=…)`, `stream()`; the command
`transcribe`, and `live` for the options of live audio; the page's `compare`, which a program calls
over HTTP; and the two other engines, window after window, with our names for their options.
`compare` takes `language` as a parameter of its own and the others in its `options`, where it
refuses a name that it has no setting for.
"""

ON_VAD = """
## What `vad` reads

Window after window, every stretch of speech is a clip of its own: no window reaches over a silence
that was left out, so all times are the recording's. faster-whisper joins the stretches, reads on
over the joints, and maps the times back. Its windows are fuller. But Whisper's times err, and a
segment often ends with the start of the next: an end that is told later than the padding lasts
falls behind the joint, and is put after the silence, seconds or minutes late. So we do not join.
Where many stretches are short, `batch_size` reads those that lie within 30 s in one window, the
pauses between them included, and its times need no mapping either.
"""


def page() -> str:
    """The whole of docs/options.md."""
    tables = (("Options of a transcription", OPTIONS), ("How sound is read", READING))
    return HEAD + "".join(f"\n## {title}\n\n{_table(rows)}" for title, rows in tables) + ON_VAD


def _table(rows: Sequence[Row]) -> str:
    lines = [["option", *COLUMNS], ["---"] * (len(COLUMNS) + 1)]
    lines += [[f"`{row.name}`", *(cell(row, column) for column in COLUMNS)] for row in rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def cell(row: Row, column: str) -> str:
    """`yes`, or why not."""
    answer, reason = ask(row, COLUMNS[column])
    if answer == IGNORED and (row.name, column) in ALWAYS_SO:
        answer = ABSENT
    if answer in (YES, IGNORED):
        return answer
    why = reason or WHY.get((row.name, column)) or WHY_ALL.get((row.group, column))
    return f"{answer}: {why}" if why else answer


def ask(row: Row, entry: Ask) -> tuple[str, str]:
    """What becomes of an option at an entry point, and what that says by itself of a reason."""
    for seed in range(N_SEEDS):
        try:
            changed = entry(row.settings(changed=True), seed)
        except Absent as absent:
            return ABSENT, str(absent)
        except OptionError as error:
            return (ABSENT if str(error).startswith(UNKNOWN) else REFUSED), ""
        if changed != entry(row.settings(changed=False), seed):
            return YES, ""
    return IGNORED, ""
