"""Train a policy on the selected tokens alone: the last step of SePO."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from schemas.errors import SepoError
from schemas.manifest import InputRecord, Manifest
from schemas.stages import Stage
from sepo_data.directory import TOKENIZER, find_run, read_stage
from sepo_data.progress import SILENT, Progress
from sepo_data.share import format_share
from sepo_data.versions import versions
from sepo_train.engine import choose_engine
from sepo_train.fit import Training, claim_together, finish, fit, save, trainable_model
from sepo_train.layout import Tree
from sepo_train.logps import default_batch_tokens, score_trees
from sepo_train.losses import sepo_loss
from sepo_train.models import (
    check_same_vocabulary,
    context_length,
    load_config,
    load_tokenizer,
    model_record,
    tokenizer_record,
)
from sepo_train.pair_trainer import PairLoss, Responses, TrainingPair
from sepo_train.selected_pairs import SelectedPairs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pydantic import JsonValue
    from torch import Tensor
    from transformers import PreTrainedModel

    from sepo_train.engine import Engine

CHECKED_PAIRS = 100
"""Pairs among which those are looked for that tell whether prompts may be shared."""


def train(
    selection: Path,
    out: Path,
    *,
    policy: str,
    training: Training,
    gamma: float = 2.0,
    target_margin: float = 0.0,
    holdout: int = 0,
    limit: int | None = None,
    overwrite: bool = False,
    resume: bool = False,
    progress: Progress = SILENT,
) -> Manifest:
    """Train `policy` with SePO's loss on the selected tokens of a selection dataset.

    Args:
        selection: a selection dataset; self-contained, the preference data is not needed.
        out: the directory of the new checkpoint.
        policy: the model to start from; its vocabulary has to be the selection's.
        training: how to train.
        gamma: scale of the implicit reward.
        target_margin: lambda of the loss.
        holdout: share of the prompts (basis points) kept out of training and measured before and after it; where the
            selection has a column `split` of train and holdout, that decides.
        limit: use only so many pairs.
        overwrite: replace another run in `out`.
        resume: go on from the last checkpoint in `out`.
        progress: told what was decided and how far it is.

    Raises:
        SepoError: the selection or the policy cannot be used, or the loss is not finite.
        RefusedError: `out` holds something else.
    """
    started = time.monotonic()
    parent = read_stage(selection, Stage.SELECTION)
    tokenizer = load_tokenizer(policy)
    check_same_vocabulary(tokenizer, load_tokenizer(str(selection / TOKENIZER)), roles=("policy", "selection"))
    plan = Manifest(
        stage=Stage.POLICY,
        input=InputRecord(name=str(selection), fingerprint=parent.fingerprint, rows=parent.rows),
        models={"policy": model_record(policy)},
        tokenizer=tokenizer_record(tokenizer),
        options={
            "loss": "sepo",
            "gamma": gamma,
            "target_margin": target_margin,
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
        raise SepoError(f"{selection} leaves no pair to train on", "lower --holdout, or score more pairs")
    progress.note(f"training on {len(seen):,} pairs, {len(held_out):,} held out")
    model = trainable_model(policy, training)
    checked = [seen[index].tree for index in range(min(CHECKED_PAIRS, len(seen)))]
    engine = choose_engine([model], checked, batch_tokens=default_batch_tokens())
    progress.note(engine.path)
    before = evaluate(model, held_out, engine)
    manifest = claim_together(out, plan, overwrite=overwrite)
    history = fit(
        model,
        seen,
        pair_loss=_sepo(gamma, target_margin),
        engine=engine,
        training=training,
        out=out,
        resume=resume,
        progress=progress,
    )
    after = evaluate(model, held_out, engine)
    save(model, tokenizer, out)
    results: dict[str, JsonValue] = {
        "pairs": len(seen),
        "path": engine.path,
        "first_loss": history[0]["loss"],
        "last_loss": history[-1]["loss"],
        **({"held_out": {"before": {**before}, "after": {**after}}} if held_out else {}),
    }
    return finish(manifest, out, started=started, results=results)


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


def evaluate(model: PreTrainedModel, pairs: Sequence[TrainingPair], engine: Engine) -> dict[str, float]:
    """How far `model` prefers the chosen responses of `pairs`, over all tokens and over the selected ones.

    Returns:
        `margin`: mean over pairs of the mean log-probability of the chosen tokens minus that of the rejected ones, in
        nats; `accuracy`: share of pairs in which it is above 0; `selected_margin`: `margin` over selected tokens alone.
    """
    if not pairs:
        return {}
    whole = [Tree(pair.tree.prompt_ids, pair.tree.responses) for pair in pairs]
    margins, selected = [], []
    for pair, logps in zip(pairs, score_trees(model, whole, engine, batch_tokens=default_batch_tokens()), strict=True):
        chosen, rejected = logps
        margins.append(float(chosen.mean() - rejected.mean()))
        wanted = [side[pair.tree.wanted(branch)].mean() for branch, side in enumerate(logps)]
        selected.append(float(wanted[0] - wanted[1]))
    return {
        "margin": round(sum(margins) / len(pairs), 4),
        "accuracy": round(sum(margin > 0 for margin in margins) / len(pairs), 4),
        "selected_margin": round(sum(selected) / len(pairs), 4),
    }


def _sepo(gamma: float, target_margin: float) -> PairLoss:
    def loss(logps: Responses) -> Tensor:
        return sepo_loss(logps.chosen_means, logps.rejected_means, gamma=gamma, target_margin=target_margin)

    def rewards(logps: Responses) -> tuple[Tensor, Tensor]:
        return gamma * logps.chosen_means, gamma * logps.rejected_means

    return PairLoss(loss, rewards)
