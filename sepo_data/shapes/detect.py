"""Detect the preference shape of a dataset from the names and the first values of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from shlex import quote
from typing import TYPE_CHECKING

from sepo_data.console.text import listed
from sepo_data.errors import SepoError
from sepo_data.schemas.stages import TURN_KEYS
from sepo_data.shapes.columns import Columns, find_columns, names_beside, spellings
from sepo_data.shapes.context.doubts import (
    MEDIUM,
    PICTURE_MARK,
    Doubt,
    doubts,
    late_names,
    looked_into,
    telling_keys,
    unread,
    ways_to_read,
)
from sepo_data.shapes.context.texts import gives_pairs, pair_texts
from sepo_data.shapes.messages import CALLS, is_turn, with_system
from sepo_data.shapes.prompts import rival_prompts
from sepo_data.shapes.record import reads, value_at, without_value
from sepo_data.shapes.refused.no_shape import columns_option, no_shape
from sepo_data.shapes.refused.references import refuse_references
from sepo_data.shapes.registry import registered_shapes
from sepo_data.shapes.shape import ASKED, BESIDE, RESPONSES, SIDE, Shape
from sepo_data.shapes.tool_calls import template_kwargs, tools
from sepo_data.shapes.transcripts import refuse_cut
from sepo_data.shapes.value_types import mostly

if TYPE_CHECKING:
    from collections.abc import Callable

    from sepo_data.shapes.pairs import PairChoice
    from sepo_data.shapes.record import Record, Row
    from sepo_data.shapes.registry import ShapeEntry

PROMPT_ADDITIONS = (
    ("prompt", "history"),
    ("question", "history"),
    ("instruction", "history"),
    ("instruction", "input"),
)
"""Roles of a prompt, each with a role that adds to it."""

MAX_TURN_DEPTH = 3
"""Levels above the turns of a ranked answer: in a list, in an object, in a list."""


def detect_shape(
    columns: Sequence[str],
    sample: Sequence[Row],
    *,
    roles: Mapping[str, str] | None = None,
    pairs: PairChoice = "best-worst",
    ignore: Sequence[str] = (),
) -> Shape:
    """The shape that fits column names and first rows. A tier is tried only if no shape of an earlier one fits.

    Args:
        columns: of the dataset.
        sample: its first rows.
        roles: role to column: the column is read as if it were called like the role.
        pairs: the pairs that a row of ranked responses gives.
        ignore: columns that are no context, and are not read; PICTURE_MARK for marks of pictures.

    Raises:
        SepoError: no shape fits, more than one does, or a column that is not read may be context.
    """
    ignored = frozenset(ignore)
    shape, doubtful = _detect(columns, sample, roles or {}, pairs, ignored)
    if not doubtful:
        return shape

    def settles(doubt: Doubt, way: Mapping[str, str]) -> bool:
        others = {other.column for other in doubtful if other is not doubt}
        try:
            settled, left = _detect(columns, sample, {**(roles or {}), **way}, pairs, ignored | others)
        except SepoError:
            return False
        read = set(way.values()) <= set(settled.columns.values())
        return read and not left and any(gives_pairs(settled, row) for row in sample)

    ways = [way for doubt in doubtful for way in ways_to_read(doubt, shape) if settles(doubt, way)]
    raise _may_be_context(shape, doubtful, ways)


def _detect(
    columns: Sequence[str], sample: Sequence[Row], roles: Mapping[str, str], pairs: PairChoice, ignore: frozenset[str]
) -> tuple[Shape, list[Doubt]]:
    """The shape that fits, and the columns that it leaves over though they may be context."""
    if ignore:
        sample = [{column: value for column, value in row.items() if column not in ignore} for row in sample]
    regarded = [column for column in columns if column not in ignore]
    entries = registered_shapes()  # before the columns are looked at: shapes register roles
    found = replace(find_columns(regarded, sample, roles), pair_choice=pairs)
    shape = _fitting(entries, regarded, sample, found)
    others = unread(shape, columns, sample)
    left = looked_into([column for column in others if column not in ignore])
    keys = [key for key in telling_keys(left, sample) if key not in (*left, *ignore)]
    named = dict.fromkeys((*shape.unseen, *late_names(shape, found, [*left, *keys])))
    late = tuple(column for column in named if column not in ignore)
    left += [key for key in keys if key not in named]
    known = pair_texts(shape, found.sample)
    refuse_references(shape, found, known, left)
    doubtful = doubts(shape, found, known, left, marks=PICTURE_MARK not in ignore)
    return replace(shape, unseen=late, unread=others), doubtful


def _fitting(entries: Sequence[ShapeEntry], columns: Sequence[str], sample: Sequence[Row], found: Columns) -> Shape:
    for _, tier in groupby(entries, key=lambda entry: entry.tier):
        finders = dict.fromkeys(entry.find for entry in tier if found.play(entry.roles))  # one may find several shapes
        fitting = [_with_side_roles(shape, found) for find in finders for shape in find(found)]
        fitting = [shape for shape in fitting if found.said <= shape.columns.keys()]
        if len(fitting) == 1:
            refuse_cut(fitting[0].columns.values(), sorted(names_beside() & set(columns)), sample)
            if others := rival_prompts(fitting[0].columns, found):
                raise _several_prompts(fitting[0].columns, others)
            return fitting[0]
        if fitting:
            raise _several_shapes(fitting)
    raise no_shape(columns, sample, found)


def _with_side_roles(shape: Shape, found: Columns) -> Shape:
    """The shape with the columns beside the text of every conversation: system, tools, template arguments."""
    beside = found.only(filter(partial(_can_be_read, found), BESIDE)) if shape.conversational else {}
    columns = {**shape.columns, **beside}
    written = found.written & columns.keys()
    prose = tuple(role for role in columns if role in (*ASKED, "system", *RESPONSES) and found.are("string", role))
    side = tuple(role for role in SIDE if role in beside)
    adds = (*BESIDE, *(more for role, more in PROMPT_ADDITIONS if role in shape.columns))
    opened = {"", *(name.rpartition(".")[0] for name in columns.values())}
    named = [column for role in adds if role not in columns for column in spellings(role)]
    named = [column for column in named if column.rpartition(".")[0] in opened]
    unseen = without_value(named, found.sample)
    if not shape.conversational:
        return replace(shape, written=written, prose=prose, unseen=() if shape.tokenized else unseen)
    values = [value for role in shape.columns if role in found.names for (value,) in found.values(role)]
    more = f", after {beside['prefill']}" if "prefill" in beside else ""
    if besides := [column for role, column in beside.items() if role != "prefill"]:
        more += f", with {listed(besides, ' and ')} beside them"
    return replace(
        shape,
        description=f"{shape.description.removesuffix('.')}{more}.",
        columns=columns,
        written=written,
        prose=prose,
        tool_turns="tools" in side or any(_has_further_keys(value) for value in values),
        side=side,
        unseen=unseen,
    )


def _can_be_read(found: Columns, role: str) -> bool:
    """True if most values of a role beside the text are as chat templates take them, or the user has named it."""
    readers: dict[str, Callable[[Record], object]] = {
        "system": lambda record: with_system(record, []),
        "prefill": lambda record: record.text("prefill"),
        "tools": tools,
        "chat_template_kwargs": template_kwargs,
    }
    present = [record for record in found.sample if role in found.names and value_at(record.row, found.names[role])]
    return role in found.said or not present or mostly(reads(readers[role], record) for record in present)


def _has_further_keys(value: object, depth: int = 0) -> bool:
    """True if a turn in `value` calls a tool, could do so, or has another key that chat templates read."""
    if is_turn(value):
        has_keys = "tool_calls" in value or any(value.get(key) is not None for key in (*TURN_KEYS, "reasoning"))
        return has_keys or value.get("role") in CALLS or value.get("from") in CALLS
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return depth < MAX_TURN_DEPTH and any(_has_further_keys(each, depth + 1) for each in inside)


def _may_be_context(shape: Shape, doubtful: Sequence[Doubt], ways: Sequence[Mapping[str, str]]) -> SepoError:
    reasons = listed((doubt.reason for doubt in doubtful), "; ")
    ignored = f"--ignore {quote(listed((doubt.column for doubt in doubtful), ','))}"
    media = " Pictures, sound and video cannot be read." if any(doubt.kind == MEDIUM for doubt in doubtful) else ""
    read = f"read it: {' or '.join(map(columns_option, ways))}; or leave it out," if ways else "leave it out,"
    return SepoError(
        f"context may be left out: {reasons}.{media} As it is, {shape.description.removesuffix('.')}",
        f"{read} if the responses can be judged without it: {ignored}",
    )


def _several_shapes(fitting: Sequence[Shape]) -> SepoError:
    ways = []
    for shape in fitting:
        others = [other.columns for other in fitting if other is not shape]
        own = {role: name for role, name in shape.columns.items() if not all(role in other for other in others)}
        ways.append(columns_option(own))
    return SepoError(
        "the columns fit more than one shape: " + " Or: ".join(shape.description for shape in fitting),
        f"choose one: {' or '.join(ways)}",
    )


def _several_prompts(roles: Mapping[str, str], others: Sequence[str]) -> SepoError:
    role = next(role for role in ("prompt", "question") if role in roles)
    ways = [columns_option({role: roles[role]})]
    for other in others:
        if other == "input":
            ways.append(columns_option({"instruction": roles[role], "input": other}))
        ways.append(columns_option({"instruction" if other == "instruction" else "question": other}))
    return SepoError(
        f"{roles[role]} could be the prompt, and so could {listed(others, ' or ')}: they hold different texts",
        f"choose one: {' or '.join(ways)}",
    )
