"""References in the place of responses: labels that name the columns, the options or the models with the answers."""

from __future__ import annotations

from dataclasses import replace
from shlex import quote
from typing import TYPE_CHECKING

from sepo_data.console.text import shortened
from sepo_data.errors import SepoError
from sepo_data.schemas.stages import SIDES
from sepo_data.shapes.context.names import has_word
from sepo_data.shapes.context.texts import is_text, texts_of
from sepo_data.shapes.record import value_at
from sepo_data.shapes.refused.no_shape import columns_option
from sepo_data.shapes.value_types import NEARLY_ALL
from sepo_data.shapes.verdicts import are_verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sepo_data.shapes.columns import Columns
    from sepo_data.shapes.context.texts import PairTexts
    from sepo_data.shapes.shape import Shape

TWO = ("response_a", "response_b")

OF_OPTIONS = frozenset({"choice", "option", "alternative"})
"""Words in the names of columns with the answers to choose from."""


def refuse_references(shape: Shape, found: Columns, known: Sequence[PairTexts], columns: Sequence[str]) -> None:
    """Raise if `chosen` and `rejected` are labels, as `B` or `gpt-4`, of answers that `columns`, left over, hold.

    A prompt that has these answers itself asks for the label; `known` are the texts of the pairs.

    Raises:
        SepoError: names the columns with the answers, and the option that reads them if there is one.
    """
    if shape.tokenized or not shape.columns.keys() >= {*SIDES} or not found.are("string", *SIDES):
        return
    for meant in _meant(found, known, columns):
        others = [row for row in known if _are_others(row, meant)]
        if known and len(others) >= NEARLY_ALL * len(known):
            raise _error(found, others[0], meant)


def _meant(found: Columns, known: Sequence[PairTexts], columns: Sequence[str]) -> list[tuple[str, ...]]:
    """Columns that labels may refer to: two with responses, two that are called like the labels, one with options."""
    two = tuple(found.names[role] for role in TWO if role in found.names)
    labels = sorted(frozenset[str]().union(*(row.responses for row in known[:2])))
    called = tuple(column for label in labels for column in columns if _is_called(column, label, known))
    options = [(column,) for column in columns if has_word(column, OF_OPTIONS)]
    return [names for names in (two, called) if len(names) == len(TWO) and set(names) <= set(columns)] + options


def _is_called(column: str, label: str, known: Sequence[PairTexts]) -> bool:
    """True if a column with a text has the label as its name, or as the last word of it."""
    name, word = column.casefold(), label.casefold()
    is_last = name.endswith(word) and name.removesuffix(word)[-1:] in {"", "_", "-", " ", "."}
    return is_last and any(is_text(text) for row in known for text in texts_of(value_at(row.row, column)))


def _are_others(row: PairTexts, meant: Sequence[str]) -> bool:
    """True if the responses are labels, and the columns have several texts that are not in the pair."""
    texts = {" ".join(text.split()) for column in meant for text in texts_of(value_at(row.row, column))} - row.responses
    said = " ".join(row.prompt)
    missing = [text for text in texts if text and text not in said]
    return not any(map(is_text, row.responses)) and len(missing) == len(texts) > 1


def _error(found: Columns, row: PairTexts, meant: Sequence[str]) -> SepoError:
    chosen, rejected = (found.names[role] for role in SIDES)
    label, named = shortened(str(value_at(row.row, chosen))), " and ".join(map(shortened, meant))
    ignored = f"if {chosen} and {rejected} are the responses themselves, add --ignore {quote(','.join(meant))}"
    return SepoError(
        f"{chosen} and {rejected} are labels such as {label!r}, and the answers seem to be in {named}",
        f"{_way(found, chosen, meant)}; {ignored}",
    )


def _way(found: Columns, chosen: str, meant: Sequence[str]) -> str:
    """The option that reads the labels as a verdict, or the column that is needed instead."""
    if len(meant) == len(TWO):
        ways = {"winner": chosen, **dict(zip(TWO, meant, strict=True))}
        read = columns_option(ways)
        if are_verdicts(replace(record, names={**record.names, **ways}) for record in found.sample):
            return f"read them: {read}"
        return f"write {meant[0]} or {meant[1]} into {chosen} for each label, and add {read}"
    return f"write the texts of the answers into {chosen}"
