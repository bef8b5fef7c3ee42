"""The plan of training a policy: everything that decides its weights, before the model is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.schemas.manifest import InputRecord, Manifest
from sepo_data.schemas.stages import Stage
from sepo_data.stages.directory import read_stage
from sepo_data.stages.versions import installed_versions
from sepo_train.models.load import model_record
from sepo_train.models.tokenizers import tokenizer_record
from sepo_train.training.reference_logps import POLICY, STORED

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from sepo_data.preferences.holdout import HoldoutSize
    from sepo_train.training.objectives import Objective
    from sepo_train.training.settings import Training


def plan_training(
    selection: Path,
    policy: str,
    objective: Objective,
    training: Training,
    *,
    tokenizer: PreTrainedTokenizerBase,
    rewards: Path | None,
    holdout: HoldoutSize,
    limit: int | None,
) -> Manifest:
    """The manifest of the run before it has results: everything that decides the policy's weights."""
    parent = read_stage(selection, Stage.SELECTION)
    return Manifest(
        stage=Stage.POLICY,
        input=InputRecord(name=str(selection), fingerprint=parent.fingerprint, rows=parent.rows),
        models={"policy": model_record(policy, trust_remote_code=training.trust_remote_code)},
        tokenizer=tokenizer_record(tokenizer),
        options={
            "loss": objective.name,
            **objective.parameters,
            **({"ref_logps": STORED if rewards else POLICY} if objective.needs_reference else {}),
            "holdout": holdout.option,
            "limit": limit,
            **training.plan(),
        },
        runtime=training.runtime(),
        parent=parent.fingerprint,
        versions=installed_versions(),
    )
