"""Verdicts that prefer one of two responses, A and B; numbers count only if their coding is certain."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from shlex import quote
from typing import TYPE_CHECKING

from sepo_data.console.text import listed
from sepo_data.errors import SepoError
from sepo_data.shapes.ranked import number
from sepo_data.shapes.record import reads, shown, value_at
from sepo_data.shapes.skip_reasons import SkipRow
from sepo_data.shapes.value_types import WRITTEN, mostly

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sepo_data.shapes.columns import Columns
    from sepo_data.shapes.record import Record

A_WINS, TIE, B_WINS = 1, 0, -1


@dataclass(frozen=True)
class Verdict:
    """The columns of a verdict and its meaning.

    Attributes:
        roles: of the columns.
        meaning: when each response is chosen; a format string for the names of the responses and of these columns.
        read: a module-level function; above 0 where A is chosen, below 0 where B is, 0 for a tie.
    """

    roles: tuple[str, ...]
    meaning: str
    read: Callable[[Record], float]


def find_verdict(columns: Columns) -> Verdict | None:
    """The verdict whose column the user has named, or the clearest that is present.

    Raises:
        SepoError: it is a number, and the first rows do not show which number prefers which response.
    """
    present = [verdict for verdict in VERDICTS if columns.are(("string", "number"), *verdict.roles)]
    said = [verdict for verdict in present if columns.said & set(verdict.roles)]
    verdict = next(iter(said or present), None)
    if verdict is None or verdict.roles[0] not in CODED:
        return verdict
    [role] = verdict.roles
    found = codes(columns, role)
    if role == "choice" and role in columns.said and {1, 2} <= found and 0 not in found:
        return FROM_ONE
    if not _certain(columns, role, found):
        raise _uncertain(columns, role, found)
    return verdict


def ways_to_prefer(columns: Columns, kinds: Mapping[str, str]) -> list[dict[str, str]]:
    """Every column, or two of them, that could prefer one of two responses without a verdict; `kinds` are by column."""
    if not {"response_a", "response_b"} <= columns.names.keys() or any(
        set(verdict.roles) <= columns.names.keys() for verdict in VERDICTS
    ):
        return []
    free = {name: kind.removeprefix(WRITTEN) for name, kind in kinds.items() if name not in columns.names.values()}
    numbers = [name for name, kind in free.items() if kind == "number"]
    scores = [{"score_a": a, "score_b": b} for a, b in pairwise(numbers) if _differ_in_one_letter(a, b)]
    alone = [name for name in numbers if not any(name in way.values() for way in scores)]
    words = [name for name, kind in free.items() if kind == "string" and _names_responses(columns, name)]
    coded = [{role: name} for name in alone for role in _coded_roles(columns, name)]
    return [*scores, *({"winner": name} for name in words), *coded]


def _coded_roles(columns: Columns, name: str) -> list[str]:
    """The roles in which the numbers of this column may prefer a response: an id or a grade prefers none."""
    found = _numbers(value_at(record.row, name) for record in columns.sample)
    if min(found, default=0) < 0:
        return ["preference"]
    if found == {0, 1}:
        return ["labels", "choice"]
    return ["choice"] if found == {1, 2} else []


def _differ_in_one_letter(a: str, b: str) -> bool:
    return len(a) == len(b) and sum(x != y for x, y in zip(a, b, strict=True)) == 1


def _names_responses(columns: Columns, name: str) -> bool:
    """True if most values of this column are verdicts in words."""
    return are_verdicts(replace(record, names={**record.names, "winner": name}) for record in columns.sample)


def are_verdicts(records: Iterable[Record]) -> bool:
    """True if the winners of most rows are verdicts in words."""
    return mostly(reads(_winner, record) for record in records)


def codes(columns: Columns, role: str) -> set[float]:
    """The numbers in the first rows of this column."""
    return _numbers(value for (value,) in columns.values(role))


def _numbers(values: Iterable[object]) -> set[float]:
    found = set()
    for value in values:
        with suppress(SkipRow):
            found.add(float(value) if isinstance(value, bool) else number(value, ""))
    return found


def _certain(columns: Columns, role: str, found: set[float]) -> bool:
    if role == "preference":
        return role in columns.said or min(found, default=-1) < 0
    if role in columns.said and {0, 1} <= found:
        return True  # rows with another number are skipped
    return found <= {0, 1} and (role == "labels" or found != {1} or _numbered_from_zero(columns))


def _numbered_from_zero(columns: Columns) -> bool:
    """True if the names of the responses show which of them is number 1."""
    return columns.names["response_a"].endswith("0") and columns.names["response_b"].endswith("1")


def _uncertain(columns: Columns, role: str, found: set[float]) -> SepoError:
    name, a, b = (columns.names[each] for each in (role, "response_a", "response_b"))
    meant = {f"preference={name}": f"where numbers above 0 prefer {b}, those below {a}"}
    if found <= {0, 1}:
        meant = {f"labels={name}": f"where 1 is {a} and 0 is {b}"} | meant
    if found <= {0, 1} and 0 in found:
        meant = {f"choice={name}": f"where 0 is {a} and 1 is {b}"} | meant
    if found == {1, 2}:
        meant = {f"choice={name}": f"where 1 is {a} and 2 is {b}"} | meant
    ways = [f"--columns {quote(way)} {when}" for way, when in meant.items()]
    return SepoError(
        f"{name} holds {listed(f'{code:g}' for code in sorted(found)[:MAX_CODES_SHOWN])} in the first rows,"
        f" which may mean either: {a} is preferred, or {b}",
        f"choose its meaning: {', or '.join(ways)}; or add a column winner that holds {a} or {b}",
    )


def _winner(record: Record) -> float:
    """Chatbot Arena's `model_a`, `tie (bothbad)` and so on, or the name of a response's column."""
    said = record.text("winner").strip()
    word = said.lower().removeprefix("model_").removeprefix("response_").removeprefix("assistant_")
    if word == "a" or said == record.name("response_a"):
        return A_WINS
    if word == "b" or said == record.name("response_b"):
        return B_WINS
    if word.startswith(("tie", "both", "neither", "draw")):
        return TIE
    raise SkipRow("unknown_label", f"{record.name('winner')} is {shown(said)}")


def _one_of_two(record: Record) -> float:
    a, b = (number(record.present(role), record.name(role)) for role in ("winner_model_a", "winner_model_b"))
    return a - b


def _label(record: Record) -> float:
    """SHP's: 1 for A, 0 for B."""
    return A_WINS if _is_one(record, "labels") else B_WINS


