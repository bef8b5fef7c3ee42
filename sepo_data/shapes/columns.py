"""Roles of columns, found by name, alias and the types of the first values, or named by the user."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sepo_data.console.text import did_you_mean, guesses, listed
from sepo_data.errors import SepoError
from sepo_data.shapes.record import Record, Row, column_of, list_at, value_at
from sepo_data.shapes.skip_reasons import SkipRow
from sepo_data.shapes.value_types import RECORD_OF_LISTS, RECORD_OF_TURNS, WRITTEN, inner_names, type_of

if TYPE_CHECKING:
    from collections.abc import Container, Iterable

    from sepo_data.shapes.pairs import PairChoice

ANSWER = ("string", "turn", "turns")
NUMBER = ("number",)
NUMBERS = ("numbers", "ids")

ROLES: dict[str, tuple[str, ...]] = {
    # before the responses
    "prompt": ("string", "turns"),
    "question": ("string", "record"),
    "instruction": ("string",),
    "input": ("string",),
    "history": ("string", "lists", "turns", "records", "strings"),
    "system": ("string", "turn", "turns", "strings"),
    "conversations": ("turns",),
    "messages": ("turns",),
    # the responses
    "chosen": ANSWER,
    "rejected": ANSWER,
    "rejected_messages": ("turns",),
    "response_a": ANSWER,
    "response_b": ANSWER,
    "completions": ("records", "strings"),
    # preferences among them
    "rank": NUMBERS,
    "score": NUMBERS,
    "winner": ("string",),
    "winner_model_a": NUMBER,
    "winner_model_b": NUMBER,
    "labels": NUMBER,
    "choice": NUMBER,
    "preference": NUMBER,
    "score_a": NUMBER,
    "score_b": NUMBER,
    # beside the text
    "tools": ("records", "record", "strings", "string"),
    "chat_template_kwargs": ("record", "string"),
    "prefill": ("string",),
}
"""Roles that `--columns` can name, each with the types of values that it takes. Shapes add roles of their own."""

PROMPT_ROLES = ("prompt", "question", "instruction", "conversations")

ALIASES: tuple[dict[str, tuple[str, ...]], ...] = (
    {
        "chosen rejected": (
            "chosen_response rejected_response", "response_chosen response_rejected", "chosen_answer rejected_answer",
            "chosen_text rejected_text", "preferred dispreferred", "preferred_response dispreferred_response",
            "preferred_output dispreferred_output", "preferred_output non_preferred_output",
            "response_j response_k", "response_w response_l", "y_w y_l",
            "winner loser", "better worse", "better_response worse_response", "positive negative",
            "accepted rejected", "selected rejected", "chosen.messages rejected.messages",
            "chosen.conversations rejected.conversations",
        ),
    },
    {"prompt": ("input.messages", "prompt.messages", "prompt.conversations")},
    {
        "response_a response_b": (
            "response_A response_B", "human_ref_A human_ref_B", "answer_a answer_b", "answer_A answer_B",
            "completion_a completion_b", "conversation_a conversation_b", "output_a output_b", "answer_0 answer_1",
            "response_0 response_1", "response_1 response_2", "response1 response2", "output_1 output_2",
            "messages_a messages_b",
        ),
    },
    {"score_a score_b": ("score_0 score_1", "score_A score_B")},
    {"prompt_ids chosen_ids rejected_ids": ("prompt_input_ids chosen_input_ids rejected_input_ids",)},
    {"chosen rejected": ("response rejected_response",)},
    {"rejected": ("rejected_response",)},
    {
        "question": ("query", "user_prompt", "problem", "input"),
        "conversations": ("conversation", "dialogue", "dialog", "context", "contents"),
    },
    {"system": ("system_prompt", "system_message", "system_instruction", "systemInstruction")},
    {"system": ("input.system",)},
    {"system": ("prompt.system",)},
    {"tools": ("input.tools",)},
    {"tools": ("prompt.tools",)},
    {"tools": ("chosen.tools",)},
    {"completions": ("answers", "responses", "generations", "candidates")},
    {"rank": ("ranks", "ranking")},
    {"score": ("scores", "ratings", "rewards")},
    {"choice": ("better_response_id",)},
    {"preference": ("preference_strength", "overall_preference")},
)  # fmt: skip
"""Other names of roles, for datasets without a column called like the role. Two that fit within an entry are rivals."""

_OTHER_NAMES = frozenset(
    name for aliases in ALIASES for spellings in aliases.values() for spelling in spellings for name in spelling.split()
)


@dataclass(frozen=True)
class Columns:
    """The columns of a dataset, by the roles they play.

    Attributes:
        names: role to column.
        kinds: role to the type of most of its first values.
        written: roles whose columns hold JSON text.
        keys: role to the key of ranked answers that plays it, as the user has named it.
        said: the roles that the user has named.
        rivals: for roles that several columns could play, each choice as role to column.
        sample: the first rows.
        pair_choice: the pairs that a row of ranked responses gives.
    """

    names: Mapping[str, str]
    kinds: Mapping[str, str]
    written: frozenset[str]
    keys: Mapping[str, str]
    said: frozenset[str]
    rivals: Sequence[Mapping[str, str]]
    sample: Sequence[Record]
    pair_choice: PairChoice = "best-worst"

    def are(self, kinds: str | tuple[str, ...], *roles: str) -> bool:
        """True if these roles all have columns with values of one of these types."""
        wanted = (kinds,) if isinstance(kinds, str) else kinds
        return all(self.kinds.get(role) in wanted for role in roles)

    def play(self, roles: Mapping[str, tuple[str, ...]]) -> bool:
        """True if all these roles have columns with values of their types."""
        return all(self.are(kinds, role) for role, kinds in roles.items())

    @property
    def several_prompts(self) -> bool:
        """True if several columns could be the prompt."""
        return any(role in PROMPT_ROLES for way in self.rivals for role in way)

    def values(self, *roles: str) -> list[tuple[object, ...]]:
        """The first values of these roles, of the rows that have them all."""
        found = []
        for record in self.sample:
            try:
                found.append(tuple(record.present(role) for role in roles))
            except SkipRow:
                continue
        return found

    def only(self, roles: Iterable[str]) -> dict[str, str]:
        """Role to column, of the `roles` that have one."""
        return {role: self.names[role] for role in roles if role in self.names}


def find_columns(columns: Sequence[str], sample: Sequence[Row], said: Mapping[str, str]) -> Columns:
    """Find the column of each role; `said` maps roles to columns as the user does, and takes precedence over names.

    Raises:
        SepoError: a role or a column in `said` does not exist, or the column cannot play the role.
    """
    # A table may have a million columns: only those that could play a role are looked into.
    meaningful = _OTHER_NAMES.union(ROLES, said.values())
    kinds = {column: type_of([row.get(column) for row in sample]) for column in columns if column in meaningful}
    kinds |= _inner_kinds(kinds, sample, said.values())
    keys = {role: name for role, name in said.items() if name not in kinds and role in {"rank", "score"}}
    keys = {role: key for role, key in keys.items() if key in _entry_keys(sample)}
    _check_said({role: name for role, name in said.items() if role not in keys}, columns, kinds, sample)
    names = {role: column for role, column in said.items() if role not in keys}
    free = kinds.keys() - set(said.values())
    wanted = [
        role for role in ROLES if role not in PROMPT_ROLES or not said.keys() & set(PROMPT_ROLES)
    ]  # one prompt is enough
    names |= {role: role for role in wanted if role in free and role not in said and _fits(role, kinds[role])}
    if "instruction" not in names and names.get("input") == "input":
        del names["input"]  # without an instruction it is the question itself
    if "loser" in free and "winner" not in said and names.get("winner") == "winner":
        del names["winner"]  # the text of the winner, not its name
    rivals: list[Mapping[str, str]] = []
    for aliases in ALIASES:
        candidates = [each for each in _candidates(aliases, names) if _free_and_fitting(each, names, free, kinds)]
        if len(candidates) == 1:
            names |= candidates[0]
        else:
            rivals += candidates
    own = {role: _kind_for(role, kinds[column]) for role, column in names.items()}
    written = frozenset(role for role, kind in own.items() if kind.startswith(WRITTEN))
    records = [Record(row, names, written) for row in sample]
    own = {role: kind.removeprefix(WRITTEN) for role, kind in own.items()}
    return Columns(names, own, written, keys, frozenset(said), rivals, records)


def names_beside() -> frozenset[str]:
    """Every name of a column that adds to a prompt, and may hold lists."""
    return frozenset(name for role in ("history", "system", "tools") for name in spellings(role))


def names_of_lists() -> frozenset[str]:
    """Every name of a column that plays a role which takes no text."""
    return frozenset(name for role in ROLES if "string" not in ROLES[role] for name in spellings(role))


def spellings(role: str) -> tuple[str, ...]:
    """Every name that a column of this role alone may have."""
    return (role, *(name for aliases in ALIASES for name in aliases.get(role, ())))


def could_play(role: str, kind: str) -> bool:
    """True if the role takes values of this type."""
    return kind != "unknown" and _fits(role, kind)


def _inner_kinds(kinds: Mapping[str, str], sample: Sequence[Row], said: Iterable[str]) -> dict[str, str]:
    """The types of the keys of objects that the user names, as in `input.messages`, or that go with a list of turns."""
    opened = {column for column, kind in kinds.items() if kind.removeprefix(WRITTEN) == RECORD_OF_TURNS}
    names = {name for name in _OTHER_NAMES if column_of(name, opened)}.union(said)
    values = {name: [value_at(row, name) for row in sample] for name in names - kinds.keys()}
    return {name: type_of(inside) for name, inside in values.items() if any(value is not None for value in inside)}


def _candidates(aliases: Mapping[str, Sequence[str]], names: Mapping[str, str]) -> list[dict[str, str]]:
    """Every way to fill roles that have no column yet: role to column."""
    if aliases.keys() & set(PROMPT_ROLES) and any(role in names for role in PROMPT_ROLES):
        return []
    found = []
    for roles, spellings in aliases.items():
        ways = [dict(zip(roles.split(), spelling.split(), strict=True)) for spelling in spellings]
        found += [way for way in ways if not all(role in names for role in way)]
    return found


def _free_and_fitting(
    way: Mapping[str, str], names: Mapping[str, str], free: Container[str], kinds: Mapping[str, str]
) -> bool:
    for role, column in way.items():
        if role in names:
            if names[role] != column:
                return False
        elif column not in free or column in names.values() or not _fits(role, kinds[column]):
            return False
    return True


def _fits(role: str, kind: str) -> bool:
    return kind == "unknown" or _kind_for(role, kind).removeprefix(WRITTEN) in ROLES[role]


def _kind_for(role: str, kind: str) -> str:
    """Text that happens to be JSON stays text for a role that takes text, unless it is a conversation."""
    inside = kind.removeprefix(WRITTEN)
    if inside == RECORD_OF_TURNS:
        return kind
    if inside == RECORD_OF_LISTS:
        inside = "records" if "records" in ROLES[role] else "record"
        kind = f"{WRITTEN}{inside}" if kind.startswith(WRITTEN) else inside
    structured = {"turn", "turns", "lists", *(("records", "strings") if role in {"history", "system"} else ())}
    is_text = inside not in ROLES[role] or ("string" in ROLES[role] and inside not in structured)
    return "string" if kind != inside and is_text else kind


def _entry_keys(sample: Sequence[Row]) -> set[str]:
    """The keys of all objects in lists: only these can be ranked answers."""
    values = (list_at(row, column) for row in sample for column in row)
    return {str(key) for value in values for entry in value if isinstance(entry, Mapping) for key in entry}


def _check_said(
    said: Mapping[str, str], columns: Sequence[str], kinds: Mapping[str, str], sample: Sequence[Row]
) -> None:
    if unknown := [role for role in said if role not in ROLES]:
        near = [guess for role in unknown if (guess := did_you_mean(role, ROLES))]
        raise SepoError(f"--columns {listed(unknown)}: no column can play that; {listed(ROLES)} can", "; ".join(near))
    if missing := [column for column in said.values() if column not in kinds]:
        inside = _entry_keys(sample) if said.keys() & {"rank", "score"} else set()
        opened = {name.rpartition(".")[0] for name in missing} & set(columns)
        present = [*columns, *sorted(inside), *dict.fromkeys(inner_names(opened, sample))]
        raise SepoError(
            f"--columns: the dataset has no column {listed(missing)}; it has {listed(columns)}",
            guesses(missing, present),
        )
    if twice := [column for column, count in Counter(said.values()).items() if count > 1]:
        raise SepoError(
            f"--columns gives two roles to {listed(twice)}", "name each column once: a column can play one role only"
        )
    for role, column in said.items():
        if not _fits(role, kinds[column]):
            raise SepoError(
                f"--columns {role}={column}: the values of {column} are of kind {kinds[column]}",
                f"for {role}, name a column of kind {listed(ROLES[role], ' or ')}",
            )
