"""Detect the preference shape of a dataset from the names and the first values of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from shlex import quote
from typing import TYPE_CHECKING

from sepo_data.console.text import did_you_mean, listed, shortened
from sepo_data.errors import SepoError
from sepo_data.schemas.stages import TURN_KEYS
from sepo_data.shapes.columns import ROLES, Columns, could_play, find_columns, spellings
from sepo_data.shapes.messages import CALLS, is_turn
from sepo_data.shapes.prompts import end_in_answer, rival_prompts
from sepo_data.shapes.registry import registered_shapes
from sepo_data.shapes.shape import BESIDE, Shape
from sepo_data.shapes.value_types import type_of

if TYPE_CHECKING:
    from sepo_data.shapes.pairs import PairChoice
    from sepo_data.shapes.record import Row

PROMPT_ADDITIONS = (("prompt", "history"), ("instruction", "history"), ("instruction", "input"))
"""Roles of a prompt, each with a role that adds to it."""

MOST_EXPLAINED = 1000
"""Columns whose types are named, where no shape fits."""

MAX_TURN_DEPTH = 3
"""Levels above the turns of a ranked answer: in a list, in an object, in a list."""


def detect_shape(
    columns: Sequence[str],
    sample: Sequence[Row],
    *,
    roles: Mapping[str, str] | None = None,
    pairs: PairChoice = "best-worst",
) -> Shape:
    """The shape that fits column names and first rows. A tier is tried only if no shape of an earlier one fits.

    Args:
        columns: of the dataset.
        sample: its first rows.
        roles: role to column: the column is read as if it were called like the role.
        pairs: the pairs that a row of ranked responses gives.

    Raises:
        SepoError: no shape fits, or more than one does.
    """
    entries = registered_shapes()  # before the columns are looked at: shapes register roles
    found = replace(find_columns(columns, sample, roles or {}), pair_choice=pairs)
    for _, tier in groupby(entries, key=lambda entry: entry.tier):
        finders = dict.fromkeys(entry.find for entry in tier if found.play(entry.roles))  # one may find several shapes
        fitting = [_with_side_roles(shape, found) for find in finders for shape in find(found)]
        fitting = [shape for shape in fitting if found.said <= shape.columns.keys()]
        if len(fitting) == 1:
            if others := rival_prompts(fitting[0].columns, found):
                raise _several_prompts(fitting[0].columns, others)
            return fitting[0]
        if fitting:
            raise _several_shapes(fitting)
    raise _no_shape(columns, sample, found)


def _with_side_roles(shape: Shape, found: Columns) -> Shape:
    """The shape with the columns beside the text of every conversation: system, tools, template arguments."""
    beside = found.only(BESIDE) if shape.conversational else {}
    columns = {**shape.columns, **beside}
    written = found.written & columns.keys()
    side = tuple(role for role in BESIDE if role in beside and role != "system")
    adds = (*BESIDE, *(more for role, more in PROMPT_ADDITIONS if role in shape.columns))
    named = [column for role in adds if role not in columns for column in spellings(role)]
    unseen = tuple(column for column in named if not any(record.row.get(column) for record in found.sample))
    if not shape.conversational:
        return replace(shape, written=written, unseen=() if shape.tokenized else unseen)
    values = [value for role in shape.columns if role in found.names for (value,) in found.values(role)]
    more = f", with {listed(beside.values(), ' and ')} beside them." if beside else "."
    return replace(
        shape,
        description=shape.description.removesuffix(".") + more,
        columns=columns,
        written=written,
        tool_turns="tools" in side or any(_has_further_keys(value) for value in values),
        side=side,
        unseen=unseen,
    )


def _has_further_keys(value: object, depth: int = 0) -> bool:
    """True if a turn in `value` calls a tool, could do so, or has another key that chat templates read."""
    if is_turn(value):
        has_keys = "tool_calls" in value or any(value.get(key) is not None for key in TURN_KEYS)
        return has_keys or value.get("role") in CALLS or value.get("from") in CALLS
    inside = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return depth < MAX_TURN_DEPTH and any(_has_further_keys(each, depth + 1) for each in inside)


def _several_shapes(fitting: Sequence[Shape]) -> SepoError:
    ways = []
    for shape in fitting:
        others = [other.columns for other in fitting if other is not shape]
        own = {role: name for role, name in shape.columns.items() if not all(role in other for other in others)}
        ways.append(_columns_option(own))
    return SepoError(
        "the columns fit more than one shape: " + " Or: ".join(shape.description for shape in fitting),
        f"choose one: {' or '.join(ways)}",
    )


def _several_prompts(roles: Mapping[str, str], others: Sequence[str]) -> SepoError:
    role = next(role for role in ("prompt", "question") if role in roles)
    ways = [_columns_option({role: roles[role]})]
    for other in others:
        if other == "input":
            ways.append(_columns_option({"instruction": roles[role], "input": other}))
        ways.append(_columns_option({"instruction" if other == "instruction" else "question": other}))
    return SepoError(
        f"{roles[role]} could be the prompt, and so could {listed(others, ' or ')}: they hold different texts",
        f"choose one: {' or '.join(ways)}",
    )


def _no_shape(columns: Sequence[str], sample: Sequence[Row], found: Columns) -> SepoError:
    explained = [*columns[:MOST_EXPLAINED], *(set(columns[MOST_EXPLAINED:]) & ROLES.keys())]
    kinds = {column: type_of([row.get(column) for row in sample]) for column in explained}
    described = [f"{shortened(column)} ({kinds[column]})" if column in kinds else column for column in columns]
    message = (
        f"the columns fit no preference shape: {listed(described)}."
        " Looked for a prompt with chosen and rejected responses, with ranked or scored ones, or with two and a vote;"
        " for whole dialogues or texts that begin alike; and for token ids"
    )
    if found.said:
        message += f". --columns names {listed(sorted(found.said))}, and no shape has that beside these columns"
    if found.rivals:
        ways = " or ".join(_columns_option(way) for way in found.rivals)
        return SepoError(f"{message}. Several columns could play the same role", f"choose one: {ways}")
    missing = [role for role in ("chosen", "rejected") if role not in found.names]
    if not missing and found.are("string", "chosen", "rejected"):
        message += ". Here chosen and rejected do not begin alike, so the prompt has to be a column of its own"
        if found.are("turns", "messages") and end_in_answer(found):
            way = _columns_option({"messages": found.names["messages"]})
            return SepoError(message, f"if the last turn of messages is the chosen response, add {way}")
        free = {column: kind for column, kind in kinds.items() if column not in found.names.values()}
        asked = [{"conversations": column} for column, kind in free.items() if could_play("conversations", kind)]
        asked += [{"question": column} for column, kind in free.items() if kind == "string"]
        ways = " or ".join(map(_columns_option, asked))
        ask = f"name the column of the user's turn: {ways}"
        return SepoError(message, ask if ways else "add a column of the user's turn, called question")
    hints = ["name the roles, like --columns question=ASKED,chosen=A,rejected=B"]
    for role in missing:
        fitting = [column for column, kind in kinds.items() if could_play(role, kind)]
        if role in kinds and kinds[role] != "unknown":
            hints.append(f"{role} is of kind {kinds[role]}, and has to be {listed(ROLES[role], ' or ')}")
        elif guess := did_you_mean(role, fitting):
            hints.append(f"for {role}, {guess}")
    return SepoError(message, "; ".join(hints))


def _columns_option(roles: Mapping[str, str]) -> str:
    return "--columns " + quote(listed((f"{role}={column}" for role, column in roles.items()), ","))
