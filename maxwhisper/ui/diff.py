"""Several texts of the same speech, word under word: where they agree, and where not.

In: names and words of each row. Out: columns, counts, and HTML in which a difference is told apart
by its place, its name, its underline, and in words for a screen reader; colour only adds to them.
"""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest

from maxwhisper.palette import colour
from maxwhisper.ui.words import word_key

MISSING = "–"  # stands where a row has no word
_CHUNK = 3  # differing words side by side that fit on a phone
Words = tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """One place of the speech: what each row has there, None for nothing."""

    words: tuple[str | None, ...]

    @property
    def agrees(self) -> bool:
        """True if all rows have the same word, whatever its case and punctuation."""
        return len({None if word is None else word_key(word) for word in self.words}) == 1

    def differs_from_first(self, row: int) -> bool:
        return not Column((self.words[0], self.words[row])).agrees


@dataclass(frozen=True)
class Counts:
    """How one row differs from the first."""

    replaced: int
    missing: int
    extra: int

    @property
    def total(self) -> int:
        return self.replaced + self.missing + self.extra


def align(rows: Sequence[Sequence[str]]) -> list[Column]:
    """Columns in the order of speech. Every row is aligned with the first, at the least number of
    differing words; words that several rows add at one place share a column as they come."""
    first, *others = rows
    matches = [_match(first, other) for other in others]
    columns = []
    for i in range(len(first) + 1):
        added = zip_longest(*(inserted[i] for _, inserted in matches))
        columns += [Column((None, *words)) for words in added]
        if i < len(first):
            columns.append(Column((first[i], *(opposite[i] for opposite, _ in matches))))
    return columns


def count(columns: Sequence[Column], row: int) -> Counts:
    """Differences of `row` from the first."""
    pairs = [(c.words[0], c.words[row]) for c in columns if c.differs_from_first(row)]
    missing = sum(word is None for _, word in pairs)
    extra = sum(first is None for first, _ in pairs)
    return Counts(len(pairs) - missing - extra, missing, extra)


def diff_html(names: Sequence[str], columns: Sequence[Column], joiner: str) -> str:
    """The texts as one: words all rows share run on; where they differ, the first row's stand on
    top, and under them, word under word, those of every row that deviates, with its name."""
    parts = []
    for agrees, group in groupby(columns, key=lambda column: column.agrees):
        stretch = list(group)
        if agrees:
            parts.append(html.escape(joiner.join(str(column.words[0]) for column in stretch)))
        else:
            parts.append(_difference(names, stretch, joiner))
    return f'<p class="diff">{" ".join(parts)}</p>'


def _match(first: Sequence[str], other: Sequence[str]) -> tuple[list[str | None], list[Words]]:
    """For each word of `first` its opposite in `other` or None; and what `other` adds before each
    of them and at the end."""
    opposite: list[str | None] = [None] * len(first)
    inserted: list[Words] = [()] * (len(first) + 1)
    if not first or not other:
        inserted[0] = tuple(other)
        return opposite, inserted
    import jiwer  # not above: what only opens the page need not load it

    reference, hypothesis = (" ".join(map(word_key, words)) for words in (first, other))
    for chunk in jiwer.process_words(reference, hypothesis).alignments[0]:
        at, end = chunk.ref_start_idx, chunk.ref_end_idx
        words = other[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "insert":
            inserted[at] = tuple(words)
        elif chunk.type != "delete":
            opposite[at:end] = words
    return opposite, inserted


def _difference(names: Sequence[str], columns: Sequence[Column], joiner: str) -> str:
    """A stretch of differing columns: in words for a screen reader, in grids for the eye."""
    said = []
    for row, name in enumerate(names):
        text = joiner.join(column.words[row] or "" for column in columns).strip()
        said.append(f"{name}: {text or 'nothing'}")
    chunks = [columns[i : i + _CHUNK] for i in range(0, len(columns), _CHUNK)]
    grids = " ".join(_grid(names, chunk) for chunk in chunks)
    return (
        f'<span class="differ"><span class="unseen">[{html.escape("; ".join(said))}]</span>'
        f'<span aria-hidden="true">{grids}</span></span>'
    )


def _grid(names: Sequence[str], columns: Sequence[Column]) -> str:
    """A few columns: a line for the first row, and one for each text that deviates from it, with
    the names of all rows that have it."""
    cells = "".join(_cell(column.words[0], "first") for column in columns) + "<b></b>"
    deviating: dict[tuple[str | None, ...], list[int]] = {}
    for row in range(1, len(names)):
        if any(column.differs_from_first(row) for column in columns):
            deviating.setdefault(tuple(column.words[row] for column in columns), []).append(row)
    for rows in deviating.values():
        for column in columns:
            kind = f"odd row{rows[0]}" if column.differs_from_first(rows[0]) else "same"
            cells += _cell(column.words[rows[0]], kind)
        cells += f"<b>{_short(names, rows)}</b>"
    lanes = "".join(f"--lane{row}: {colour(name)};" for row, name in enumerate(names))
    return f'<span class="grid" style="--columns: {len(columns)};{lanes}">{cells}</span>'


def _short(names: Sequence[str], rows: Sequence[int]) -> str:
    """The names of some rows, as short as they can be told apart."""
    if len(rows) == len(names) - 1 > 2:
        return f"all {len(rows)}"
    return html.escape(", ".join(names[row].removesuffix("-whisper") for row in rows))


def _cell(word: str | None, kind: str) -> str:
    return f'<span class="{kind}">{MISSING if word is None else html.escape(word)}</span>'
