"""Types of the values of a column: text, turns, lists of answers, token ids, or JSON text of one of these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from sepo_data.shapes.messages import is_turn, speaker
from sepo_data.shapes.record import Record, Row, are_turns_by_key, objects_of
from sepo_data.shapes.skip_reasons import SkipRow
from sepo_data.shapes.written import is_cut_turns, may_be_written, parse_written

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

WRITTEN = "JSON text of "
"""Databases and CSV files have no lists; the type of their columns is this prefix and the type inside the text, which
may also be Python's repr."""

TYPES = ("string", "number", "record", "turn", "strings", "numbers", "ids", "records", "turns", "lists")
"""Types of values that a role can take."""

RECORD_OF_LISTS = "record of lists"
"""An object of equally long lists, as `Sequence({...})` of datasets stores a list of objects: records for a role that
takes records, else a record."""

RECORD_OF_TURNS = "record of turns"
"""An object with a list of turns under one of the keys of DIALOGUE_KEYS, as `{"messages": [...]}`; no role takes it."""

DIALOGUE_KEYS = ("messages", "conversations", "conversation")

NEARLY_ALL = 0.9
"""Share of the first rows that have to agree where a single exception is no reason for doubt."""


def mostly(answers: Iterable[bool]) -> bool:
    """True if more than half are true."""
    found = list(answers)
    return sum(found) > len(found) / 2


def both_begin_with(rows: Iterable[tuple[object, ...]]) -> bool:
    """True if in most rows the second and the third value begin with the first: lists or strings.

    Rows with an empty first value, or with values of different types, do not count. This is decided for a dataset and
    not row by row: a response may well begin with the words of a short prompt.
    """
    return mostly(
        a[: len(start)] == start and b[: len(start)] == start
        for start, a, b in rows
        if isinstance(start, str | list) and isinstance(a, type(start)) and isinstance(b, type(start))
        if (start.strip() if isinstance(start, str) else start)
    )


def type_of(values: Sequence[object]) -> str:
    """The type of most values that are present, or `unknown` if none is."""
    present = [value for value in values if value is not None and value != []]
    kinds = Counter(_kind(value) for value in present).most_common(1)
    if not kinds or kinds[0][0] != "string":
        return kinds[0][0] if kinds else "unknown"
    texts = [value for value in present if isinstance(value, str) and value.strip()]
    # An empty list has no kind, and turns that are cut are no prose: their rows are skipped.
    telling = [text for text in texts if text.strip() != "[]" and not is_cut_turns(text)] or texts
    inside, count = Counter(map(_written_kind, telling)).most_common(1)[0] if telling else ("string", 0)
    return WRITTEN + inside if inside != "string" and count >= NEARLY_ALL * len(telling) else "string"


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "string"
    if isinstance(value, Mapping):
        return "turn" if is_turn(value) else _kind_of_record(value)
    if isinstance(value, list):
        return _kind_of_list(value)
    return "number" if isinstance(value, int | float) else "other"


def _kind_of_record(value: Mapping[str, object]) -> str:
    if are_turns_by_key(value):
        return "turns"
    if any(isinstance(inside := value.get(key), list) and _known(inside) for key in DIALOGUE_KEYS):
        return RECORD_OF_TURNS
    lengths = {len(inside) if isinstance(inside, list) else -1 for inside in value.values() if inside is not None}
    return RECORD_OF_LISTS if len(lengths) == 1 and max(lengths) > 0 else "record"


def _kind_of_list(value: list[object]) -> str:
    first = value[0] if value else None
    if isinstance(first, Mapping):
        return "turns" if is_turn(first) else "records"
    if isinstance(first, str | list):
        return "strings" if isinstance(first, str) else "lists"
    if all(isinstance(item, int) and not isinstance(item, bool) for item in value):
        return "ids"
    return "numbers" if all(isinstance(item, int | float) for item in value) else "other"


def _written_kind(text: str) -> str:
    if text.lstrip()[0] not in "-0123456789" and not may_be_written(text):
        return "string"
    try:
        value = parse_written(text)
    except ValueError:
        return "string"
    kind = _kind(value)
    # Extracted data may well have a role or a sender; a conversation has known speakers.
    if kind == "other" or (kind in {"turn", "turns"} and not _known(value)):
        return "string"
    return kind


def inner_key(kinds: Mapping[str, str], sample: Sequence[Row]) -> str | None:
    """The dotted name of a key in a column of objects, that of a list of turns if there is one; None without any."""
    objects = [column for column, kind in kinds.items() if kind.removeprefix(WRITTEN) in {"record", RECORD_OF_TURNS}]
    names = list(inner_names(objects, sample))
    return next((name for name in names if name.rpartition(".")[2] in DIALOGUE_KEYS), next(iter(names), None))


def inner_names(columns: Iterable[str], sample: Sequence[Row]) -> Iterator[str]:
    """The dotted names of the keys of objects, which may be written as text."""
    for column in columns:
        records = [Record(row, {"": column}, frozenset({""})) for row in sample]
        for record in records:
            with suppress(SkipRow):
                if isinstance(value := record.get(""), Mapping):
                    yield from (f"{column}.{key}" for key in value)


def are_known_turns(turns: Sequence[object]) -> bool:
    """True if there is a turn by a known speaker, and any other is complete, as extracted data with a role are not."""
    return any(map(speaker, turns)) and all(speaker(turn) or _is_complete(turn) for turn in turns)


def _is_complete(turn: object) -> bool:
    return isinstance(turn, Mapping) and ({"role", "content"} <= turn.keys() or {"from", "value"} <= turn.keys())


def _known(value: object) -> bool:
    if are_turns_by_key(value):
        try:
            value = objects_of(value, "")
        except SkipRow:
            return False
    return are_known_turns(value if isinstance(value, list) else [value])
