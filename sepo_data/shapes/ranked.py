"""Shape of a prompt and several ranked or scored responses, of which pairs are made."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

from sepo_data.shapes.messages import answer_turns
from sepo_data.shapes.prompts import Prompt, prompts
from sepo_data.shapes.record import objects_of, shown
from sepo_data.shapes.registry import shape
from sepo_data.shapes.shape import Parts, Shape
from sepo_data.shapes.skip_reasons import SkipRow
from sepo_data.shapes.transcripts import check_prose
from sepo_data.shapes.value_types import WRITTEN, mostly

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sepo_data.shapes.columns import Columns
    from sepo_data.shapes.pairs import Message, PairChoice
    from sepo_data.shapes.record import Record

ANSWER_KEYS = ("response", "completion", "answer", "text", "content", "output", "generated_text")
RANK_KEYS = ("rank",)
SCORE_KEYS = ("overall_score", "fine-grained_score", "score", "rating", "reward")

CHOICES = {
    "best-worst": "the best and the worst one",
    "all": "any two of them",
    "adjacent": "each and the next best one",
}

Answers = list[tuple[list["Message"], float]]
"""Responses, each with its merit: the higher, the better."""


@shape(
    "ranked",
    tier=3,
    meaning="Answers with a rank (Nectar's `answers`, NeMo-RL's `completions`) or a score (UltraFeedback's"
    " `completions`), or texts beside a list of ranks or scores. A rank is better the lower it is, a score the higher"
    " it is. The prompt is that of any shape above. `--pairs-from-ranking best-worst` makes one pair of a row,"
    " `adjacent` one of each answer and the next best, `all` one of any two; equal ranks, scores or texts make none.",
    example={
        "instruction": "What colour is the sky?",
        "completions": [
            {"response": "Blue.", "overall_score": 9.0},
            {"response": "Green.", "overall_score": 2.5},
        ],
    },
)
def ranked(columns: Columns) -> list[Shape]:
    """UltraFeedback's, Nectar's and NeMo-RL's lists of answers, and lists of texts beside lists of scores."""
    if columns.are("records", "completions"):
        found = _answers_with_merit(columns)
    elif columns.are("strings", "completions"):
        found = _answers_beside_merits(columns)
    else:
        return []
    if found is None:
        return []
    read, merit, roles = found
    texts, choice = columns.names["completions"], columns.pair_choice
    return [
        Shape(
            "ranked",
            f"{prompt.meaning}; {texts} are answers, {merit}; pairs are {CHOICES[choice]}.",
            columns.only((*prompt.roles, "completions")) | roles,
            partial(_pairs, prompt, read, choice),
        )
        for prompt in prompts(columns)
    ]


def ways_to_rank(columns: Columns, kinds: Mapping[str, str]) -> list[dict[str, str]]:
    """Every column or key of numbers that could be the score of answers which nothing ranks; `kinds` are by column."""
    if columns.are("strings", "completions"):
        names = [name for name, kind in kinds.items() if kind.removeprefix(WRITTEN) in {"numbers", "ids"}]
    elif columns.are("records", "completions") and _answers_with_merit(columns) is None:
        entries = _entries(columns)
        keys = {key for entry in entries for key in entry if isinstance(key, str)}
        names = sorted(key for key in keys if mostly(is_number(entry.get(key)) for entry in entries))
    else:
        return []
    return [{"score": name} for name in names]


def ranked_columns(columns: Columns, kinds: Mapping[str, str]) -> list[str]:
    """Columns of ranked or scored answers that are not called so; `kinds` are by column."""
    if "completions" in columns.names:
        return []
    free = [name for name, kind in kinds.items() if kind == "records" and name not in columns.names.values()]
    return [name for name in free if _answers_with_merit(_as_completions(columns, name)) is not None]


def _as_completions(columns: Columns, name: str) -> Columns:
    names = {**columns.names, "completions": name}
    return replace(columns, names=names, sample=[replace(record, names=names) for record in columns.sample])


Found = tuple["Callable[[Record], Answers]", str, dict[str, str]]
"""The function that reads answers, a sentence about the best one, and the role of its merit with its column."""


