"""Train the oracle: DPO from the reference model on a random part of the data, the first step of SePO."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING

import numpy as np

from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import SepoError
from sepo_data.preferences.holdout import HOLDOUT, SPLIT
from sepo_data.preferences.reading import Reading, as_reading
from sepo_data.preferences.skipped import OnBadRow, judge, skipped_lines
from sepo_data.schemas.manifest import Manifest
from sepo_data.schemas.stages import Stage
from sepo_data.selection.share import WHOLE, format_share, quota
from sepo_data.stages.directory import SKIPPED, find_run
from sepo_data.stages.seen_pairs import write_seen_pairs
from sepo_data.stages.versions import versions
from sepo_data.storage.atomic import write_text
from sepo_train.engine.layout import Tree
from sepo_train.models.dataset import prepare
from sepo_train.models.load import model_record, tokenizer_record
from sepo_train.training.objectives import objective
from sepo_train.training.pair_trainer import TrainingPair
from sepo_train.training.processes import choose_engine_together, is_main_process, working_together
from sepo_train.training.reference import computed_ref_logps
from sepo_train.training.run import Training, finish, fit, in_training_dtype, save, trainable_model

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import JsonValue

    from sepo_data.shapes.pairs import SkippedRow
    from sepo_data.tokenization.tokenize import TokenizedPair, Truncate
    from sepo_train.models.dataset import Prepared


def train_oracle(
    dataset: str | Reading,
    out: Path,
    *,
    ref: str,
    fraction: int = WHOLE,
    beta: float = 0.1,
    training: Training,
    max_length: int | None = None,
    truncate: Truncate | None = None,
    chat_template: Path | None = None,
    on_bad_row: OnBadRow = "skip",
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """Train an oracle with DPO from `ref` on a random `fraction` (basis points) of the rows of `dataset`.

    The checkpoint in `out` is a plain transformers one; `seen_pairs.jsonl` beside it records the pairs used, so that
    scoring can mark them, and `skipped.jsonl` the rows that could not be. Pairs that a `Reading` with `holdout` keeps
    out are not used. The reference's log-probabilities are computed once, before training.

    Raises:
        SepoError: the dataset or the model cannot be used, a row is bad and `on_bad_row` is "fail", or the loss is not
            finite.
        RefusedError: `out` holds something else.
    """
    started = time.monotonic()
    reading = as_reading(dataset).in_any_order()  # training has an order of its own
    prepared = prepare(
        reading,
        ref,
        max_length=max_length,
        truncate=truncate,
        chat_template=chat_template,
        progress=progress,
    )
    plan = Manifest(
        stage=Stage.ORACLE,
        input=prepared.input,
        models={"ref": model_record(ref)},
        tokenizer=tokenizer_record(prepared.tokenizer),
        options={
            "beta": beta,
            "fraction": format_share(fraction),
            "max_length": prepared.max_length,
            "truncate": truncate,
            **reading.plan(),
            **training.plan(),
        },
        settings=training.settings(),
        versions=versions(),
    )
    if (previous := find_run(out, plan, overwrite=overwrite)) and previous.finished:
        progress.note(f"{out} is whole already, nothing to do")
        return previous

    pairs, skipped = random_pairs(prepared, fraction, training.seed)
    judge(skipped, on_bad_row)
    progress.note(f"training on {len(pairs):,} pairs ({format_share(fraction)} of the rows, seed {training.seed})")
    model = trainable_model(ref, training)
    trees = [Tree(item.prompt_ids, (item.chosen_ids, item.rejected_ids)) for item in pairs]
    engine = choose_engine_together(model, trees)
    progress.note(f"{engine.path}; reference log-probabilities of {len(pairs):,} pairs")
    with in_training_dtype(model, training):
        ref_logps = computed_ref_logps(model, trees, engine).tolist()
    rows = [
        TrainingPair(item.pair.pair_id, tree, (chosen, rejected))
        for item, tree, (chosen, rejected) in zip(pairs, trees, ref_logps, strict=True)
    ]
    with working_together(out, plan, overwrite=overwrite) as manifest:
        history, weights = fit(
            model,
            rows,
            lengths=[engine.length(tree) for tree in trees],
            objective=objective("dpo", beta=beta),
            engine=engine,
            training=training,
            out=out,
            resume=resume,
            progress=progress,
        )
        save(model, prepared.tokenizer, out, weights=weights, merge_lora=training.merge_lora)
        if is_main_process():
            write_seen_pairs(out, (item.pair for item in pairs))
            write_text(out / SKIPPED, skipped_lines(map(asdict, skipped)))
        results: dict[str, JsonValue] = {
            "pairs_seen": len(pairs),
            "skipped": dict(sorted(Counter(row.reason for row in skipped).items())),
            "path": engine.path,
            "first_loss": history[0]["loss"],
            "last_loss": history[-1]["loss"],
            "last_accuracy": history[-1]["rewards/accuracies"],
        }
        return finish(manifest, out, started=started, results=results, progress=progress)


def random_pairs(prepared: Prepared, fraction: int, seed: int) -> tuple[list[TokenizedPair], list[SkippedRow]]:
    """The usable pairs among a random `fraction` (basis points) of the input rows, and those of the rows set aside.

    In input order, without the pairs that are held out.
    """
    preferences = prepared.preferences
    chosen = np.random.default_rng(seed).permutation(preferences.rows)[: quota(preferences.rows, fraction)]
    pairs, skipped = prepared.all_pairs(only=preferences.row_numbers(chosen))
    train = [item for item in pairs if item.pair.extra.get(SPLIT) != HOLDOUT]
    if not train:
        raise SepoError(f"all {len(pairs):,} pairs of this --fraction are held out", "choose a larger --fraction")
    return train, skipped
