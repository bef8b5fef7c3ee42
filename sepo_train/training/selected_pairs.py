"""The pairs of a selection dataset, read from the memory-mapped shards one at a time."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sepo_data.preferences.holdout import HOLDOUT, SPLIT, TRAIN
from sepo_data.preferences.sides import read_sides
from sepo_data.schemas.stages import Stage
from sepo_data.schemas.validate import check_table
from sepo_data.share import BASIS_POINTS
from sepo_data.stages.directory import read_stage
from sepo_data.stages.occurrences import Occurrences
from sepo_data.stages.shards import read_shards
from sepo_train.engine.layout import Tree

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from sepo_data.preferences.holdout import HoldoutSize

PARTS = ("prompt", "chosen", "rejected")
WEIGHTS = ("chosen_weights", "rejected_weights")
COLUMNS = ["pair_id", *(f"{part}_ids" for part in PARTS), "chosen_mask", "rejected_mask"]


@dataclass(frozen=True, slots=True)
class TrainingPair:
    """One pair as a trainer reads it: its tree (chosen, rejected) and, for DPO and its kin, the reference's sums.

    `ref_logps` are (weighted) sums over the selected tokens of either response; `weight` is 0 for a repeat that does
    not count, see `MicroBatches`.
    """

    pair_id: str
    tree: Tree
    ref_logps: tuple[float, float] = (0.0, 0.0)
    weight: float = 1.0

    @property
    def selected_fraction(self) -> float:
        """The share of its response tokens that are selected."""
        sides = range(len(self.tree.responses))
        return sum(len(self.tree.target_positions(side)) for side in sides) / sum(map(len, self.tree.responses))


@dataclass(frozen=True)
class SelectedPairs(Sequence[TrainingPair]):
    """Some rows of a selection dataset.

    `ref_logps` are (rows, 2) sums of the reference model over the selected tokens, for losses that compare with one.
    """

    table: pa.Table
    rows: Sequence[int]
    ref_logps: NDArray[np.float32] | None = None

    @classmethod
    def open(cls, selection: Path, *, limit: int | None = None, verify: bool = True) -> SelectedPairs:
        """Map the shards of `selection`; raises `SepoError` where one is not valid, or not what its manifest says."""
        tables = []
        for shard in read_shards(selection, read_stage(selection, Stage.SELECTION), verify=verify):
            table = shard.table()
            check_table(table, Stage.SELECTION, str(shard.file))
            optional = [name for name in (*WEIGHTS, SPLIT) if name in table.column_names]
            tables.append(table.select([*COLUMNS, *optional]))
        table = pa.concat_tables(tables)
        return cls(table, range(table.num_rows)[:limit])

    @property
    def have_sides(self) -> bool:
        """True if a column `split` holds some rows out; raises `SepoError` where it leaves the side of others open."""
        return self._sides is not None

    @property
    def _sides(self) -> list[str] | None:
        """The side of every row of the dataset, as `read_sides` has them."""
        if SPLIT not in self.table.column_names:
            return None
        return read_sides(self.table.column(SPLIT).to_pylist(), "the selection")

    def by_column(self) -> tuple[SelectedPairs, SelectedPairs]:
        """The pairs to train on and the holdout pairs, by the column `split`; all and none where it is silent."""
        sides = self._sides or [TRAIN] * self.table.num_rows
        seen, held_out = ([row for row in self.rows if sides[row] == side] for side in (TRAIN, HOLDOUT))
        return replace(self, rows=seen, ref_logps=None), replace(self, rows=held_out, ref_logps=None)

    def split(self, holdout: HoldoutSize) -> tuple[SelectedPairs, SelectedPairs]:
        """The pairs to train on and the holdout pairs; all pairs of a prompt are on one side.

        A hash of the prompt's ids decides: of a share, each prompt by itself, so that its side does not change with the
        order or number of the others; of a number of pairs, the lowest hashes that have as many. A smaller holdout is
        a part of a larger one.
        """
        hashes = [self._prompt_hash(row) for row in self.rows]
        below = holdout.share or _hash_above(hashes, holdout.pairs)
        sides: tuple[list[int], list[int]] = ([], [])
        for row, value in zip(self.rows, hashes, strict=True):
            sides[value < below].append(row)
        return replace(self, rows=sides[0], ref_logps=None), replace(self, rows=sides[1], ref_logps=None)

    def _prompt_hash(self, row: int) -> float:
        """A hash from 0 to 10,000; shares in basis points are compared with its integral part."""
        prompt = self.table.column("prompt_ids")[row].values.to_numpy(zero_copy_only=False)
        digest = hashlib.sha256(prompt.astype("<i4").tobytes()).digest()
        return int.from_bytes(digest[:8]) % BASIS_POINTS + int.from_bytes(digest[8:14]) / 2**48

    @property
    def keys(self) -> list[tuple[str, int]]:
        """The pair_id of every row, and the number of earlier rows of the dataset with the same."""
        ids = self.table.column("pair_id").to_pylist()
        occurrences = Occurrences().count(ids)
        return [(ids[row], occurrences[row]) for row in self.rows]

    @property
    def ids(self) -> frozenset[str]:
        """The pair_id of every row, once where it has copies."""
        return frozenset(pair_id for pair_id, _ in self.keys)

    @property
    def prompts(self) -> list[list[int]]:
        """The token ids of every prompt."""
        return self.table.column("prompt_ids").take(pa.array(self.rows, pa.int64())).to_pylist()

    @property
    def lengths(self) -> list[int]:
        """Tokens of each pair's row with the prompt shared: up to the last selected token of each response, alone."""
        lengths = pc.list_value_length(self.table.column("prompt_ids")).to_numpy().astype(np.int64)
        for name in ("chosen_mask", "rejected_mask"):
            fed = [_last_selected(chunk) for chunk in self.table.column(name).chunks]
            lengths = lengths + np.concatenate(fed)
        return lengths[np.asarray(self.rows, np.int64)].tolist()

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt with one of its responses."""
        prompt, chosen, rejected = (pc.list_value_length(self.table.column(f"{part}_ids")) for part in PARTS)
        return int(pc.max(pc.add(prompt, pc.max_element_wise(chosen, rejected)).take(pa.array(self.rows))).as_py())

    @property
    def highest_id(self) -> int:
        """The highest token id of any row."""
        columns = (self.table.column(f"{part}_ids") for part in PARTS)
        return max(int(pc.max(pc.list_flatten(column)).as_py()) for column in columns)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> TrainingPair: ...
    @overload
    def __getitem__(self, index: slice) -> SelectedPairs: ...
    def __getitem__(self, index: int | slice) -> TrainingPair | SelectedPairs:
        if isinstance(index, slice):
            ref_logps = None if self.ref_logps is None else self.ref_logps[index]
            return replace(self, rows=self.rows[index], ref_logps=ref_logps)
        [row] = self.table.slice(self.rows[index], 1).to_pylist()
        responses, keep = ((row[f"chosen_{what}"], row[f"rejected_{what}"]) for what in ("ids", "mask"))
        weights = tuple(row[name] for name in WEIGHTS) if WEIGHTS[0] in row else None
        tree = Tree(row["prompt_ids"], responses, keep, weights)
        if self.ref_logps is None:
            return TrainingPair(row["pair_id"], tree)
        chosen, rejected = self.ref_logps[index].tolist()
        return TrainingPair(row["pair_id"], tree, (chosen, rejected))


def _hash_above(hashes: Sequence[float], pairs: int) -> float:
    """The least hash above the lowest ones that at least `pairs` pairs have; infinite where all are needed."""
    ordered = sorted(hashes)
    if not pairs:
        return 0.0
    return next((value for value in ordered[pairs:] if value > ordered[pairs - 1]), math.inf)


def is_conversational(selection: Path, *, verify: bool = True) -> bool:
    """True if the prompts of `selection` are messages, which a chat template has rendered."""
    first, *_ = read_shards(selection, read_stage(selection, Stage.SELECTION), verify=verify)
    return bool(pa.types.is_nested(first.schema().field("prompt").type))


def _last_selected(masks: pa.LargeListArray) -> NDArray[np.int64]:
    """(rows,) position of the last selected token in its response, from 0."""
    starts, ends = masks.offsets.to_numpy()[:-1], masks.offsets.to_numpy()[1:]
    selected = np.flatnonzero(masks.values.to_numpy(zero_copy_only=False))
    return selected[np.searchsorted(selected, ends) - 1] - starts
