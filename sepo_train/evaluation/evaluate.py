"""Evaluate a model on holdout pairs, beside another one, and on prompts that both answer: the effect of training."""

from __future__ import annotations

import json
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from accelerate.utils.memory import clear_device_cache

from sepo_data.checked import at_least, checked, path_text
from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import SepoError
from sepo_data.preferences.reading import Reading, as_reading
from sepo_data.preferences.skipped import TruncateOrNone
from sepo_data.stages.versions import installed_versions
from sepo_data.storage.atomic import write_text
from sepo_data.storage.location import local_folder, public_name
from sepo_data.tokenization.template_date import OPTION, today
from sepo_train.engine.generate import Generation
from sepo_train.evaluation.benchmarks import file_names, read_prompts, write_answers
from sepo_train.evaluation.compare import compare_answers, compare_on_pairs, judge_answers
from sepo_train.evaluation.evaluation_folder import EVALUATION, emptied, evaluation_folder, refuse_existing
from sepo_train.evaluation.from_training import date_of_training, note_exchanged
from sepo_train.evaluation.holdout_pairs import read_holdout_pairs
from sepo_train.evaluation.judge import open_judge
from sepo_train.evaluation.model_outputs import ModelOutputs, collect_outputs
from sepo_train.models.device import Dtype, default_dtype
from sepo_train.models.load import model_record
from sepo_train.models.remote_code import trust_record
from sepo_train.models.tokenizers import check_same_vocabulary, load_tokenizer

if TYPE_CHECKING:
    from pathlib import Path


