"""Benchmark files: prompts of AlpacaEval, of MT-Bench or plain ones, and answers in the files that these two read.

alpaca_eval/NAME.json                a list of {instruction, output, generator}, `alpaca_eval --model_outputs FILE`
mt_bench/model_answer/NAME.jsonl     a line a question, to be put into FastChat's data/mt_bench/model_answer/
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sepo_data.errors import SepoError
from sepo_data.readers.source import open_source
from sepo_data.shapes.pairs import SkippedRow
from sepo_data.shapes.skip_reasons import SkipRow
from sepo_data.storage.atomic import write_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from sepo_data.shapes.pairs import Message


ALPACA_EVAL = "alpaca_eval"
MT_BENCH = "mt_bench"


@dataclass(frozen=True, slots=True)
class Prompt:
    """The user's text, in one turn or several; the model answers each before it gets the next.

    Attributes:
        row: number in the file, from 0.
        turns: the user's messages.
        system: the system message before them.
        question_id: of MT-Bench; None for a prompt that is answered in AlpacaEval's format.
        dataset: of AlpacaEval: the source of the instruction.
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


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers to one prompt.

    Attributes:
        turns: a text for each turn; empty where the context had no room left.
        tokens: how many tokens each has.
        ended: whether the model ended each with an end-of-turn token.
    """

    turns: tuple[str, ...] = ()
    tokens: tuple[int, ...] = ()
    ended: tuple[bool, ...] = ()


def read_prompts(name: str) -> tuple[list[Prompt], list[SkippedRow]]:
    """The prompts of a file, and the skipped rows.

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
        except SkipRow as bad:
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
            raise SkipRow("wrong_type", f"question_id is a {type(question).__name__}")
        return Prompt(number, _texts(row["turns"], "turns"), question_id=number if question is None else question)
    if row.get("instruction") is not None:
        [instruction] = _texts([row["instruction"]], "instruction")
        given = row.get("input")
        text = f"{instruction}\n\n{given}" if isinstance(given, str) and given.strip() else instruction
        dataset = row.get("dataset")
        return Prompt(number, (text,), dataset=dataset if isinstance(dataset, str) else None)
    prompt = row.get("prompt")
    if prompt is None:
        raise SkipRow("missing_column", f"neither instruction, turns nor prompt, but {', '.join(map(str, row))}")
    if isinstance(prompt, list) and all(isinstance(turn, dict) for turn in prompt):
        return _of_messages(number, prompt)
    turns = _texts(prompt if isinstance(prompt, list) else [prompt], "prompt")
    return Prompt(number, turns, question_id=number if isinstance(prompt, list) else None)


def _of_messages(number: int, messages: list[dict[str, Any]]) -> Prompt:
    roles = [message.get("role") for message in messages]
    if roles not in (["user"], ["system", "user"]):
        raise SkipRow("unknown_role", f"a prompt of messages is (system and) user, not {', '.join(map(str, roles))}")
    *system, user = _texts([message.get("content") for message in messages], "content")
    return Prompt(number, (user,), system=system[0] if system else None)


def _texts(values: object, name: str) -> tuple[str, ...]:
    if not isinstance(values, list) or not values:
        raise SkipRow("wrong_type", f"{name} is not a list of texts")
    for value in values:
        if not isinstance(value, str):
            raise SkipRow("wrong_type", f"{name} holds a {type(value).__name__}, not a text")
        if not value.strip():
            raise SkipRow("empty_prompt", f"{name} holds an empty text")
    return tuple(values)


def write_answers(out: Path, model: str, prompts: Sequence[Prompt], answers: Sequence[Answers]) -> list[str]:
    """Write the answers of `model`: conversations with a `question_id` for MT-Bench, all others for AlpacaEval.

    Returns:
        The files.
    """
    both = list(zip(prompts, answers, strict=True))
    questions = [(prompt, answer) for prompt, answer in both if prompt.question_id is not None]
    instructions = [(prompt, answer) for prompt, answer in both if prompt.question_id is None]
    files = []
    if instructions:
        records = [_alpaca_eval(prompt, answer, model) for prompt, answer in instructions]
        files.append((out / ALPACA_EVAL / f"{model}.json", json.dumps(records, indent=2, ensure_ascii=False) + "\n"))
    if questions:
        lines = [json.dumps(_mt_bench(*question, model), ensure_ascii=False) + "\n" for question in questions]
        files.append((out / MT_BENCH / "model_answer" / f"{model}.jsonl", "".join(lines)))
    for file, text in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text(file, text)
    return [str(file) for file, _ in files]


def _alpaca_eval(prompt: Prompt, answer: Answers, model: str) -> dict[str, str]:
    dataset = {} if prompt.dataset is None else {"dataset": prompt.dataset}
    return {**dataset, "instruction": prompt.turns[0], "output": answer.turns[0], "generator": model}


def _mt_bench(prompt: Prompt, answer: Answers, model: str) -> dict[str, object]:
    content = json.dumps([prompt.question_id, model, answer.turns])
    return {
        "question_id": prompt.question_id,
        "answer_id": hashlib.sha256(content.encode()).hexdigest()[:22],
        "model_id": model,
        "choices": [{"index": 0, "turns": list(answer.turns)}],
        "tstamp": time.time(),
    }


def file_names(names: Sequence[str]) -> list[str]:
    """Names of models in files: the last part of each name, or as many parts as make them differ."""
    parts = [[part for part in name.replace("\\", "/").split("/") if part not in {"", ".", ".."}] for name in names]
    for kept in range(1, max(map(len, parts), default=1) + 1):
        short = ["__".join(part[-kept:]).removesuffix(".gguf") or "model" for part in parts]
        if len(set(short)) == len(short):
            return short
    return [f"{name}-{number}" for number, name in enumerate(short, start=1)]
