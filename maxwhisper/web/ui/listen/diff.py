"""Several transcripts of the same speech, aligned word by word.

Input: the names and words of each transcript. Output: columns, counts, and HTML that marks each
difference by position, name and underline, and in words for screen readers. Colour only adds to
these.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, zip_longest
from typing import Any

from maxwhisper.text.words import word_key
from maxwhisper.web.ui.templates import render

MISSING = "–"  # shown where a row has no word
_CHUNK = 3  # differing words side by side that fit on a phone
Words = tuple[str, ...]


@dataclass(frozen=True)
class Column:
    """One position in the speech: the word of each row there, or None."""

    words: tuple[str | None, ...]

    @property
    def agrees(self) -> bool:
        """True if all rows have the same word, apart from case and punctuation."""
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
    """Columns in the order of speech. Each row is aligned with the first so that the fewest words
    differ. Words that several rows insert at one place share columns, in order."""
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
    """The transcripts as one text. Words that all rows share are written once; where rows differ,
    the first row's words come first, and below them those of every row that deviates, with its
    name."""
    parts: list[dict[str, Any]] = []
    for agrees, group in groupby(columns, key=lambda column: column.agrees):
        stretch = list(group)
        if agrees:
            parts.append({"text": joiner.join(str(column.words[0]) for column in stretch)})
        else:
            chunks = [stretch[i : i + _CHUNK] for i in range(0, len(stretch), _CHUNK)]
            grids = [_grid(names, chunk) for chunk in chunks]
            parts.append({"spoken": _spoken(names, stretch, joiner), "grids": grids})
    return render("listen/diff.html", names=names, parts=parts)


def _match(first: Sequence[str], other: Sequence[str]) -> tuple[list[str | None], list[Words]]:
    """For each word of `first` the aligned word of `other` or None; and the words that `other`
    inserts before each of them and at the end."""
    opposite: list[str | None] = [None] * len(first)
    inserted: list[Words] = [()] * (len(first) + 1)
    if not first or not other:
        inserted[0] = tuple(other)
        return opposite, inserted
    import jiwer  # not above: opening the page must not load it

    reference, hypothesis = (" ".join(map(word_key, words)) for words in (first, other))
    for chunk in jiwer.process_words(reference, hypothesis).alignments[0]:
        at, end = chunk.ref_start_idx, chunk.ref_end_idx
        words = other[chunk.hyp_start_idx : chunk.hyp_end_idx]
        if chunk.type == "insert":
            inserted[at] = tuple(words)
        elif chunk.type != "delete":
            opposite[at:end] = words
    return opposite, inserted


def _spoken(names: Sequence[str], columns: Sequence[Column], joiner: str) -> str:
    """A difference in words, for screen readers."""
    spoken = []
    for row, name in enumerate(names):
        text = joiner.join(column.words[row] or "" for column in columns).strip()
        spoken.append(f"{name}: {text or 'nothing'}")
    return "; ".join(spoken)


def _grid(names: Sequence[str], columns: Sequence[Column]) -> dict[str, Any]:
    """A few columns: a line for the first row, and one for each text that deviates from it, with
    the names of all rows that have it. A cell is (word, CSS class)."""
    first = [(_shown(column.words[0]), "first") for column in columns]
    rows = [{"cells": first, "names": ""}]
    deviating: dict[tuple[str | None, ...], list[int]] = {}
    for row in range(1, len(names)):
        if any(column.differs_from_first(row) for column in columns):
            deviating.setdefault(tuple(column.words[row] for column in columns), []).append(row)
    for same_text in deviating.values():
        row = same_text[0]
        kinds = [f"odd row{row}" if c.differs_from_first(row) else "same" for c in columns]
        cells = [(_shown(c.words[row]), kind) for c, kind in zip(columns, kinds, strict=True)]
        rows.append({"cells": cells, "names": _short(names, same_text)})
    return {"n_columns": len(columns), "rows": rows}


def _short(names: Sequence[str], rows: Sequence[int]) -> str:
    """The names of some rows, shortened as far as they stay distinct."""
    if len(rows) == len(names) - 1 > 2:
        return f"all {len(rows)}"
    return ", ".join(names[row].removesuffix("-whisper") for row in rows)


def _shown(word: str | None) -> str:
    return MISSING if word is None else word
