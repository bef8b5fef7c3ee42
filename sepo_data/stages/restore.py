"""Open a stage dataset for writing: of one that was complete, note what is made again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.schemas.folder import TOKENIZER
from sepo_data.stages.repair import changed_text, damage_text
from sepo_data.stages.writer import open_stage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sepo_data.console.progress import Progress
    from sepo_data.schemas.manifest import Manifest
    from sepo_data.stages.writer import StageWriter


def open_restored(
    path: Path,
    plan: Manifest,
    previous: Manifest | None,
    *,
    shards: int,
    save_tokenizer: Callable[[Path], object],
    progress: Progress,
    overwrite: bool = False,
    complete: str = "is complete; nothing to do",
) -> StageWriter:
    """`open_stage`, with the tokenizer in its folder.

    Args:
        path: of the dataset.
        plan: the manifest of the run.
        previous: what `find_run` found in `path`.
        shards: number of data files.
        save_tokenizer: writes the tokenizer's files into the folder it is given.
        progress: receives a note of what is made again, or that nothing is.
        overwrite: replace another run in `path`.
        complete: the note, after the name, where there is nothing to do.
    """
    known = previous if previous is not None and previous.shards else None
    repair = damage_text(path, known) if known is not None and not known.complete else ""
    stage = open_stage(path, plan, shards=shards, overwrite=overwrite)
    if repair and not stage.manifest.complete:
        progress.note(repair)
    made = stage.write_folder(TOKENIZER, save_tokenizer)
    if known is not None and made:
        progress.note(f"{path}: made again: {', '.join(made)}")
    elif known is not None and stage.manifest.complete:
        progress.note(f"{path} {complete}")
    return stage


def note_changed(previous: Manifest | None, finished: Manifest, progress: Progress) -> None:
    """Note the shards that a repair made of other bytes than they had."""
    if previous is not None and (text := changed_text(previous, finished)):
        progress.note(text)
