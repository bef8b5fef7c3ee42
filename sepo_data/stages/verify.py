"""Compare a stage dataset with its manifest: every reader does before it opens a shard."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sepo_data.readers.arrow_stream import map_stream
from sepo_data.readers.shard_faults import ShardFault, data_faults
from sepo_data.schemas.folder import INFO
from sepo_data.stages.hf_files import dataset_info
from sepo_data.storage.location import is_remote, read_text

if TYPE_CHECKING:
    from pathlib import Path

    from sepo_data.schemas.manifest import Manifest


def shard_faults(folder: Path, manifest: Manifest, *, hashes: bool = True, again: bool = False) -> list[ShardFault]:
    """Everything in which the data files of `folder` differ from `manifest`: shards, then `state.json` and the like.

    Args:
        folder: a complete or, where `manifest.complete` is false, an incomplete dataset.
        manifest: its manifest, with the shards that should be there.
        hashes: compare the SHA-256 of each shard, which is remembered until the file changes.
        again: hash each file now, whatever is remembered of it.
    """
    faults = data_faults(folder, manifest, hashes=hashes, again=again)
    if not manifest.complete:
        return faults
    known = {fault.file for fault in faults}
    whole = next((shard.file for shard in manifest.shards if shard.file not in known), None)
    return [*faults, *_info_faults(folder, whole)]


def _info_faults(folder: Path, shard: str | None) -> list[ShardFault]:
    """Differences of the columns in `dataset_info.json` from those of a shard that has no fault."""
    try:
        features = json.loads(read_text(folder / INFO))["features"]
    except FileNotFoundError:
        return [ShardFault(INFO, "is missing")]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return [ShardFault(INFO, f"cannot be read: {type(error).__name__}: {error}")]
    if shard is None or is_remote(folder):
        return []
    written = dataset_info(map_stream(folder / shard, validate=False).schema)["features"]
    return [] if features == written else [ShardFault(INFO, f"names other columns than {shard} has")]
