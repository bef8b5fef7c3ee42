"""The files of a training run: what errors leave of them, the final model, and the manifest that completes it."""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from safetensors import SafetensorError

from sepo_data.errors import SepoError
from sepo_data.schemas.folder import MANIFEST
from sepo_data.storage.atomic import disk_full, write_text
from sepo_train.models.adapters import write_base
from sepo_train.models.lora import merge_lora as merged
from sepo_train.models.noise import noise_as_configured
from sepo_train.models.weight_changes import to_stored_weights
from sepo_train.publishing.curve import CURVE, draw_curve
from sepo_train.publishing.model_card import write_model_card
from sepo_train.training.processes import is_main_process
from sepo_train.training.resume import CHECKPOINTS, is_complete_checkpoint, last_checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pydantic import JsonValue
    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from sepo_data.console.progress import Progress
    from sepo_data.schemas.manifest import Manifest

METRICS = "metrics.jsonl"
FINAL = "final"
"""The folder among the checkpoints in which the final model is written."""


@contextmanager
def training_errors(out: Path) -> Iterator[None]:
    """Name the last complete checkpoint in an error of training, and turn a full disk into a `SepoError`."""
    try:
        yield
    except (SepoError, OSError, SafetensorError, RuntimeError) as error:
        last = last_checkpoint(out)
        if isinstance(error, SepoError):
            kept = f"; {last} is the last checkpoint before" if last else ""
            raise SepoError(f"{error}{kept}", error.hint) from None
        if not disk_full(error):
            raise
        if is_main_process():
            remove_partial_checkpoints(out)
        raise SepoError(
            f"no space is left for a checkpoint in {out}",
            f"free some and give the same command with --resume: {last} is complete"
            if last
            else "free some, or choose another --out",
        ) from None


def remove_partial_checkpoints(out: Path) -> None:
    """Delete the checkpoints of the run in `out` that are not complete; nobody writes there."""
    for folder in (out / CHECKPOINTS).glob("checkpoint-*"):
        if not is_complete_checkpoint(folder):
            shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(out / CHECKPOINTS / FINAL, ignore_errors=True)


def save_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    out: Path,
    *,
    base: str = "",
    weights: dict[str, Tensor] | None = None,
    merge_lora: bool = False,
) -> None:
    """Save a safetensors checkpoint with its tokenizer; a file appears only when it is complete.

    Its configuration has the dropout that the model had before it was trained.

    Args:
        model: as it was trained.
        tokenizer: saved beside it.
        out: the directory of the run.
        base: the model that adapters were trained on.
        weights: all weights, where `model` itself has only its process's part of them.
        merge_lora: `model` has adapters; save them as part of its weights.
    """
    if not is_main_process():
        return
    partial = out / CHECKPOINTS / FINAL
    shutil.rmtree(partial, ignore_errors=True)
    to_stored_weights(model)
    model.eval()
    if merge_lora:
        model = merged(model)
    if weights is not None:
        # Tied weights were gathered twice, under both of their names.
        weights = {name: weight for name, weight in weights.items() if name not in model.all_tied_weights_keys}
    with noise_as_configured(model):
        model.save_pretrained(partial, state_dict=weights)
    tokenizer.save_pretrained(partial)
    write_base(partial, out, base)
    for file in partial.iterdir():
        file.replace(out / file.name)


def complete_run(
    manifest: Manifest, out: Path, *, started: float, results: dict[str, JsonValue], progress: Progress
) -> Manifest:
    """Write the curve and the model card of the run in `out`, then the manifest that marks it as complete."""
    seconds = round(time.monotonic() - started, 3)
    finished = manifest.model_copy(update={"complete": True, "seconds": seconds, "results": results})
    if is_main_process():
        try:
            draw_curve(out / METRICS, out / CURVE)
        except SepoError as error:
            progress.note(f"no picture of the training curve: {error.message}; {error.hint}")
        write_model_card(out, finished)
        write_text(out / MANIFEST, finished.to_json())
        remove_checkpoints(out)
    return finished


def remove_checkpoints(out: Path) -> None:
    """Remove the checkpoints of a complete run, and keep the files that TensorBoard wrote beside them."""
    if (runs := out / CHECKPOINTS / "runs").exists():
        shutil.rmtree(out / "runs", ignore_errors=True)
        runs.replace(out / "runs")
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
