"""Train a policy on the selected tokens alone: the last step of SePO."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import SepoError
from sepo_data.schemas.manifest import InputRecord, Manifest
from sepo_data.schemas.stages import Stage
from sepo_data.selection.share import format_share
from sepo_data.stages.directory import TOKENIZER, find_run, read_stage
from sepo_data.stages.versions import versions
from sepo_train.engine.choose import CHECKED_PAIRS, NO_LIMIT
from sepo_train.engine.generate import end_ids
from sepo_train.models.load import (
    check_same_vocabulary,
    context_length,
    load_config,
    load_tokenizer,
    model_record,
    template_difference,
    tokenizer_record,
)
from sepo_train.training.drift import Probe
from sepo_train.training.eval_metrics import held_out_metrics
from sepo_train.training.objectives import objective as make_objective
from sepo_train.training.processes import choose_engine_together, working_together
from sepo_train.training.reference import POLICY, STORED, computed_ref_logps, find_rewards, stored_ref_logps
from sepo_train.training.run import Training, finish, fit, in_training_dtype, save, trainable_model
from sepo_train.training.selected_pairs import SelectedPairs, is_conversational

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import JsonValue
    from transformers import PreTrainedModel

    from sepo_train.training.objectives import Objective


def train(
    selection: Path,
    out: Path,
    *,
    policy: str,
    training: Training,
    objective: Objective | None = None,
    ref_logps: str = POLICY,
    holdout: int = 0,
    limit: int | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """Train `policy` on the selected tokens of a selection dataset.

    Args:
        selection: a selection dataset; self-contained, the preference data is not needed.
        out: the directory of the new checkpoint.
        policy: the model to start from; its vocabulary has to be the selection's.
        training: how to train.
        objective: what is minimised; SePO's loss by default.
        ref_logps: where a loss with a reference gets its log-probabilities: "policy", from the policy as it starts;
            "stored", from the rewards that the selection was made from, where `sepo score` wrote its reference's; or
            the directory of these rewards.
        holdout: share of the prompts (basis points) kept out of training and measured before, during and after it;
            where the selection has a column `split` of train and holdout, that decides.
        limit: use only so many pairs.
        overwrite: replace another run in `out`.
        resume: go on from the last checkpoint in `out`.
        progress: told what was decided and how far it is.

    Raises:
        SepoError: the selection or the policy cannot be used, or the loss is not finite.
        RefusedError: `out` holds something else.
    """
    started = time.monotonic()
    objective = objective or make_objective("sepo")
    parent = read_stage(selection, Stage.SELECTION)
    tokenizer = load_tokenizer(policy)
    rendered_by = load_tokenizer(str(selection / TOKENIZER))
    check_same_vocabulary(tokenizer, rendered_by, roles=("policy", "selection"))
    if is_conversational(selection) and (difference := template_difference(tokenizer, rendered_by)):
        progress.note(
            f"the chat template of {policy} renders {difference} of the selection; the policy learns from the "
            "selection's prompts, and is saved with the selection's template"
        )
        tokenizer.chat_template = rendered_by.chat_template
    if ref_logps != POLICY and not objective.needs_reference:
        raise SepoError(f"--loss {objective.name} compares with no reference", "leave out --ref-logps")
    rewards = find_rewards(selection, parent, ref_logps) if objective.needs_reference and ref_logps != POLICY else None
    plan = Manifest(
        stage=Stage.POLICY,
        input=InputRecord(name=str(selection), fingerprint=parent.fingerprint, rows=parent.rows),
        models={"policy": model_record(policy)},
        tokenizer=tokenizer_record(tokenizer),
        options={
            "loss": objective.name,
            **objective.parameters,
            **({"ref_logps": STORED if rewards else POLICY} if objective.needs_reference else {}),
            "holdout": format_share(holdout),
            "limit": limit,
            **training.plan(),
        },
        settings=training.settings(),
        parent=parent.fingerprint,
        versions=versions(),
    )
    if (previous := find_run(out, plan, overwrite=overwrite)) and previous.finished:
        progress.note(f"{out} is whole already, nothing to do")
        return previous

    pairs = SelectedPairs.open(selection, limit=limit)
    _check_fit(pairs, selection, policy)
    if pairs.have_sides and holdout:
        raise SepoError(f"the column split of {selection} says what is held out", "leave out --holdout")
    seen, held_out = pairs.by_column() if pairs.have_sides else pairs.split(holdout)
    if not seen:
        kept = "raise --limit" if pairs.have_sides else "lower --holdout"
        raise SepoError(f"{selection} leaves no pair to train on", f"{kept}, or score more pairs")
    if training.eval_steps and not held_out:
        raise SepoError("--eval-steps has no held-out pairs to look at", "hold some out with --holdout 5%")
    progress.note(f"training on {len(seen):,} pairs, {len(held_out):,} held out")
    model = trainable_model(policy, training)
    checked = [seen[index].tree for index in range(min(CHECKED_PAIRS, len(seen)))]
    engine = choose_engine_together(model, checked)
    progress.note(engine.path)
    ends = end_ids(model, tokenizer.eos_token_id)
    with in_training_dtype(model, training):
        if objective.needs_reference:
            if rewards is None:
                progress.note(f"reference log-probabilities of {len(pairs):,} pairs from the policy as it starts")
            else:
                scored_with = read_stage(rewards, Stage.REWARDS).models["ref"].name
                progress.note(f"reference log-probabilities of {scored_with} from {rewards}")
            seen, held_out = (
                replace(
                    side,
                    ref_logps=stored_ref_logps(rewards, side)
                    if rewards
                    else computed_ref_logps(model, [pair.tree for pair in side], engine),
                )
                for side in (seen, held_out)
            )
        prompts = held_out.prompts
        probe = Probe.start(model, prompts, eos_ids=ends, seed=training.seed, engine=engine) if prompts else None

    def look(model: PreTrainedModel) -> dict[str, float]:
        with in_training_dtype(model, training):
            return held_out_metrics(model, held_out, engine, objective) | (probe.metrics(model) if probe else {})

    with working_together(out, plan, overwrite=overwrite) as manifest:
        history, weights = fit(
            model,
            seen,
            lengths=seen.lengths if engine.shared_limit == NO_LIMIT else [engine.length(pair.tree) for pair in seen],
            objective=objective,
            engine=engine,
            training=training,
            out=out,
            resume=resume,
            progress=progress,
            held_out=look if held_out else None,
        )
        save(model, tokenizer, out, weights=weights, merge_lora=training.merge_lora)
        losses, looks = ([entry for entry in history if name in entry] for name in ("loss", "eval_loss"))
        results: dict[str, JsonValue] = {
            "pairs": len(seen),
            "path": engine.path,
            "first_loss": losses[0]["loss"],
            "last_loss": losses[-1]["loss"],
            **({"held_out": {"before": _found(looks[0]), "after": _found(looks[-1])}} if looks else {}),
        }
        return finish(manifest, out, started=started, results=results, progress=progress)


def _found(look: dict[str, float]) -> dict[str, JsonValue]:
    return {name.removeprefix("eval_"): value for name, value in look.items() if name.startswith("eval_")}


def _check_fit(pairs: SelectedPairs, selection: Path, policy: str) -> None:
    """Raise where a row has more tokens, or a token a higher id, than `policy` can take."""
    if not pairs:
        raise SepoError(f"{selection} has no pairs", "`sepo info` tells what was set aside when it was scored")
    config = load_config(policy).get_text_config()
    context = context_length(config)
    if context is not None and pairs.longest > context:
        raise SepoError(
            f"{selection} has rows of {pairs.longest} tokens, which exceed the context of {policy}, {context}",
            f"score with --max-length {context}",
        )
    if pairs.highest_id >= config.vocab_size:
        raise SepoError(
            f"{selection} has the token id {pairs.highest_id}, but {policy} embeds only {config.vocab_size:,} tokens",
            "the tokenizer was extended, the model was not: resize_token_embeddings(len(tokenizer)) and save it",
        )
