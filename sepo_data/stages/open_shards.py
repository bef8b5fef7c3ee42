"""Open stage datasets to look at: complete, or with the shards that are finished so far."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_data.schemas.folder import COMMANDS
from sepo_data.schemas.stages import Stage
from sepo_data.stages.directory import is_complete, read_manifest, read_stage
from sepo_data.stages.records import finished_shards
from sepo_data.stages.shards import read_shards

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sepo_data.schemas.manifest import Manifest
    from sepo_data.stages.shards import Shard


def open_shards(folder: Path, *, verify: bool = True) -> tuple[Manifest, list[Shard], bool]:
    """The manifest of a rewards or selection dataset, its finished shards in order, and whether it is complete.

    Args:
        folder: on this machine.
        verify: compare the hash of each shard with the manifest, once until the file changes.

    Raises:
        SepoError: it holds another stage, has no finished shard, or is damaged.
    """
    manifest = read_manifest(folder)
    complete = is_complete(folder)
    if complete or manifest.stage not in {Stage.REWARDS, Stage.SELECTION}:
        read_stage(folder, Stage.REWARDS, Stage.SELECTION)
    else:
        # The files of `datasets` are written last, so a manifest that lists its shards may still lack them.
        manifest = manifest.model_copy(update={"shards": manifest.shards or finished_shards(folder), "complete": False})
    if not manifest.shards:
        again = f"run the same `sepo {COMMANDS[manifest.stage]}` again to resume it"
        raise SepoError(f"{folder} has no finished shard yet", again)
    return manifest, read_shards(folder, manifest, verify=verify), complete


def check_same_tokenizer(manifests: Mapping[str, Manifest]) -> None:
    """Raise where the datasets, by their names, have tokens of different tokenizers; one without a record is passed.

    Raises:
        SepoError: they have.
    """
    records = {name: manifest.tokenizer for name, manifest in manifests.items() if manifest.tokenizer}
    if len({record.tokenizer for record in records.values()}) > 1:
        listed = ", ".join(f"{name} of {record.name}" for name, record in records.items())
        raise SepoError(
            f"the directories have tokens of different tokenizers, so nothing can be compared: {listed}",
            "give directories of one tokenizer, or look at each alone",
        )