@checked(kl_samples=at_least(0), dtype=Dtype, max_length=at_least(2), truncate=TruncateOrNone)
def evaluate(
    model: str | Path,
    data: str | Path | Reading,
    *,
    against: str | Path | None = None,
    generate_from: str | Path | None = None,
    judge: str | Path | None = None,
    out: str | Path | None = None,
    kl_samples: int = 64,
    generation: Generation | None = None,
    dtype: Dtype | None = None,
    max_length: int | None = None,
    truncate: TruncateOrNone | None = None,
    chat_template: str | Path | None = None,
    template_date: str | None = None,
    overwrite: bool = False,
    verify: bool = True,
    trust_remote_code: bool = False,
    progress: Progress = SILENT,
) -> dict[str, Any]:
    """Measure `model`, and where one is named the model `against` it, one after the other in memory.

    Args:
        model: the model that is evaluated.
        data: preference data, or a directory of rewards or a selection; see `read_holdout_pairs`.
        against: the model to compare it with, such as the one it was trained from; of the same vocabulary.
        generate_from: a file of prompts that both answer; see `read_prompts`. Needs `out`.
        judge: the judge of these answers; see `open_judge`. Needs `against` and `generate_from`.
        out: a new directory for `evaluation.json` and the answers.
        kl_samples: prompts of the data to which `model` samples an answer, from which its KL divergence is estimated.
        generation: length, temperature and seed of answers; those for the divergence have temperature 1 in any case.
        dtype: number type of the weights; fp32 on CPUs, bf16 elsewhere.
        max_length: as in `open_tokenized`, like the next two; by default as in the training of `model`.
        truncate: as there, or "none"; by default as in the training of `model`.
        chat_template: as there; both models answer through it, too.
        template_date: day, as YYYY-MM-DD, that all chat templates take for today; by default that of the training of
            `model`, or else the day it is.
        overwrite: replace another evaluation in `out`.
        verify: of a stage directory, compare the hash of each shard with the manifest.
        trust_remote_code: run the code that comes with a model, the judge or their tokenizers.
        progress: receives decisions and steps.

    Returns:
        The content of `evaluation.json`, which `sepo evaluate --json` prints.

    Raises:
        SepoError: something named here cannot be used, or the models have different vocabularies.
        RefusedError: `out` holds something already.
    """
    started, generation, dtype = time.monotonic(), generation or Generation(), dtype or default_dtype()
    names = {role: path_text(name) for role, name in (("model", model), ("against", against)) if name is not None}
    generate_from, judge = (name if name is None else path_text(name) for name in (generate_from, judge))
    out = None if out is None else local_folder(out)
    _check_request(names, generate_from, judge, out, overwrite=overwrite, trust_remote_code=trust_remote_code)
    template_date = template_date or date_of_training(names["model"]) or today()
    rendering: dict[str, Any] = {"template_date": template_date, "trust_remote_code": trust_remote_code}
    opened_judge = open_judge(judge, **rendering) if judge else None
    rendering |= {"chat_template": chat_template, "progress": progress}
    prompts, unusable = read_prompts(generate_from) if generate_from else ([], [])
    records = _records(names, trust_remote_code=trust_remote_code)
    note_exchanged(names, {role: record["weights"] for role, record in records["models"].items()}, progress)
    limits: dict[str, Any] = {"max_length": max_length, "truncate": truncate}
    pairs = read_holdout_pairs(as_reading(data), list(names.values()), verify=verify, **limits, **rendering)
    progress.note(f"{len(pairs.trees):,} pairs of {pairs.name} ({pairs.which}), {dtype}")

    with evaluation_folder(out, overwrite=overwrite):
        outputs, files = dict[str, ModelOutputs](), list[str]()
        for (role, name), file_name in zip(names.items(), file_names(list(names.values())), strict=True):
            outputs[role] = collect_outputs(
                name,
                pairs.trees,
                prompts,
                generation,
                samples=outputs["model"].samples if outputs else kl_samples * (len(names) - 1),
                dtype=dtype,
                **rendering,
            )
            clear_device_cache(garbage_collection=True)
            if out is not None:
                answers = outputs[role].answers
                files += write_answers(emptied(out) if role == "model" else out, file_name, prompts, answers)

        found: dict[str, Any] = names | pairs.record(names) | compare_on_pairs(outputs, pairs.trees, generation)
        if prompts:
            read = {"file": public_name(generate_from or ""), "skipped": list(map(asdict, unusable)), "written": files}
            found["answers"] = read | compare_answers(outputs, prompts, generation)
        found |= {"layouts": {role: each.layout for role, each in outputs.items()}, "dtype": dtype}
        found |= records | ({OPTION: template_date} if any(each.dated for each in outputs.values()) else {})
        found["versions"] = installed_versions()
        try:
            if opened_judge is not None:
                progress.note(f"{judge} judges the answers")
                found["judge"] = {"name": judge, **judge_answers(opened_judge, prompts, outputs, generation.seed)}
        finally:  # a judge may be the user's code, and fail; a kill leaves no evaluation without its judge
            _write(found, out, started)
    return found


def _check_request(
    names: dict[str, str],
    generate_from: str | None,
    judge: str | None,
    out: Path | None,
    *,
    overwrite: bool,
    trust_remote_code: bool,
) -> None:
    """Raise for requests that would fail, before anything is read."""
    if judge and (len(names) == 1 or not generate_from):
        raise SepoError("a judge compares the answers of two models", "add --against MODEL and --generate PROMPTS")
    if generate_from and out is None:
        raise SepoError("the answers to --generate are written to files", "add --out DIR")
    if out is not None:
        refuse_existing(out, overwrite=overwrite)
    if len(names) > 1:
        first, second = (load_tokenizer(name, trust_remote_code=trust_remote_code) for name in names.values())
        check_same_vocabulary(first, second, roles=("the model", "the one against it"))


def _records(names: dict[str, str], *, trust_remote_code: bool) -> dict[str, Any]:
    """The identity of each model, and whether its code was allowed to run."""
    models = {role: model_record(name, trust_remote_code=trust_remote_code) for role, name in names.items()}
    found = {role: record.model_dump() for role, record in models.items()}
    return {"models": found, **trust_record(trust_remote_code=trust_remote_code)}


def _write(found: dict[str, Any], out: Path | None, started: float) -> None:
    found["seconds"] = round(time.monotonic() - started, 3)
    if out is not None:
        write_text(out / EVALUATION, json.dumps(found, indent=2) + "\n")
