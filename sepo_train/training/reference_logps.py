"""The reference's log-probabilities for losses that compare with one: stored by `sepo score`, or computed once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate.utils import reduce

from sepo_data.errors import SepoError
from sepo_data.schemas.stages import SIDES, Stage
from sepo_data.stages.directory import read_stage
from sepo_data.stages.occurrences import Occurrences
from sepo_data.stages.shards import read_shards
from sepo_train.engine.logps import default_batch_tokens, score_trees
from sepo_train.engine.recheck import recheck_longest
from sepo_train.models.weight_changes import kept_weights
from sepo_train.training.processes import processes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray
    from transformers import PreTrainedModel

    from sepo_train.engine.layout import Tree
    from sepo_train.engine.layout_policy import LayoutPolicy
    from sepo_train.training.objectives import Objective
    from sepo_train.training.selected_pairs import SelectedPairs, TrainingPair

STORED, POLICY = "stored", "policy"
SELECT_AGAIN = "select the tokens again, or let the policy compute them with --ref-logps policy"


def find_rewards(selection: Path, ref_logps: str, objective: Objective, *, verify: bool = True) -> Path | None:
    """The rewards directory to read the reference's log-probabilities from; None where none is read.

    Args:
        selection: the selection dataset, whose manifest names the rewards it was selected from.
        ref_logps: "policy" for none, "stored" for the directory that the manifest names, or another path of it.
        objective: reads none where it needs no reference.
        verify: compare the hash of each shard with the manifest, once until the file changes.

    Raises:
        SepoError: the directory is gone, damaged or holds other rewards, or `objective` compares with no reference.
    """
    if ref_logps == POLICY:
        return None
    if not objective.needs_reference:
        raise SepoError(f"--loss {objective.name} compares with no reference", "leave out --ref-logps")
    manifest = read_stage(selection, Stage.SELECTION)
    named = Path(manifest.input.name)
    places = [named, selection.parent / named.name] if ref_logps == STORED else [Path(ref_logps)]
    found = next((place for place in places if place.is_dir()), None)
    if found is None:
        raise SepoError(
            f"no rewards with stored reference log-probabilities at {' or '.join(map(str, places))}",
            "name the directory with --ref-logps DIR, or let the policy compute them with --ref-logps policy",
        )
    rewards = read_stage(found, Stage.REWARDS)
    if rewards.fingerprint != manifest.parent:
        raise SepoError(
            f"{selection} was selected from other rewards than those in {found}",
            f"it was made from those with the fingerprint {manifest.parent}; `sepo info` prints it",
        )
    read_shards(found, rewards, verify=verify)  # before a model is loaded
    return found


def stored_ref_logps(rewards: Path, pairs: SelectedPairs, *, verify: bool = True) -> NDArray[np.float32]:
    """(pairs, 2) weighted sums over the selected tokens, from the reference log-probabilities in `rewards`.

    The rows are joined by pair_id and occurrence, so that each copy of a pair gets its own.

    Raises:
        SepoError: a file of `rewards` is not what its manifest says, or a pair is not there with the same tokens.
    """
    missing = {key: row for row, key in enumerate(pairs.keys)}
    found = np.zeros((len(pairs), len(SIDES)), np.float32)
    occurrences = Occurrences()
    for shard in read_shards(rewards, read_stage(rewards, Stage.REWARDS), verify=verify):
        table = shard.table(["pair_id", *(f"{side}_{name}" for side in SIDES for name in ("ids", "ref_logps"))])
        for batch in table.to_batches():
            ids = batch.column("pair_id").to_pylist()
            for at, key in enumerate(zip(ids, occurrences.count(ids), strict=True)):
                if (row := missing.pop(key, None)) is not None:
                    found[row] = _stored_sums(batch.slice(at, 1), pairs[row], rewards)
    for pair_id, _ in missing:
        raise SepoError(f"{rewards} has no pair {pair_id}, which the selection has", SELECT_AGAIN)
    return found


def _stored_sums(row: pa.RecordBatch, pair: TrainingPair, rewards: Path) -> tuple[float, float]:
    """The weighted sums of one pair, from its row in `rewards`; raises where its tokens are others there."""

    def values(name: str) -> NDArray[np.float32]:
        stored: NDArray[np.float32] = row.column(name)[0].values.to_numpy(zero_copy_only=False)
        return stored

    sums = []
    for side, name in enumerate(SIDES):
        if not np.array_equal(values(f"{name}_ids"), pair.tree.responses[side]):
            raise SepoError(f"pair {pair.pair_id} has other {name} tokens in {rewards}", SELECT_AGAIN)
        logps = values(f"{name}_ref_logps")[pair.tree.target_positions(side)]
        sums.append(weighted_sum(logps, pair.tree, side))
    chosen, rejected = sums
    return chosen, rejected


def computed_ref_logps(
    model: PreTrainedModel, trees: Sequence[Tree], layout_policy: LayoutPolicy
) -> NDArray[np.float32]:
    """(trees, 2) weighted sums over the selected tokens under `model` as it is.

    Each of several processes, all with the full model, computes a part; all parts are then exchanged.

    Raises:
        SepoError: the longest row has others where each response is scored by itself, or `model` changes its weights.
    """
    state = processes()
    mine = range(state.process_index, len(trees), state.num_processes)
    own = [trees[index] for index in mine]
    with kept_weights(model):
        scores = score_trees(model, own, layout_policy, batch_tokens=default_batch_tokens())
        recheck_longest(model, own, scores, layout_policy, name=lambda place: f"pair {mine[place]}")
    sums = torch.zeros(len(trees), 2)
    for index, responses in zip(mine, scores, strict=True):
        for side, logps in enumerate(responses):
            sums[index, side] = weighted_sum(logps.numpy(), trees[index], side)
    found: NDArray[np.float32] = reduce(sums.to(state.device), "sum").cpu().numpy()
    return found


def weighted_sum(logps: Sequence[float] | NDArray[np.float32], tree: Tree, side: int) -> float:
    """The sum of `logps`, of the selected tokens of response `side`, times their soft weights where `tree` has any."""
    return float(np.asarray(logps, np.float64) @ np.asarray(tree.target_weights(side)))
