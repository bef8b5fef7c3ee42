"""A stage directory to look at: complete, or with the shards that are finished so far."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_data.schemas.folder import COMMANDS, DATASETS
from sepo_data.schemas.stages import Stage
from sepo_data.stages.directory import is_complete, read_manifest, read_stage
from sepo_data.stages.records import finished_shards
from sepo_data.stages.shards import read_shards
from sepo_data.storage.download import fetched
from sepo_data.storage.location import location

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence
    from pathlib import Path

    import polars as pl

    from sepo_data.schemas.manifest import Manifest
    from sepo_data.stages.shards import Shard


@dataclass(frozen=True, slots=True)
class Source:
    """A stage directory, and of a dataset its finished shards.

    Attributes:
        name: its label in figures, the end of its path; no two sources of one report have the same.
        folder: on this machine.
        manifest: of a dataset with the records of `shards`.
        shards: in order; none of a model directory.
        complete: false where the run that writes the directory has not ended.
    """

    name: str
    folder: Path
    manifest: Manifest
    shards: Sequence[Shard]
    complete: bool

    @property
    def is_selection(self) -> bool:
        return self.manifest.stage is Stage.SELECTION

    def frames(self, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        """The columns of one shard after the other: the memory that a reader needs is that of a shard."""
        for shard in self.shards:
            yield shard.frame(columns)


def open_sources(
    folders: Sequence[str | Path], *, stages: Collection[Stage] = DATASETS, verify: bool = True
) -> list[Source]:
    """Open stage directories, datasets of one tokenizer.

    Args:
        folders: local ones, or ones in a store, which are copied to this machine.
        stages: those that are expected.
        verify: compare the hash of each shard with the manifest, once until the file changes.

    Raises:
        SepoError: one holds another stage, has no finished shard or is damaged, or their tokenizers differ.
    """
    names = _labels([str(folder) for folder in folders])
    opened = [_open(folder, name, stages, verify=verify) for folder, name in zip(folders, names, strict=True)]
    tokenizers = {
        str(source.folder): source.manifest.tokenizer
        for source in opened
        if source.manifest.stage in DATASETS and source.manifest.tokenizer
    }
    if len({record.tokenizer for record in tokenizers.values()}) > 1:
        listed = ", ".join(f"{folder} of {record.name}" for folder, record in tokenizers.items())
        raise SepoError(
            f"the directories have tokens of different tokenizers, so nothing can be compared: {listed}",
            "give directories of one tokenizer, or look at each alone",
        )
    return opened


def _open(folder: str | Path, name: str, stages: Collection[Stage], *, verify: bool) -> Source:
    path = fetched(location(folder), recursive=True)
    manifest = read_manifest(path)
    if manifest.stage not in stages:
        read_stage(path, *sorted(stages, key=list(Stage).index))  # raises
    complete = is_complete(path)
    if manifest.stage not in DATASETS:
        return Source(name, path, manifest, [], complete)
    if not complete:
        # The files of `datasets` are written last, so a manifest that lists its shards may still lack them.
        manifest = manifest.model_copy(update={"shards": manifest.shards or finished_shards(path), "complete": False})
    if not manifest.shards:
        again = f"run the same `sepo {COMMANDS[manifest.stage]}` again to resume it"
        raise SepoError(f"{path} has no finished shard yet", again)
    return Source(name, path, manifest, read_shards(path, manifest, verify=verify), complete)


def _labels(folders: Sequence[str]) -> list[str]:
    """The shortest ends of the paths that tell them apart; a path that is given twice gets a number."""
    parts = [
        [part for part in folder.replace("\\", "/").split("/") if part not in {"", "."}] or [folder]
        for folder in folders
    ]
    length = 1
    while length < max(map(len, parts)) and len({tuple(each[-length:]) for each in parts}) < len(folders):
        length += 1
    labels = ["/".join(each[-length:]) for each in parts]
    totals, seen, unique = Counter(labels), Counter[str](), []
    for label in labels:
        seen[label] += 1
        unique.append(f"{label} ({seen[label]})" if totals[label] > 1 else label)
    return unique
