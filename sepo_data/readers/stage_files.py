"""Stage datasets as input: their shards, once they are what the manifest says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_data.readers.rows import DataFile
from sepo_data.readers.shard_faults import damage_error, data_faults
from sepo_data.schemas.folder import COMMANDS, DATASETS, MANIFEST, STATE
from sepo_data.schemas.manifest import Manifest
from sepo_data.storage.location import read_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def stage_files(folder: Path, address: str, split: str | None) -> list[DataFile] | None:
    """The shards of the rewards or selection in `folder`; None where it is a model, or sepo did not write it.

    Args:
        folder: of this machine.
        address: of `folder` as the user typed it.
        split: there is none to choose.

    Raises:
        SepoError: the dataset is incomplete, or a file of it is not what the manifest says.
    """
    manifest = _manifest(folder, address)
    if manifest is None:
        return None
    if not manifest.complete or not (folder / STATE).exists():
        raise SepoError(
            f"{address} is incomplete", f"run the same `sepo {COMMANDS[manifest.stage]}` again to resume it"
        )
    if split:
        raise SepoError(f"{address} is one dataset without splits", "leave out --split")
    if faults := data_faults(folder, manifest):
        raise damage_error(folder, manifest, faults)
    names = [shard.file for shard in manifest.shards]
    return [DataFile(folder / name, f"{address.rstrip('/')}/{name}", name, ".arrow") for name in names]


def check_recorded(files: Sequence[DataFile]) -> None:
    """Raise where a file is a shard of a stage dataset, named by itself, and not what the manifest says."""
    for folder in dict.fromkeys(file.path.parent for file in files if file.format == ".arrow"):
        if manifest := _manifest(folder, str(folder)):
            named = {file.path.name for file in files if file.path.parent == folder}
            shards = [shard for shard in manifest.shards if shard.file in named]
            part = manifest.model_copy(update={"complete": False, "shards": shards})
            if faults := data_faults(folder, part):
                raise damage_error(folder, manifest, faults)


def _manifest(folder: Path, address: str) -> Manifest | None:
    """The manifest of the rewards or selection in `folder`; None where there is none."""
    if not (folder / MANIFEST).is_file():
        return None
    try:
        manifest = Manifest.from_json(read_text(folder / MANIFEST))
    except ValueError as error:
        if not any(folder.glob("data-*-of-*.arrow")):
            return None
        raise SepoError(
            f"{address} has a {MANIFEST} that cannot be read", f"`sepo info {address}` reports why"
        ) from error
    return manifest if manifest.stage in DATASETS else None
