"""Answers in the files that AlpacaEval and MT-Bench read.

alpaca_eval/NAME.json                a list of {instruction, output, generator}, `alpaca_eval --model_outputs FILE`
mt_bench/model_answer/NAME.jsonl     a line a question, to be put into FastChat's data/mt_bench/model_answer/
"""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING

from sepo_data.storage.atomic import write_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sepo_train.evaluation.benchmark_prompts import Prompt
    from sepo_train.evaluation.conversations import Answers

ALPACA_EVAL = "alpaca_eval"
MT_BENCH = "mt_bench"


def write_answers(out: Path, model: str, prompts: Sequence[Prompt], answers: Sequence[Answers]) -> list[str]:
    """Write what `model` answered: conversations with a `question_id` for MT-Bench, all others for AlpacaEval.

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
    """What models are called in files: the last part of each name, or as much of it as tells them apart."""
    parts = [[part for part in name.replace("\\", "/").split("/") if part not in {"", ".", ".."}] for name in names]
    for kept in range(1, max(map(len, parts), default=1) + 1):
        short = ["__".join(part[-kept:]).removesuffix(".gguf") or "model" for part in parts]
        if len(set(short)) == len(short):
            return short
    return [f"{name}-{number}" for number, name in enumerate(short, start=1)]
