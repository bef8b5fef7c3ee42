"""Measure a model on held-out pairs, beside another one, and let both answer prompts: what training has changed."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from accelerate.utils.memory import clear_device_cache

from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import RefusedError, SepoError
from sepo_data.preferences.reading import Reading, as_reading
from sepo_data.stages.versions import versions
from sepo_data.storage.atomic import write_text
from sepo_data.storage.location import public_name, remove_tree
from sepo_train.engine.generate import Generation
from sepo_train.evaluation.benchmark_answers import ALPACA_EVAL, MT_BENCH, file_names, write_answers
from sepo_train.evaluation.benchmark_prompts import read_prompts
from sepo_train.evaluation.compare import compare_answers, compare_on_pairs, judge_answers
from sepo_train.evaluation.holdout_pairs import held_out_pairs
from sepo_train.evaluation.judge import open_judge
from sepo_train.evaluation.model_outputs import Measured, measure
from sepo_train.models.load import check_same_vocabulary, default_dtype, load_tokenizer, model_record

if TYPE_CHECKING:
    from pathlib import Path

    from sepo_data.tokenization.tokenize import Truncate

EVALUATION = "evaluation.json"


def evaluate(
    model: str,
    data: str | Reading,
    *,
    against: str | None = None,
    generate_from: str | None = None,
    judge: str | None = None,
    out: Path | None = None,
    kl_samples: int = 64,
    generation: Generation | None = None,
    dtype: str | None = None,
    max_length: int | None = None,
    truncate: Truncate | None = None,
    chat_template: Path | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Measure `model`, and where one is named the model `against` it, one after the other in memory.

    Args:
        model: the model that is evaluated.
        data: preference data, or a directory of rewards or a selection; see `held_out_pairs`.
        against: what it is compared with, such as the model it was trained from; of the same vocabulary.
        generate_from: a file of prompts that both answer; see `read_prompts`. Needs `out`.
        judge: who compares these answers; see `open_judge`. Needs `against` and `generate_from`.
        out: a new directory for `evaluation.json` and the answers.
        kl_samples: prompts of the data to which `model` samples an answer, from which its KL divergence is estimated.
        generation: how answers are made; those for the divergence are sampled at temperature 1, whatever it says.
        dtype: of the weights; fp32 on CPUs, bf16 elsewhere.
        max_length: as in `prepare`, like the next two.
        truncate: as there.
        chat_template: as there; both models answer through it, too.
        overwrite: replace another evaluation in `out`.
        progress: told what was decided and how far it is.

    Returns:
        What `sepo evaluate --json` prints, and `evaluation.json` holds.

    Raises:
        SepoError: something named here cannot be used, or the models have different vocabularies.
        RefusedError: `out` holds something already.
    """
    started = time.monotonic()
    generation, dtype = generation or Generation(), dtype or default_dtype()
    names = {"model": model} if against is None else {"model": model, "against": against}
    _check_request(names, generate_from, judge, out, overwrite=overwrite)
    judged = open_judge(judge) if judge else None
    prompts, unusable = read_prompts(generate_from) if generate_from else ([], [])
    records = {role: model_record(name).model_dump() for role, name in names.items()}
    held_out = held_out_pairs(
        as_reading(data),
        list(names.values()),
        max_length=max_length,
        truncate=truncate,
        chat_template=chat_template,
        progress=progress,
    )
    progress.note(f"{len(held_out.trees):,} pairs of {held_out.name} ({held_out.which}), {dtype}")

    measured: dict[str, Measured] = {}
    files: list[str] = []
    for (role, name), short in zip(names.items(), file_names(list(names.values())), strict=True):
        measured[role] = measure(
            name,
            held_out.trees,
            prompts,
            generation,
            samples=measured["model"].samples if measured else kl_samples * (len(names) - 1),
            dtype=dtype,
            chat_template=chat_template,
            progress=progress,
        )
        clear_device_cache(garbage_collection=True)
        if out is not None:
            files += write_answers(_emptied(out) if role == "model" else out, short, prompts, measured[role].answers)

    found: dict[str, Any] = names | {
        "data": {"name": held_out.name, "which": held_out.which, "skipped": held_out.skipped},
        **compare_on_pairs(measured, held_out.trees, generation),
    }
    if prompts:
        asked = {"file": public_name(generate_from or ""), "skipped": list(map(asdict, unusable)), "written": files}
        found["answers"] = asked | compare_answers(measured, prompts, generation)
    found |= {
        "paths": {role: run.path for role, run in measured.items()},
        "dtype": dtype,
        "models": records,
        "versions": versions(),
    }
    _write(found, out, started)  # before the judge, who may be somebody else's code
    if judged is not None:
        progress.note(f"{judge} judges the answers")
        found["judge"] = {"name": judge, **judge_answers(judged, prompts, measured, generation.seed)}
        _write(found, out, started)
    return found


def _check_request(
    names: dict[str, str], generate_from: str | None, judge: str | None, out: Path | None, *, overwrite: bool
) -> None:
    """Raise for what can be known to fail before anything is read."""
    if judge and (len(names) == 1 or not generate_from):
        raise SepoError("a judge compares the answers of two models", "add --against MODEL and --generate PROMPTS")
    if generate_from and out is None:
        raise SepoError("the answers to --generate are written to files", "add --out DIR")
    if out is not None:
        _refuse_existing(out, overwrite=overwrite)
    if len(names) > 1:
        first, second = map(load_tokenizer, names.values())
        check_same_vocabulary(first, second, roles=("the model", "the one against it"))


def _refuse_existing(out: Path, *, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or any(entry.name not in {EVALUATION, ALPACA_EVAL, MT_BENCH} for entry in out.iterdir()):
        raise RefusedError(f"{out} holds something that is no evaluation", "choose another --out")
    if not overwrite:
        raise RefusedError(f"{out} holds an evaluation", "choose another --out, or replace it with --overwrite")


def _emptied(out: Path) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    for entry in out.iterdir():
        remove_tree(entry)
    return out


def _write(found: dict[str, Any], out: Path | None, started: float) -> None:
    found["seconds"] = round(time.monotonic() - started, 3)
    if out is not None:
        write_text(out / EVALUATION, json.dumps(found, indent=2) + "\n")
