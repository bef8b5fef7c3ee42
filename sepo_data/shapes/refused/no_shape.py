"""Columns that fit no shape: the reason, where they show it, and what to type next."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from sepo_data.console.text import did_you_mean, listed, shortened
from sepo_data.errors import SepoError
from sepo_data.schemas.stages import SIDES
from sepo_data.shapes.columns import ALIASES, ANSWER, PROMPT_ROLES, ROLES, could_play, names_of_lists
from sepo_data.shapes.context.names import tells_of_responses
from sepo_data.shapes.prompts import end_in_answer
from sepo_data.shapes.ranked import ranked_columns, ways_to_rank
from sepo_data.shapes.record import column_of
from sepo_data.shapes.transcripts import cut_column, cut_error
from sepo_data.shapes.value_types import WRITTEN, inner_key, type_of
from sepo_data.shapes.verdicts import find_verdict, ways_to_prefer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sepo_data.shapes.columns import Columns
    from sepo_data.shapes.record import Row

CODINGS = {
    "score": "the highest score is the best; write rank where the lowest is",
    "score_a": "the higher score is the better",
    "winner": "the name of a response",
    "preference": "numbers below 0 prefer the first response",
    "labels": "labels: 1 prefers the first response and 0 the second",
    "choice": "choice: the number of the preferred response, from the lower one",
}
"""Meanings of the roles that prefer an answer, for hints."""

ROLE_OF_SPELLING = {
    name.casefold(): role
    for roles, spelled in [
        *((roles, spelled) for aliases in reversed(ALIASES) for roles, spelled in aliases.items()),
        *((role, (role,)) for role in ROLES),
    ]
    for spelling in spelled
    for role, name in zip(roles.split(), spelling.split(), strict=True)
}
"""Roles by their names and other names, in small letters."""

MOST_EXPLAINED = 1000
"""Columns whose types are named, where no shape fits."""


def no_shape(columns: Sequence[str], sample: Sequence[Row], found: Columns) -> SepoError:
    """The error about columns that fit no shape, with the reason where they show it, and a hint."""
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
    if (reason := _reason(columns[:MOST_EXPLAINED], sample, found, kinds)) is not None:
        return SepoError(f"{message}. {reason[0]}", reason[1])
    missing = [role for role in SIDES if role not in found.names]
    if not missing and found.are("string", "chosen", "rejected"):
        message += ". Here chosen and rejected do not begin alike, so the prompt has to be a column of its own"
        if found.are("turns", "messages") and end_in_answer(found):
            way = columns_option({"messages": found.names["messages"]})
            return SepoError(message, f"if the last turn of messages is the chosen response, add {way}")
        free = {column: kind for column, kind in kinds.items() if column not in found.names.values()}
        asked = [{"conversations": column} for column, kind in free.items() if could_play("conversations", kind)]
        asked += [{"question": column} for column, kind in free.items() if kind == "string"]
        ways = " or ".join(map(columns_option, asked))
        ask = f"name the column of the user's turn: {ways}"
        return SepoError(message, ask if ways else "add a column of the user's turn, called question")
    hints = ["name the roles, like --columns question=ASKED,chosen=A,rejected=B"]
    for role in missing:
        fitting = [column for column, kind in kinds.items() if could_play(role, kind)]
        if role in kinds and kinds[role] != "unknown":
            hints.append(f"{role} is of kind {kinds[role]}, and has to be {listed(ROLES[role], ' or ')}")
        elif guess := did_you_mean(role, fitting):
            hints.append(f"for {role}, {guess}")
    objects = {role: kinds[role] for role in missing if role in kinds}
    if key := inner_key(objects or kinds, sample):
        hints.append(f"name a key of objects with a dot, like {column_of(key, objects) or 'prompt'}={key}")
    return SepoError(message, "; ".join(hints))


def _reason(
    columns: Sequence[str], sample: Sequence[Row], found: Columns, kinds: Mapping[str, str]
) -> tuple[str, str] | None:
    """The reason for which columns fit no shape and a hint, where the columns show it."""
    if cut := cut_column(columns, [column for column in columns if column in names_of_lists()], sample):
        return cut_error(cut)
    if found.rivals:
        ways = " or ".join(map(columns_option, found.rivals))
        return "Several columns could play the same role", f"choose one: {ways}"
    if others := _other_spellings(found, kinds):
        return "Capitals and blanks in the names of columns count", f"name the roles: {columns_option(others)}"
    if preferring := [*ways_to_rank(found, kinds), *ways_to_prefer(found, kinds)]:
        ways = " or ".join(map(columns_option, preferring))
        meant = [meaning for role, meaning in CODINGS.items() if any(role in way for way in preferring)]
        return "Nothing prefers one of the answers", f"name what does: {ways} ({'; '.join(meant)})"
    return _of_another_name(found, kinds) or _unpaired(found, kinds)


def _other_spellings(found: Columns, kinds: Mapping[str, str]) -> dict[str, str]:
    """The columns that are called like roles but for capitals and blanks, by role."""
    free = {column: kind for column, kind in kinds.items() if column not in found.names.values()}
    ways: dict[str, str] = {}
    for column, kind in free.items():
        name = "_".join(column.split()).casefold()
        role = ROLE_OF_SPELLING.get(name)
        if name != column and role is not None and role not in found.names and could_play(role, kind):
            ways.setdefault(role, column)
    return ways


def _of_another_name(found: Columns, kinds: Mapping[str, str]) -> tuple[str, str] | None:
    """The reason and a hint where the responses are complete but for the name of a column."""
    missing = [role for role in SIDES if role not in found.names]
    answers = _free_answers(found, kinds)
    if len(missing) == len(answers) == 1:
        return f"No column is called {missing[0]}", f"name it: {columns_option({missing[0]: answers[0]})}"
    if len(missing) == len(SIDES) and (ranked := ranked_columns(found, kinds)):
        ways = " or ".join(columns_option({"completions": column}) for column in ranked)
        return "No column is called completions", f"name the one with ranked or scored answers: {ways}"
    return None


def _unpaired(found: Columns, kinds: Mapping[str, str]) -> tuple[str, str] | None:
    """The reason and a hint where rows hold responses without a preference among them."""
    if found.names.keys() & set(SIDES):
        return None
    if found.names.keys() >= {"response_a", "response_b"} and find_verdict(found) is None:
        a, b = found.names["response_a"], found.names["response_b"]
        return "Nothing prefers one of the answers", f"add a column winner that holds {a}, {b} or tie"
    answers = [found.names["completions"]] if found.are("strings", "completions") else _free_answers(found, kinds)
    if len(answers) != 1 or not found.names.keys() & {*PROMPT_ROLES}:
        return None
    if kinds[answers[0]].removeprefix(WRITTEN) == "strings":
        way = columns_option({"completions": answers[0], "score": "SCORES"})
        return (
            f"{answers[0]} is a list of answers, and nothing ranks them",
            f"add a column with a list of numbers, the highest for the best answer, and name it: {way}",
        )
    return (
        f"A pair takes two responses to a prompt, and a row has one, {answers[0]}",
        "join the rows of each prompt: the better response in a column chosen, the worse one in a column rejected",
    )


def _free_answers(found: Columns, kinds: Mapping[str, str]) -> list[str]:
    """The columns without a role that may hold responses, by name and type."""
    free = {column: kind for column, kind in kinds.items() if column not in found.names.values()}
    return [column for column, kind in free.items() if tells_of_responses(column) and _holds_answers(kind)]


def _holds_answers(kind: str) -> bool:
    return kind.removeprefix(WRITTEN) in {*ANSWER, "strings"}


def columns_option(roles: Mapping[str, str]) -> str:
    """The option that gives these roles to columns, as a shell takes it."""
    return "--columns " + quote(listed((f"{role}={column}" for role, column in roles.items()), ","))
