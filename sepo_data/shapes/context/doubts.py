"""Columns that a shape leaves over: context among them is found by its name and by the text that it holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sepo_data.console.text import shortened
from sepo_data.shapes.columns import PROMPT_ROLES
from sepo_data.shapes.context.names import (
    LIKELY_INSIDE,
    OF_TOOLS,
    OPENING,
    PLAIN,
    ROLE_OF_NAME,
    TELLING,
    TELLING_BESIDE_A_GUESS,
    TEXT_PROMPTS,
    names_media,
    role_told,
    telling_among,
    tells,
    tells_inside,
    tells_of_responses,
)
from sepo_data.shapes.context.texts import describes_tools
from sepo_data.shapes.prompts import whole_dialogues
from sepo_data.shapes.record import column_of, value_at, without_value
from sepo_data.shapes.value_types import (
    DIALOGUE_KEYS,
    NEARLY_ALL,
    RECORD_OF_TURNS,
    WRITTEN,
    inner_names,
    type_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sepo_data.shapes.columns import Columns
    from sepo_data.shapes.context.texts import PairTexts
    from sepo_data.shapes.record import Row
    from sepo_data.shapes.shape import Shape

MEDIUM = "medium"
"""The kind of a column with pictures, sound or video."""

TOOLS = "tools"
"""The kind of a column with descriptions of tools."""

PICTURE_MARK = "<image>"
"""The name by which marks of pictures in a text are ignored."""

MOST_COMPARED = 1000
"""Columns without a telling name whose values are looked into: a table may have a million columns."""

FEWEST_USES = 5
"""Rows, on average, that have to share a template, so that it is one."""

LONGEST_QUOTE = 60
"""Characters of a text in a message."""

WRITTEN_NOTHING = ("[]", "{}", "null", "None", "nan")
"""Values of CSV files that are empty."""

DIALOGUES = ("turn", "turns", RECORD_OF_TURNS)
"""Types of the values of a dialogue."""

MARK = re.compile(r"<(?:image|img|video|audio)(?:_\d+)?>|<\|(?:image|video|audio)(?:_\d+|_pad)?\|>|<\|vision_start\|>")
"""A mark in a text where a picture, sound or video belongs."""


@dataclass(frozen=True)
class Doubt:
    """A left-over column that may be context, or PICTURE_MARK.

    Attributes:
        column: its name.
        kind: the type of its values, or MEDIUM, or TOOLS.
        reason: a clause about what it holds.
    """

    column: str
    kind: str
    reason: str


def unread(shape: Shape, columns: Sequence[str], sample: Sequence[Row]) -> tuple[str, ...]:
    """The columns that the shape does not read, and below those of which it reads a key, the other keys."""
    names = set(shape.columns.values())
    read = {column_of(name, columns) for name in names}
    opened = read - names
    keys = inner_names([column for column in columns if column in opened], sample)
    others = [key for key in dict.fromkeys(keys) if not any(f"{name}.".startswith(f"{key}.") for name in names)]
    return (*(column for column in columns if column not in read), *others)


def looked_into(columns: Sequence[str]) -> list[str]:
    """The first columns, and all with a telling name."""
    return [*columns[:MOST_COMPARED], *telling_among(columns[MOST_COMPARED:])]


def telling_keys(columns: Sequence[str], sample: Sequence[Row]) -> list[str]:
    """The dotted names of keys that tell of context, of objects in left-over columns such as `metadata`.

    Those that are likely are among them even if no object of the first rows has them.
    """
    others = (column for column in columns[:MOST_COMPARED] if column not in ROLE_OF_NAME and not tells(column))
    objects = [column for column in others if any(_may_be_object(value_at(row, column)) for row in sample)]
    likely = (f"{column}.{key}" for column in objects for key in LIKELY_INSIDE)
    return [name for name in dict.fromkeys((*inner_names(objects, sample), *likely)) if tells_inside(name)]


def _may_be_object(value: object) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, str) and value.lstrip()[:1] == "{")


def doubts(
    shape: Shape, found: Columns, known: Sequence[PairTexts], columns: Sequence[str], *, marks: bool
) -> list[Doubt]:
    """Those of the left-over `columns` that hold pictures, or text that may be context and is in no pair.

    Args:
        shape: of the dataset.
        found: its columns by role, and its first rows.
        known: the texts of their pairs.
        columns: the left-over ones, without those that the user ignores.
        marks: marks of pictures in the texts count, too.
    """
    pictures = list(_pictures(found, columns))
    if shape.tokenized:
        return pictures
    if marks and not pictures and (mark := _marks(known)) is not None:
        pictures.append(mark)
    seen = {doubt.column for doubt in pictures}
    others = [column for column in _compared(shape, found, columns) if column not in seen]
    return pictures + [doubt for column in others if (doubt := _context(shape, found, known, column)) is not None]


def ways_to_read(doubt: Doubt, shape: Shape) -> Iterator[dict[str, str]]:
    """Roles, each way with its columns, in which the column could be read; not all of them need to fit."""
    column, kind = doubt.column, doubt.kind.removeprefix(WRITTEN)
    if kind == "turns":
        yield {"conversations": column}
    if kind in {"lists", "turns", "records", "strings"} and ROLE_OF_NAME.get(column) not in {"system", "tools"}:
        yield {"history": column}
    if kind == TOOLS:
        yield {"tools": column}
    asked = next((shape.columns[role] for role in ("prompt", "question") if role in shape.columns), None)
    if kind == "string" and (shape.name == "implicit strings" or ROLE_OF_NAME.get(column) in TEXT_PROMPTS):
        yield {"question": column}
    if kind == "string" and tells(column, OPENING):
        yield {"prefill": column}
    elif kind in {"string", "turn"}:
        yield {"system": column}
    if kind == "string" and asked is not None:
        yield {"instruction": asked, "input": column}
    elif kind == "string" and "instruction" in shape.columns:
        yield {"input": column}


def late_names(shape: Shape, found: Columns, columns: Sequence[str]) -> tuple[str, ...]:
    """The left-over columns whose names tell that they would be in doubt if the first rows had a value in them."""
    if shape.tokenized:
        return ()
    dialogues = holds_dialogues(shape, found)
    named = (
        name
        for name in columns
        if names_media(name) or (tells(name, PLAIN) and not dialogues) or ("." in name and tells_inside(name))
    )
    return without_value(named, found.sample)


def holds_dialogues(shape: Shape, found: Columns) -> bool:
    """True if both responses are whole dialogues, so that the prompt is in them."""
    sides = (("chosen", "rejected"), ("response_a", "response_b"), ("messages", "rejected_messages"))
    return any(shape.columns.keys() >= set(two) and whole_dialogues(found, *two) for two in sides)


def _is_guess(shape: Shape, found: Columns) -> bool:
    """True if the prompt is a column that is not called so, or the beginning of strings, and nobody has named it."""
    asked = shape.columns.keys() & {*PROMPT_ROLES, "messages", "history"}
    if not asked:
        return shape.name == "implicit strings"
    return (
        asked <= {"question", "instruction", "history"} and not asked & found.said and not holds_dialogues(shape, found)
    )


def _values(found: Columns, column: str) -> Iterator[object]:
    return (value for record in found.sample if _is_present(value := value_at(record.row, column)))


def _is_present(value: object) -> bool:
    """True if the value may hold text or pictures."""
    if isinstance(value, Mapping):
        value = list(value.values())  # Arrow may fill up a missing object with nulls
    if isinstance(value, list):
        return any(each is not None for each in value)
    return bool(value) and not isinstance(value, int | float) and value not in WRITTEN_NOTHING


def _pictures(found: Columns, columns: Sequence[str]) -> Iterator[Doubt]:
    """Pictures by the name of their column; a struct of bytes and path is one under any name."""
    for place, column in enumerate(columns):
        named = names_media(column)
        value = next(_values(found, column), None) if named or place < MOST_COMPARED else None
        if value is not None and (named or _is_picture(value)):
            yield Doubt(column, MEDIUM, f"{shortened(column)} holds pictures, sound or video")


def _is_picture(value: object) -> bool:
    value = value[0] if isinstance(value, list) else value
    if isinstance(value, str):
        return value.startswith(("data:image/", "data:video/", "data:audio/"))
    return isinstance(value, Mapping) and value.keys() == {"bytes", "path"}


def _marks(known: Sequence[PairTexts]) -> Doubt | None:
    """Marks at the beginning or the end of a turn, where they belong; one inside it may be a word of markup."""
    marks = [next(filter(None, map(MARK.search, row.prompt)), None) for row in known]
    found = [mark for mark in marks if mark is not None]
    edges = sum(mark.start() == 0 or mark.end() == len(mark.string) for mark in found)
    if edges > (1 - NEARLY_ALL) * len(known) or len(found) > len(known) / 2:
        return Doubt(PICTURE_MARK, MEDIUM, f"prompts have the mark {found[0].group()} where a picture belongs")
    return None


def _compared(shape: Shape, found: Columns, columns: Sequence[str]) -> Iterator[str]:
    """The columns whose name tells something, and of the first ones those whose values may."""
    words = TELLING | TELLING_BESIDE_A_GUESS if _is_guess(shape, found) else TELLING
    for place, column in enumerate(columns):
        told = column in ROLE_OF_NAME or tells(column, words)
        if told or (place < MOST_COMPARED and not tells_of_responses(column) and _may_be_said(shape, found, column)):
            yield column


def _may_be_said(shape: Shape, found: Columns, column: str) -> bool:
    """True if the values are turns or tools, or varied texts where the prompt is no more than how two strings begin."""
    values = [*_values(found, column)]
    kind = type_of(values).removeprefix(WRITTEN)
    if shape.name == "implicit strings" and kind in {"string", "strings", "lists", "records"}:
        return len(values) == 1 or any(value != values[0] for value in values)
    return kind in DIALOGUES or (bool(values) and describes_tools(values[0], named=tells(column, OF_TOOLS)))


def _context(shape: Shape, found: Columns, known: Sequence[PairTexts], column: str) -> Doubt | None:
    """A doubt about a column with text that is in no pair of its row, in more rows than a few."""
    role, values = role_told(column), [*_values(found, column)]
    kind = type_of(values)
    if not values or (kind == "string" and role in TEXT_PROMPTS and _is_settled(shape, found)):
        return None
    if describes_tools(values[0], named=role == "tools" or tells(column, OF_TOOLS)):
        return Doubt(column, TOOLS, f"{shortened(column)} ({kind}) describes tools")
    if role in {"tools", "chat_template_kwargs"} and kind != "string":
        return Doubt(column, kind, f"{column} ({kind}) cannot be read as {role}")
    structured = kind.removeprefix(WRITTEN) in {*DIALOGUES, "lists"} or (role is not None and kind != "string")
    short = structured or role == "system"
    rows = [row for row in known if _is_present(value_at(row.row, column))]
    names = [column]
    if kind.removeprefix(WRITTEN) == RECORD_OF_TURNS:  # its other keys are looked into by their names
        names = [f"{column}.{key}" for key in DIALOGUE_KEYS]
    missing = [(row, text) for row in rows for name in names for text in row.missing(name, short=short)[:1]]
    if len(missing) <= (1 - NEARLY_ALL) * len(rows) or _are_templated(missing):
        return None
    text = shortened(missing[0][1], LONGEST_QUOTE)
    return Doubt(column, kind, f"{shortened(column)} ({kind}) has text that is in no pair: {text!r}")


def _are_templated(missing: Sequence[tuple[PairTexts, str]]) -> bool:
    """True if few templates, filled in with texts of the pairs, give all these texts."""
    frames = {row.frame(text) for row, text in missing}
    return all("\0" in frame for frame in frames) and len(frames) * FEWEST_USES <= len(missing)


def _is_settled(shape: Shape, found: Columns) -> bool:
    """True if no other column of text can be the prompt: the responses hold it, or the user has named it."""
    return holds_dialogues(shape, found) or bool(found.said & {*PROMPT_ROLES, "input"})