def _answers_with_merit(columns: Columns) -> Found | None:
    entries = _entries(columns)
    there = Counter(key for entry in entries for key in entry if entry[key] is not None)
    common = {key for key, count in there.items() if count > len(entries) / 2}
    text = next((key for key in ANSWER_KEYS if key in common), None)
    rank = columns.keys.get("rank") or next((key for key in RANK_KEYS if key in common), None)
    score = columns.keys.get("score") or next((key for key in SCORE_KEYS if key in common), None)
    if text is not None and rank is not None and "score" not in columns.keys:
        return partial(_read_entries, text, rank, -1), f"the best has the lowest {rank}", {"rank": rank}
    if text is not None and score is not None:
        return partial(_read_entries, text, score, 1), f"the best has the highest {score}", {"score": score}
    return None


def _entries(columns: Columns) -> list[Mapping[str, object]]:
    """The answers of the first rows that are objects."""
    found: list[object] = []
    for record in columns.sample:
        with suppress(SkipRow):
            found += _list(record, "completions")
    return [entry for entry in found if isinstance(entry, Mapping)]


def _answers_beside_merits(columns: Columns) -> Found | None:
    for role, sign, best in (("rank", -1, "lowest"), ("score", 1, "highest")):
        if columns.are(("ids", "numbers"), role) and (role in columns.said or not columns.said & {"rank", "score"}):
            name = columns.names[role]
            return partial(_read_lists, role, sign), f"the best has the {best} number in {name}", {role: name}
    return None


def _read_entries(text: str, merit: str, sign: int, record: Record) -> Answers:
    place = record.name("completions")
    found: Answers = []
    for index, entry in enumerate(_list(record, "completions")):
        if not isinstance(entry, Mapping):
            raise SkipRow("wrong_type", f"{place}[{index}] is {type(entry).__name__}, not an answer with {text}")
        if entry.get(text) is None:
            raise SkipRow("null", f"{place}[{index}].{text}")
        check_prose(entry[text], f"{place}[{index}].{text}", response=True)
        response = answer_turns(entry[text], f"{place}[{index}].{text}")
        found.append((response, sign * number(entry.get(merit), f"{place}[{index}].{merit}")))
    return found


def _read_lists(role: str, sign: int, record: Record) -> Answers:
    texts, merits = _list(record, "completions"), _list(record, role)
    place = record.name("completions")
    if len(texts) != len(merits):
        raise SkipRow("wrong_type", f"{place} has {len(texts)} answers, {record.name(role)} {len(merits)} numbers")
    for index, text in enumerate(texts):
        check_prose(text, f"{place}[{index}]", response=True)
    return [
        (answer_turns(text, f"{place}[{index}]"), sign * number(merit, f"{record.name(role)}[{index}]"))
        for index, (text, merit) in enumerate(zip(texts, merits, strict=True))
    ]


def _list(record: Record, role: str) -> list[object]:
    value = objects_of(record.present(role), record.name(role))
    if not isinstance(value, list):
        raise SkipRow("wrong_type", f"{record.name(role)} is {type(value).__name__}, not a list")
    return value


def is_number(value: object) -> bool:
    """True for a number that is no truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def number(value: object, place: str) -> float:
    """A finite number, also where a CSV file has it as text."""
    try:
        found = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise SkipRow("invalid_score", f"{place} is {shown(value)}")
    return found


def _pairs(prompt: Prompt, read: Callable[[Record], Answers], choice: PairChoice, record: Record) -> list[Parts]:
    before, answers = prompt.read(record), read(record)
    if len(answers) < 2:  # noqa: PLR2004 - a pair
        raise SkipRow("too_few_answers", f"{record.name('completions')} has {len(answers)}")
    chosen = choose_pairs([merit for _, merit in answers], choice)
    if not chosen:
        raise SkipRow("tie", f"all {len(answers)} answers are ranked alike")
    different = [(before, answers[best][0], answers[worst][0]) for best, worst in chosen]
    return [parts for parts in different if parts[1] != parts[2]] or list(different[:1])


def choose_pairs(merits: Sequence[float], choice: PairChoice) -> list[tuple[int, int]]:
    """Pairs of answers as indices, the better first. Equal answers are no pair; the earlier of them is ranked first."""
    order = sorted(range(len(merits)), key=lambda index: -merits[index])
    if choice == "best-worst":
        found = [(order[0], min(order, key=lambda index: merits[index]))]
    else:
        found = list(pairwise(order) if choice == "adjacent" else combinations(order, 2))
    return [(better, worse) for better, worse in found if merits[better] > merits[worse]]