def choice(record: Record) -> float:
    """The number of the response, from 0."""
    return B_WINS if _is_one(record, "choice") else A_WINS


def _choice_from_one(record: Record) -> float:
    """The number of the response, from 1: for a column of 1 and 2 that the user has named."""
    value = record.get("choice")
    if value not in (1, 2, "1", "2"):
        raise SkipRow("unknown_label", f"{record.name('choice')} is {shown(value)}")
    return A_WINS if value in (1, "1") else B_WINS


def _is_one(record: Record, role: str) -> bool:
    value = record.get(role)
    if value not in (0, 1, "0", "1"):
        raise SkipRow("unknown_label", f"{record.name(role)} is {shown(value)}")
    return value in (1, "1")


def _strength(record: Record) -> float:
    """HelpSteer's: from -3, the first is much better, to 3, the second is."""
    return -number(record.present("preference"), record.name("preference"))


def _scores(record: Record) -> float:
    a, b = (number(record.present(role), record.name(role)) for role in ("score_a", "score_b"))
    return a - b


VERDICTS = (
    Verdict(("winner",), "{a} or {b} is chosen, by {0}", _winner),
    Verdict(("winner_model_a", "winner_model_b"), "{a} is chosen where {0} is 1, {b} where {1} is", _one_of_two),
    Verdict(("labels",), "{a} is chosen where {0} is 1, {b} where it is 0", _label),
    Verdict(("choice",), "{a} is chosen where {0} is 0, {b} where it is 1", choice),
    Verdict(("preference",), "{a} is chosen where {0} is below 0, {b} where it is above", _strength),
    Verdict(("score_a", "score_b"), "{a} is chosen where {0} is higher, {b} where {1} is", _scores),
)
"""The clearest first: scores beside a label are only what the label was made from."""

CODED = ("labels", "choice", "preference")
"""Verdicts of one number each, coded differently in every dataset."""

FROM_ONE = Verdict(("choice",), "{a} is chosen where {0} is 1, {b} where it is 2", _choice_from_one)

MAX_CODES_SHOWN = 10
"""Numbers that an error lists."""
