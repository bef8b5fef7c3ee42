"""The pairs that a model was trained on, and the models that it was trained from: by ids, wherever the pairs are."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_data.preferences.holdout import parse_holdout
from sepo_data.schemas.stages import Stage
from sepo_data.stages.directory import read_stage
from sepo_data.stages.seen_pairs import read_oracle_record, read_trained_pairs
from sepo_data.stages.trained_models import start_of, trained_manifest
from sepo_train.models.load import model_record
from sepo_train.models.training_record import record_folder
from sepo_train.training.selected_pairs import SelectedPairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sepo_data.schemas.manifest import Manifest


UNSEEN = "those that the oracle has not seen"


@dataclass(frozen=True, slots=True)
class TrainedPairs:
    """The ids of the pairs; `known` is false where sepo trained a model of the family and no record has its pairs."""

    ids: frozenset[str] = frozenset()
    known: bool = True


def trained_pairs(model: str, *, selections: Sequence[Path] = (), trust_remote_code: bool = False) -> TrainedPairs:
    """The pairs of all training by sepo that ended in `model`: its own, and those of the models it started from.

    A policy without a record of its pairs has those of the selection that its manifest names, if that is unchanged
    there or one of `selections`. A start whose weights are others by now is not followed.

    Raises:
        SepoError: `model` is a directory of another stage, or incomplete, or the record of an oracle is damaged.
    """
    folder = record_folder(model)
    record = read_oracle_record(folder)
    manifest = trained_manifest(folder)
    if manifest is None:
        return TrainedPairs()
    own = record.pair_ids if record else read_trained_pairs(Path(folder))
    if own is None:
        own = _selected_for(manifest, selections)
    before = TrainedPairs()
    if (start := start_of(folder)) is not None and trained_manifest(start.name) is not None:
        with suppress(SepoError):
            if model_record(start.name, trust_remote_code=trust_remote_code).weights == start.weights:
                before = trained_pairs(start.name, selections=selections, trust_remote_code=trust_remote_code)
    return TrainedPairs((own or frozenset()) | before.ids, own is not None and before.known)


def _selected_for(policy: Manifest, selections: Sequence[Path]) -> frozenset[str] | None:
    """The pairs of the selection that `policy` was trained on, without those held out; None where it is not found."""
    for folder in (Path(policy.input.name), *selections):
        with suppress(SepoError, OSError):
            if read_stage(folder, Stage.SELECTION).fingerprint != policy.parent:
                continue
            limit = policy.options.get("limit")
            pairs = SelectedPairs.open(folder, limit=limit if isinstance(limit, int) else None)
            holdout = parse_holdout(str(policy.options.get("holdout") or 0))
            trained, _ = pairs.by_column() if pairs.have_sides else pairs.split(holdout)
            return trained.ids
    return None


@dataclass(frozen=True, slots=True)
class Measured:
    """The rows of a dataset that models are measured on.

    Attributes:
        rows: their numbers.
        which: the part of the dataset that these are, in words; none for all rows.
        families: the pairs that each model was trained on.
    """

    rows: Sequence[int]
    which: tuple[str, ...] = ()
    families: tuple[TrainedPairs, ...] = ()

    def trained_on(self, pair_ids: Sequence[str]) -> tuple[int | None, ...]:
        """For each model the number of the pairs `pair_ids` that it was trained on; None where that is not known."""
        return tuple(
            sum(pair_id in family.ids for pair_id in pair_ids) if family.known else None for family in self.families
        )


def leave_out_trained(
    measured: Measured,
    pair_ids: Sequence[str],
    models: Sequence[str],
    *,
    data: Path | None = None,
    trust_remote_code: bool = False,
) -> Measured:
    """`measured` without the pairs that any of `models` was trained on, the first of which is evaluated.

    Where nothing is left without them, they stay, and the words have it; what an oracle has seen is always left out.

    Args:
        measured: the pairs that may be measured on.
        pair_ids: of each row of the dataset.
        models: their names.
        data: the directory that the rows are from, if it is a stage directory.
        trust_remote_code: as in `trained_pairs`.
    """
    selections = [] if data is None else [data]
    families = tuple(
        trained_pairs(model, selections=selections, trust_remote_code=trust_remote_code) for model in models
    )
    rows, which = list(measured.rows), measured.which
    for number, (model, family) in enumerate(zip(models, families, strict=True)):
        name = "the model" if number == 0 else model
        words = None if number else _own_words(model, data)
        left = [row for row in rows if pair_ids[row] not in family.ids]
        if len(left) < len(rows) and (left or words == UNSEEN):
            rows, which = left, (*which, words or f"those that {name} was not trained on")
        elif len(left) < len(rows):
            which = (*(which or ("all",)), f"and {name} was trained on them")
        if not family.known:
            which = (*(which or ("all",)), f"but {name} has no record of the pairs that it was trained on")
    return Measured(rows, which, families)


def _own_words(model: str, data: Path | None) -> str | None:
    """The words for the pairs that an oracle has not seen, or that a policy's `--holdout` kept out of its selection."""
    manifest = trained_manifest(record_folder(model))
    if manifest is None:
        return None
    if manifest.stage is Stage.ORACLE:
        return UNSEEN
    holdout, limit = manifest.options.get("holdout"), manifest.options.get("limit")
    if data is None or not holdout or limit is not None:
        return None
    own = read_stage(data, Stage.SELECTION, Stage.REWARDS).fingerprint == manifest.parent
    return f"those that --holdout {holdout} kept out" if own else None
