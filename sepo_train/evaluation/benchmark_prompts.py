"""The prompts that two models answer: files in the manner of AlpacaEval and of MT-Bench, or plain ones."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sepo_data.errors import SepoError
from sepo_data.readers.source import open_source
from sepo_data.shapes.pairs import SkippedRow
from sepo_data.shapes.skip_reasons import BadRow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sepo_data.shapes.pairs import Message


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a user says, in one turn or several; the model answers each before it sees the next.

    Attributes:
        row: number in the file, from 0.
        turns: what the user says.
        system: what the system says before.
        question_id: of MT-Bench; None for a prompt that is answered in AlpacaEval's format.
        dataset: of AlpacaEval: where the instruction is from.
    """

    row: int
    turns: tuple[str, ...]
    system: str | None = None
    question_id: int | str | None = None
    dataset: str | None = None

    def messages(self, answers: tuple[str, ...]) -> list[Message]:
        """The conversation up to the turn that follows `answers`."""
        spoken: list[Message] = [] if self.system is None else [{"role": "system", "content": self.system}]
        for number, turn in enumerate(self.turns[: len(answers) + 1]):
            spoken.append({"role": "user", "content": turn})
            spoken += [{"role": "assistant", "content": answers[number]}] if number < len(answers) else []
        return spoken


def read_prompts(name: str) -> tuple[list[Prompt], list[SkippedRow]]:
    """The prompts of a file, and the rows that are none.

    A row has an `instruction` (with an `input` or without), `turns`, or a `prompt`: a string, a list of turns, or a
    list of messages of which one at most is the system's and one the user's.

    Raises:
        SepoError: the file cannot be read, or has no prompt.
    """
    prompts: list[Prompt] = []
    skipped: list[SkippedRow] = []
    asked: dict[int | str | None, int] = {}
    for row in open_source(name):
        if row.value is None:
            skipped.append(SkippedRow(row.number, row.problem, row.detail))
            continue
        try:
            prompt = _prompt(row.number, row.value)
        except BadRow as bad:
            skipped.append(SkippedRow(row.number, bad.reason, bad.detail))
            continue
        first = row.number if prompt.question_id is None else asked.setdefault(prompt.question_id, row.number)
        if first == row.number:
            prompts.append(prompt)
        else:  # FastChat finds an answer by its question_id
            skipped.append(
                SkippedRow(row.number, "duplicate", f"question_id {prompt.question_id!r} is that of row {first}")
            )
    if not prompts:
        reasons = ", ".join(f"{count} {reason}" for reason, count in Counter(row.reason for row in skipped).items())
        raise SepoError(
            f"{name} has no prompt among {len(skipped):,} rows ({reasons}); row {skipped[0].row}: {skipped[0].detail}",
            'a row is {"instruction": ...} as AlpacaEval has it, {"question_id": ..., "turns": [...]} as MT-Bench has '
            'it, or {"prompt": ...}',
        )
    return prompts, skipped


def _prompt(number: int, row: Mapping[str, Any]) -> Prompt:
    if row.get("turns") is not None:
        question = row.get("question_id")
        if not isinstance(question, int | str | None):
            raise BadRow("wrong_type", f"question_id is a {type(question).__name__}")
        return Prompt(number, _texts(row["turns"], "turns"), question_id=number if question is None else question)
    if row.get("instruction") is not None:
        [instruction] = _texts([row["instruction"]], "instruction")
        given = row.get("input")
        text = f"{instruction}\n\n{given}" if isinstance(given, str) and given.strip() else instruction
        dataset = row.get("dataset")
        return Prompt(number, (text,), dataset=dataset if isinstance(dataset, str) else None)
    prompt = row.get("prompt")
    if prompt is None:
        raise BadRow("missing_column", f"neither instruction, turns nor prompt, but {', '.join(map(str, row))}")
    if isinstance(prompt, list) and all(isinstance(turn, dict) for turn in prompt):
        return _of_messages(number, prompt)
    turns = _texts(prompt if isinstance(prompt, list) else [prompt], "prompt")
    return Prompt(number, turns, question_id=number if isinstance(prompt, list) else None)


def _of_messages(number: int, messages: list[dict[str, Any]]) -> Prompt:
    roles = [message.get("role") for message in messages]
    if roles not in (["user"], ["system", "user"]):
        raise BadRow("unknown_role", f"a prompt of messages is (system and) user, not {', '.join(map(str, roles))}")
    *system, user = _texts([message.get("content") for message in messages], "content")
    return Prompt(number, (user,), system=system[0] if system else None)


def _texts(values: object, name: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not values:
        raise BadRow("wrong_type", f"{name} is not a list of texts")
    for value in values:
        if not isinstance(value, str):
            raise BadRow("wrong_type", f"{name} holds a {type(value).__name__}, not a text")
        if not value.strip():
            raise BadRow("empty_prompt", f"{name} holds an empty text")
    return tuple(values)
