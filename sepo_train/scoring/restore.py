"""Restore a rewards dataset that was complete, as far as no model is needed: its last files, its tokenizer."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from sepo_data.stages.restore import note_changed, open_restored
from sepo_data.stages.rewards import EQUAL_MODELS
from sepo_train.models.tokenizers import save_stage_tokenizer
from sepo_train.scoring.inherited import DIFFERING

if TYPE_CHECKING:
    from pathlib import Path

    from sepo_data.console.progress import Progress
    from sepo_data.schemas.manifest import Manifest
    from sepo_train.scoring.plan import ScoringPlan

KEPT = ("layout", DIFFERING, EQUAL_MODELS)
"""Entries of the results that hold for the same shards, whenever they are written."""


def restored(out: Path, plan: ScoringPlan, previous: Manifest | None, progress: Progress) -> Manifest | None:
    """The complete manifest of `out`, where no shard has to be scored; None where some are lost, or it never was whole.

    Args:
        out: the directory of the run.
        plan: of the run.
        previous: what `find_run` found in `out`.
        progress: receives a note of what is made again.
    """
    if previous is None or not previous.shards:
        return None
    started = time.monotonic()
    done = f"{plan.shards} of {plan.shards} shards"
    stage = open_restored(
        out,
        plan.manifest,
        previous,
        shards=plan.shards,
        save_tokenizer=partial(save_stage_tokenizer, plan.dataset.tokenizer),
        progress=progress,
        complete=f"is complete ({done}); nothing to do",
    )
    for index in stage.lock_shards(stage.unlisted()):
        _, skipped = plan.dataset.pairs(*plan.rows(index))
        stage.keep_shard(index, skipped)
    if stage.pending():
        stage.release()
        return None
    if not stage.manifest.complete:
        progress.note(f"resuming: {done} done")
    results = {name: previous.results[name] for name in KEPT if name in previous.results}
    finished = stage.finish_if_complete(seconds=time.monotonic() - started, results=results)
    if finished is not None:
        note_changed(previous, finished, progress)
    return finished
