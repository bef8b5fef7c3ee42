"""The stream of preference pairs that `sepo oracle`, `sepo score` and `sepo check` read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING

from sepo_data.checked import checked
from sepo_data.console.text import guesses, listed
from sepo_data.errors import SepoError
from sepo_data.preferences.duplicates import scan_pairs
from sepo_data.preferences.holdout import SPLIT
from sepo_data.preferences.mixture import SOURCE, Mixture, mixture
from sepo_data.preferences.order import Order, reading_order, runs
from sepo_data.preferences.reading import Reading, as_reading
from sepo_data.readers.source import Source, open_source
from sepo_data.shapes.context.doubts import PICTURE_MARK
from sepo_data.shapes.detect import detect_shape
from sepo_data.shapes.pairs import Pair, SkippedRow
from sepo_data.shapes.record import column_of
from sepo_data.shapes.skip_reasons import SkipRow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from sepo_data.preferences.duplicates import Duplicates
    from sepo_data.preferences.holdout import Holdout
    from sepo_data.readers.rows import Row
    from sepo_data.shapes.shape import Shape

SAMPLE_ROWS = 100  # usable rows that the shape is detected from
SEARCHED_ROWS = 1000  # rows among which the first usable ones are taken
BUFFER_ROWS = 10_000  # rows in memory while they are put in another order

Outcome = list[Pair] | SkippedRow
"""The result of a row: at least one pair, or the reason why there is none."""


@dataclass(frozen=True)
class Part:
    """A dataset whose rows are read: the only one, or one of a mixture."""

    source: Source
    shape: Shape
    keep: tuple[str, ...]  # columns carried along in Pair.extra
    mixed: bool  # one of a mixture, whose rows are counted there

    def read(self, rows: NDArray[np.int64]) -> Iterator[Row]:
        """The rows of these ascending numbers."""
        for run in runs(rows):
            wanted = set(run.tolist())
            yield from (row for row in self.source.slice(int(run[0]), int(run[-1]) + 1) if row.number in wanted)

    def outcome(self, row: Row, place: int) -> Outcome:
        """The result of `row`, which is read at this place."""
        number = place if self.mixed else row.number
        outcome = self._pairs(row, number)
        if not self.mixed:
            return outcome
        if isinstance(outcome, SkippedRow):
            return replace(outcome, detail=self.where(row) + outcome.detail)
        return [replace(pair, extra={**pair.extra, SOURCE: self.source.name}) for pair in outcome]

    def where(self, row: Row) -> str:
        """The beginning of a detail about a row of a mixture: its part and its row there."""
        return f"{self.source.name} row {row.number}: " if self.mixed else ""

    def _pairs(self, row: Row, number: int) -> Outcome:
        if row.value is None:
            return SkippedRow(number, row.problem, row.detail)
        try:
            return self.shape.to_pairs(number, row.value, self.keep)
        except SkipRow as bad:
            return SkippedRow(number, bad.reason, f"{row.detail}: {bad.detail}" if row.detail else bad.detail)


@dataclass(frozen=True)
class Preferences:
    """Pairs in the order of their rows: for every row, one or several pairs or a SkippedRow.

    The `source_row` of a pair is its row's number in the dataset, also where the rows are shuffled; in a mixture, its
    place there.
    """

    source: Source | Mixture
    shape: Shape
    parts: tuple[Part, ...]
    rows: int  # the number of rows that are read, skipped ones included
    order: Order | None = None  # None: that of the only part
    duplicates: Duplicates | None = None
    holdout: Holdout | None = None

    @property
    def description(self) -> str:
        """The meaning of the columns, and the numbers of duplicates and holdout pairs."""
        found = [self.shape.description]
        if self.duplicates:
            found.append(f"{self.duplicates.count:,} pairs repeat an earlier one.")
        if self.holdout:
            found.append(f"{self.holdout.count:,} pairs are held out.")
        return " ".join(found)

    @property
    def unread(self) -> list[str]:
        """The columns that are neither read nor kept; those of a mixture with the name of their part before them."""
        return [
            f"{part.source.name}: {column}" if part.mixed else column
            for part in self.parts
            for column in part.shape.unread
            if column not in part.keep
        ]

    @property
    def added(self) -> dict[str, str]:
        """The columns that reading adds to `Pair.extra`, each with its meaning."""
        columns = {SOURCE: "the part of the mixture"} if isinstance(self.source, Mixture) else {}
        return columns | ({SPLIT: "train, or holdout for pairs that no training sees"} if self.holdout else {})

    def __iter__(self) -> Iterator[Pair | SkippedRow]:
        return self.slice(0, self.rows)

    def slice(self, start: int, stop: int) -> Iterator[Pair | SkippedRow]:
        """The results of the rows from `start` to `stop`, or to the last row.

        In another order than that of the dataset, the rows are read in ascending runs and then put in order: a run of
        rows costs little more than one row, but a slice of a shuffled dataset may read through all of it.
        """
        stop = min(stop, self.rows)
        if self.order is None:
            [part] = self.parts
            for row in part.source.slice(start, stop):
                yield from self._marked(part, row, row.number)
            return
        for first in range(start, stop, BUFFER_ROWS):
            last = min(first + BUFFER_ROWS, stop)
            outcomes = dict(self._ascending(self.order, first, last))
            for place in range(first, last):
                yield from outcomes.pop(place)

    def in_any_order(self) -> Iterator[Pair | SkippedRow]:
        """The results of all rows, in the order that is read most quickly."""
        if self.order is None:
            yield from self
        else:
            for _, items in self._ascending(self.order, 0, self.rows):
                yield from items

    def row_numbers(self, places: NDArray[np.int64]) -> frozenset[int]:
        """The `source_row` of the rows at these places of the order."""
        if self.order is None or isinstance(self.source, Mixture):
            return frozenset(places.tolist())
        return frozenset(self.order.rows[places].tolist())

    def _ascending(self, order: Order, start: int, stop: int) -> Iterator[tuple[int, Sequence[Pair | SkippedRow]]]:
        """The rows between two places, part by part in ascending order: the place and the results of each."""
        for index, part in enumerate(self.parts):
            rows, places = order.of_part(index, start, stop)
            for row, place in zip(part.read(rows), places.tolist(), strict=True):
                yield place, self._marked(part, row, place)

    def _marked(self, part: Part, row: Row, place: int) -> Sequence[Pair | SkippedRow]:
        """The results of a row: its new pairs, each with its side, and a SkippedRow for each duplicate."""
        outcome = part.outcome(row, place)
        if isinstance(outcome, SkippedRow):
            return [outcome]
        pairs, repeated = self._without_repeated(outcome, part.where(row))
        if holdout := self.holdout:
            pairs = [replace(pair, extra={**pair.extra, SPLIT: holdout.side(pair)}) for pair in pairs]
        return [*pairs, *repeated]

    def _without_repeated(self, pairs: list[Pair], where: str) -> tuple[list[Pair], list[SkippedRow]]:
        """The pairs of a row that come here first, and the duplicates."""
        if self.duplicates is None:
            return pairs, []
        new: dict[str, Pair] = {}
        repeated = []
        for pair in pairs:
            first = self.duplicates.first_row(pair)
            if first == pair.source_row and pair.pair_id not in new:
                new[pair.pair_id] = pair
            else:
                repeated.append(SkippedRow(pair.source_row, "duplicate", f"{where}equals row {first}"))
        return list(new.values()), repeated


@checked()
def read_preferences(reading: Reading | str | Path) -> Preferences:
    """Open a dataset of preference pairs, or a mixture of several, and detect the shape of each.

    `dedupe` and `holdout` read all rows once, here.
    """
    reading = as_reading(reading)
    sources = [
        open_source(
            name,
            split=reading.split,
            config=reading.subset,
            revision=reading.revision,
            query=reading.query,
            delimiter=reading.delimiter,
            streaming=reading.streaming,
            limit=None if reading.shuffle else reading.limit,
        )
        for name in reading.parts
    ]
    keep = tuple(dict.fromkeys(reading.keep_columns))
    _refuse_unknown(keep, sources, reading)
    _refuse_ignored(sources, reading)
    parts = tuple(Part(source, _shape(source, sources, reading), keep, bool(reading.mix)) for source in sources)
    order = reading_order([source.rows for source in sources], reading)
    rows = min(sources[0].rows, reading.limit or sources[0].rows) if order is None else len(order)
    if reading.mix:
        mixed = mixture(sources, [weight for _, weight in reading.mix], rows)
        preferences = Preferences(mixed, _mixed_shape(parts), parts, rows, order)
    else:
        preferences = Preferences(sources[0], parts[0].shape, parts, rows, order)
    if not reading.dedupe and not reading.holdout_size:
        return preferences
    duplicates, holdout = scan_pairs(preferences.in_any_order(), dedupe=reading.dedupe, holdout=reading.holdout_size)
    return replace(preferences, duplicates=duplicates, holdout=holdout)


def _shape(source: Source, sources: Sequence[Source], reading: Reading) -> Shape:
    """The shape of one part; `--columns` of columns that only other parts have do not apply to it."""
    columns = {
        role: column
        for role, column in reading.columns.items()
        if column_of(column, source.columns) or not any(column_of(column, other.columns) for other in sources)
    }
    searched = min(SEARCHED_ROWS, source.rows)
    good = (row.value for row in source.slice(0, searched) if row.value is not None)
    sample = list(islice(good, SAMPLE_ROWS))  # an error of reading names the file itself
    if searched and not sample:
        raise _unusable(source, next(iter(source.slice(0, 1))))
    try:
        return detect_shape(
            source.columns, sample, roles=columns, pairs=reading.pairs_from_ranking, ignore=reading.ignore
        )
    except SepoError as error:
        raise SepoError(f"{source.name}: {error}", error.hint) from None


def _unusable(source: Source, first: Row) -> SepoError:
    reason = f"{first.problem} in {first.detail}" if first.detail else first.problem
    hint = "convert it: iconv -f WINDOWS-1252 -t UTF-8 IN > OUT, or whichever encoding it has"
    return SepoError(
        f"{source.name}: none of the first rows can be used: {reason}", hint if first.problem == "invalid_utf8" else ""
    )


def _mixed_shape(parts: Sequence[Part]) -> Shape:
    """One shape for all parts: strings or messages, with the side columns of any of them."""
    kinds = {part.shape.conversational: part.source.name for part in parts}
    if len(kinds) > 1:
        raise SepoError(
            f"a mixture is of strings or of messages, but {kinds[False]} holds strings and {kinds[True]} messages",
            "mix datasets of one kind; the chat template makes strings of messages, nothing makes messages of strings",
        )
    return replace(
        parts[0].shape,
        name="mixture",
        description=" ".join(f"{part.source.name}: {part.shape.description}" for part in parts),
        tool_turns=any(part.shape.tool_turns for part in parts),
        side=tuple(dict.fromkeys(column for part in parts for column in part.shape.side)),
    )


def _refuse_unknown(keep: Sequence[str], sources: Sequence[Source], reading: Reading) -> None:
    """Raise for a column to keep that no part has, or that has the name of a column that reading adds."""
    made = {SOURCE: "--mix", SPLIT: "--holdout"}
    for column, asked in ((SOURCE, reading.mix), (SPLIT, reading.holdout_size)):
        if asked and column in keep:
            raise SepoError(
                f"--keep-columns {column}: {made[column]} makes a column of this name", "leave it out, or rename it"
            )
    columns = dict.fromkeys(column for source in sources for column in source.columns)
    unknown = [column for column in keep if column not in columns]
    if unknown:
        names = listed(source.name for source in sources)
        present = f"{names} has no column {listed(unknown)}; it has {listed(columns)}"
        raise SepoError(present, guesses(unknown, columns))


def _refuse_ignored(sources: Sequence[Source], reading: Reading) -> None:
    """Raise for a column to ignore that no part has, or that `columns` gives a role to."""
    columns = dict.fromkeys(column for source in sources for column in source.columns)
    ignored = [column for column in reading.ignore if column != PICTURE_MARK]
    if unknown := [column for column in ignored if column_of(column, columns) is None]:
        raise SepoError(f"--ignore: there is no column {listed(unknown)}", guesses(unknown, columns))
    if both := [column for column in ignored if column in reading.columns.values()]:
        raise SepoError(f"--columns reads {listed(both)}, which --ignore leaves out", "name it in one of them")
