"""Train a policy on the selected tokens alone: the last step of SePO."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sepo_data.checked import at_least, checked, path_text
from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import SepoError
from sepo_data.preferences.holdout import parse_holdout
from sepo_data.schemas.stages import Stage
from sepo_data.stages.directory import read_stage
from sepo_data.stages.runs import find_run
from sepo_data.stages.scan import fetched_stage
from sepo_data.stages.seen_pairs import write_trained_pairs
from sepo_data.stages.trained_models import note_oracle
from sepo_data.storage.location import local_folder
from sepo_train.engine.generate import end_ids
from sepo_train.engine.layout_policy import NO_LIMIT
from sepo_train.models.files import context_length, load_config
from sepo_train.models.tokenizers import (
    check_same_vocabulary,
    load_stage_tokenizer,
    load_tokenizer,
    template_difference,
)
from sepo_train.models.training_record import record_folder
from sepo_train.training.drift import PolicyDrift
from sepo_train.training.eval_metrics import evaluate_pairs
from sepo_train.training.objectives import objective as make_objective
from sepo_train.training.policy_plan import plan_training
from sepo_train.training.processes import agree_on_layout, telling_trees
from sepo_train.training.reference_logps import POLICY, computed_ref_logps, find_rewards, stored_ref_logps
from sepo_train.training.restore import restored
from sepo_train.training.run import run_training
from sepo_train.training.selected_pairs import SelectedPairs, is_conversational
from sepo_train.training.trainable_model import in_training_dtype, trainable_model

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic import JsonValue
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from sepo_data.preferences.holdout import HoldoutSize
    from sepo_data.schemas.manifest import Manifest
    from sepo_train.engine.layout_policy import LayoutPolicy
    from sepo_train.training.objectives import Objective
    from sepo_train.training.settings import Training


@checked(limit=at_least(1))
def train(
    selection: str | Path,
    out: str | Path,
    *,
    policy: str | Path,
    training: Training,
    objective: Objective | None = None,
    ref_logps: str | Path = POLICY,
    holdout: float | str | HoldoutSize = 0,
    limit: int | None = None,
    overwrite: bool = False,
    resume: bool = False,
    verify: bool = True,
    progress: Progress = SILENT,
) -> Manifest:
    """Train `policy` on the selected tokens of a selection dataset.

    Args:
        selection: a selection dataset; self-contained, the preference data is not needed.
        out: the directory of the new checkpoint.
        policy: the model to start from; its vocabulary has to be the selection's.
        training: the settings.
        objective: the loss to minimise; SePO's by default.
        ref_logps: source of the log-probabilities for a loss with a reference: "policy", the policy as it starts;
            "stored", the rewards that the selection was made from, where `sepo score` wrote its reference's; or the
            directory of these rewards.
        holdout: share of the prompts (`"5%"`, `0.05`) or number of pairs (`2000`) kept out of training, complete
            prompts only; evaluated before, during and after it. A column `split` of train and holdout in the selection
            decides instead.
        limit: use only so many pairs.
        overwrite: replace another run in `out`.
        resume: continue from the last checkpoint in `out`.
        verify: compare the hash of each shard with its manifest, once until the file changes.
        progress: receives decisions and metrics.

    Raises:
        SepoError: the selection or the policy cannot be used, or the loss is not finite.
        RefusedError: `out` holds something else.
    """
    started = time.monotonic()
    selection, out, policy = fetched_stage(selection), local_folder(out), path_text(policy)
    objective = objective or make_objective("sepo")
    ref_logps, size = path_text(ref_logps), holdout_size(holdout)
    tokenizer = policy_tokenizer(
        policy, selection, progress, verify=verify, trust_remote_code=training.trust_remote_code
    )
    rewards = find_rewards(selection, ref_logps, objective, verify=verify)
    plan = plan_training(
        selection, policy, objective, training, tokenizer=tokenizer, rewards=rewards, holdout=size, limit=limit
    )
    note_oracle(plan.models["policy"], read_stage(selection, Stage.SELECTION), progress)
    objective = replace(objective, starts_equal=starts_equal(objective, plan, rewards))
    if (previous := find_run(out, plan, overwrite=overwrite)) and previous.complete:
        return restored(out, previous, tokenizer, progress, trust_remote_code=training.trust_remote_code)

    pairs, held_out = split_pairs(selection, policy, training, holdout=size, limit=limit, verify=verify)
    progress.note(f"training on {len(pairs):,} pairs, {len(held_out):,} held out")
    model = trainable_model(policy, training, progress)
    layout_policy = agree_on_layout(model, telling_trees(pairs, held_out))
    progress.note(layout_policy.layout_name)
    ends = end_ids(model, tokenizer.eos_token_id)
    with in_training_dtype(model, training):
        if objective.needs_reference:
            pairs, held_out = with_ref_logps([pairs, held_out], model, rewards, layout_policy, progress, verify=verify)
        prompts = held_out.prompts
        drift = PolicyDrift.start(model, prompts, eos_ids=ends, seed=training.seed, layout_policy=layout_policy)

    def evaluate(model: PreTrainedModel) -> dict[str, float]:
        with in_training_dtype(model, training):
            return evaluate_pairs(model, held_out, layout_policy, objective) | drift.metrics(model)

    return run_training(
        model,
        tokenizer,
        pairs,
        out,
        plan=plan,
        lengths=pair_lengths(pairs, layout_policy),
        objective=objective,
        layout_policy=layout_policy,
        training=training,
        overwrite=overwrite,
        resume=resume,
        started=started,
        progress=progress,
        results=lambda logged: {"pairs": len(pairs), "layout": layout_policy.layout_name, **loss_results(logged)},
        evaluate=evaluate if held_out else None,
        write_records=lambda folder: write_trained_pairs(folder, pairs.ids, start=Path(record_folder(policy))),
    )


def starts_equal(objective: Objective, plan: Manifest, rewards: Path | None) -> bool:
    """True if the reference of the loss is the policy as it starts: by itself, or by its weights in `rewards`."""
    if rewards is None:
        return objective.needs_reference
    reference = read_stage(rewards, Stage.REWARDS).models.get("ref")
    return reference is not None and reference.weights == plan.models["policy"].weights


def holdout_size(holdout: float | str | HoldoutSize) -> HoldoutSize:
    """`parse_holdout`; raises `SepoError` for what is neither a share nor a number."""
    try:
        return parse_holdout(holdout)
    except ValueError as error:
        raise SepoError(f"holdout: {error}") from None


def policy_tokenizer(
    policy: str, selection: Path, progress: Progress, *, verify: bool = True, trust_remote_code: bool = False
) -> PreTrainedTokenizerBase:
    """The tokenizer of `policy`, with the chat template that rendered `selection`.

    Raises:
        SepoError: the two have different vocabularies.
    """
    read_stage(selection, Stage.SELECTION)
    conversational = is_conversational(selection, verify=verify)  # compares the files of the tokenizer as well
    tokenizer = load_tokenizer(policy, trust_remote_code=trust_remote_code)
    rendered_by = load_stage_tokenizer(selection)
    check_same_vocabulary(tokenizer, rendered_by, roles=("policy", "selection"))
    if conversational and (difference := template_difference(tokenizer, rendered_by)):
        progress.note(
            f"the chat template of {policy} renders {difference} of the selection; the policy learns from the "
            "selection's prompts, and is saved with the selection's template"
        )
        tokenizer.chat_template = rendered_by.chat_template
    return tokenizer


def split_pairs(
    selection: Path,
    policy: str,
    training: Training,
    *,
    holdout: HoldoutSize,
    limit: int | None,
    verify: bool = True,
) -> tuple[SelectedPairs, SelectedPairs]:
    """The pairs to train on and the holdout pairs.

    Raises:
        SepoError: `policy` cannot take the pairs, there is none to train on, or none to evaluate on though `holdout` or
            `training` asks for it.
    """
    pairs = SelectedPairs.open(selection, limit=limit, verify=verify)
    _check_fit(pairs, selection, policy, trust_remote_code=training.trust_remote_code)
    if pairs.have_sides and holdout:
        raise SepoError(f"the column split of {selection} decides what is held out", "leave out --holdout")
    train, held_out = pairs.by_column() if pairs.have_sides else pairs.split(holdout)
    if not train:
        kept = "raise --limit, or score without --keep-columns split" if pairs.have_sides else "lower --holdout"
        raise SepoError(f"{selection} leaves no pair to train on", f"{kept}, or score more pairs")
    if holdout and not held_out:
        raise SepoError(
            f"--holdout {holdout} holds out none of the {len(pairs):,} pairs: each prompt is drawn by itself",
            "choose a larger share, or a number of pairs",
        )
    if training.eval_steps and not held_out:
        raise SepoError("--eval-steps has no holdout pairs to evaluate", "hold some out with --holdout 5%")
    return train, held_out


def _check_fit(pairs: SelectedPairs, selection: Path, policy: str, *, trust_remote_code: bool) -> None:
    """Raise where a row has more tokens, or a token a higher id, than `policy` can take."""
    if not pairs:
        raise SepoError(f"{selection} has no pairs", "`sepo info` prints what was skipped when it was scored")
    config = load_config(policy, trust_remote_code=trust_remote_code).get_text_config()
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


def with_ref_logps(
    parts: Sequence[SelectedPairs],
    model: PreTrainedModel,
    rewards: Path | None,
    layout_policy: LayoutPolicy,
    progress: Progress,
    *,
    verify: bool = True,
) -> list[SelectedPairs]:
    """`parts` with the reference's log-probabilities: stored in `rewards`, or else of `model` as it is."""
    if rewards is not None:
        scored_with = read_stage(rewards, Stage.REWARDS).models["ref"].name
        progress.note(f"reference log-probabilities of {scored_with} from {rewards}")
        return [replace(part, ref_logps=stored_ref_logps(rewards, part, verify=verify)) for part in parts]
    count = sum(map(len, parts))
    progress.note(f"reference log-probabilities of {count:,} pairs from the policy as it starts")
    return [
        replace(part, ref_logps=computed_ref_logps(model, [pair.tree for pair in part], layout_policy))
        for part in parts
    ]


def pair_lengths(pairs: SelectedPairs, layout_policy: LayoutPolicy) -> list[int]:
    """Tokens of each pair's row in its layout; read from the columns where every pair shares its prompt."""
    if layout_policy.shared_limit == NO_LIMIT:
        return pairs.lengths
    return [layout_policy.length(pair.tree) for pair in pairs]


def loss_results(logged: Sequence[dict[str, float]]) -> dict[str, JsonValue]:
    """The first and the last loss, and the first and the last evaluation, of the metrics of a run."""
    losses, evaluations = ([entry for entry in logged if name in entry] for name in ("loss", "eval_loss"))
    results: dict[str, JsonValue] = {"first_loss": losses[0]["loss"], "last_loss": losses[-1]["loss"]}
    if evaluations:
        results["eval"] = {"before": _eval_values(evaluations[0]), "after": _eval_values(evaluations[-1])}
    return results


def _eval_values(logged: dict[str, float]) -> dict[str, JsonValue]:
    return {name.removeprefix("eval_"): value for name, value in logged.items() if name.startswith("eval_")}
