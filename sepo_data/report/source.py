"""A stage directory to look at: complete, or with the shards that are finished so far."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_data.schemas.folder import DATASETS
from sepo_data.schemas.stage_names import Stage
from sepo_data.stages.directory import is_complete, read_manifest, read_stage
from sepo_data.stages.open_shards import check_same_tokenizer, open_shards
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
        SepoError: there is none; one holds another stage, has no finished shard or is damaged; or their tokenizers
            differ.
    """
    if not folders:
        raise SepoError("no directory is given", "give directories that `sepo score` or `sepo select` wrote")
    names = _labels([str(folder) for folder in folders])
    opened = [_open(folder, name, stages, verify=verify) for folder, name in zip(folders, names, strict=True)]
    check_same_tokenizer({str(each.folder): each.manifest for each in opened if each.manifest.stage in DATASETS})
    return opened


def _open(folder: str | Path, name: str, stages: Collection[Stage], *, verify: bool) -> Source:
    path = fetched(location(folder), recursive=True)
    manifest = read_manifest(path)
    if manifest.stage not in stages:
        read_stage(path, *sorted(stages, key=list(Stage).index))  # raises
    if manifest.stage not in DATASETS:
        return Source(name, path, manifest, [], is_complete(path))
    return Source(name, path, *open_shards(path, verify=verify))


def _labels(folders: Sequence[str]) -> list[str]:
    """The shortest ends of the paths that tell them apart; a path that is given twice gets a number."""
    parts = [
        [part for part in folder.replace("\\", "/").split("/") if part not in {"", "."}] or [folder]
        for folder in folders
    ]
    paths = set(map(tuple, parts))
    length = 1
    while len({path[-length:] for path in paths}) < len(paths):
        length += 1
    labels = ["/".join(each[-length:]) for each in parts]
    totals, taken = Counter(labels), set(labels)
    unique = []
    for label in labels:
        numbered = (f"{label} ({number})" for number in count(1))
        unique.append(next(each for each in numbered if each not in taken) if totals[label] > 1 else label)
        taken.add(unique[-1])
    return unique
