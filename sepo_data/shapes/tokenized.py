"""Shape of rows that are token ids already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.shapes.record import shown
from sepo_data.shapes.registry import shape
from sepo_data.shapes.shape import Shape
from sepo_data.shapes.skip_reasons import SkipRow
from sepo_data.shapes.value_types import both_begin_with

if TYPE_CHECKING:
    from sepo_data.shapes.columns import Columns
    from sepo_data.shapes.record import Record

MAX_ID = 2**31 - 1
"""The highest id that fits the columns of a stage dataset."""

ID_ROLES = ("prompt_ids", "chosen_ids", "rejected_ids")

Ids = list[int]


@shape(
    "tokenized",
    tier=5,
    meaning="Ids are taken as they are, and the texts are what they decode to. The responses may repeat the prompt, as"
    " in old versions of TRL (`chosen_input_ids`).",
    example={"prompt_ids": [504, 6376, 314], "chosen_ids": [4461, 30], "rejected_ids": [5065, 30]},
    roles=dict.fromkeys(ID_ROLES, ("ids",)),
)
def tokenized(columns: Columns) -> list[Shape]:
    """TRL's: the ids of new versions are those of the response alone, some of the old ones hold the prompt as well."""
    prompt, chosen, rejected = (columns.names[role] for role in ID_ROLES)
    repeats = both_begin_with(columns.values(*ID_ROLES))
    words = "repeat it before the ids of the response" if repeats else "those of the responses alone"
    meaning = f"{prompt} holds the token ids of the prompt, {chosen} and {rejected} {words}."
    read = _ids_that_repeat if repeats else _ids
    return [Shape("tokenized", meaning, columns.only(ID_ROLES), read, conversational=False, tokenized=True)]


def _ids(record: Record) -> list[tuple[Ids, Ids, Ids]]:
    prompt, chosen, rejected = (_checked(record, role) for role in ID_ROLES)
    return [_preference(prompt, chosen, rejected)]


def _ids_that_repeat(record: Record) -> list[tuple[Ids, Ids, Ids]]:
    prompt, *sides = (_checked(record, role) for role in ID_ROLES)
    if not all(side[: len(prompt)] == prompt for side in sides):
        raise SkipRow("prompt_mismatch", f"a response does not begin with {record.name('prompt_ids')}")
    chosen, rejected = (side[len(prompt) :] for side in sides)
    return [_preference(prompt, chosen, rejected)]


def _preference(prompt: Ids, chosen: Ids, rejected: Ids) -> tuple[Ids, Ids, Ids]:
    for side, ids in (("chosen", chosen), ("rejected", rejected)):
        if not ids:
            raise SkipRow("empty_response", side)
    if chosen == rejected:
        raise SkipRow("equal_responses", "chosen is rejected")
    if not prompt:
        raise SkipRow("empty_prompt", "no id comes before the response")
    return prompt, chosen, rejected


def _checked(record: Record, role: str) -> Ids:
    ids = record.present(role)
    if not isinstance(ids, list):
        raise SkipRow("wrong_type", f"{record.name(role)} is {type(ids).__name__}, not a list of ids")
    for index, item in enumerate(ids):
        if type(item) is not int or not 0 <= item <= MAX_ID:
            raise SkipRow("invalid_ids", f"{record.name(role)}[{index}] is {shown(item)}")
    return ids
