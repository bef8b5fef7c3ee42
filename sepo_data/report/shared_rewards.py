"""Directories that hold the same rewards: a rewards directory and the selections that were made from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sepo_data.report.source import Source


def holders(sources: Sequence[Source]) -> list[int]:
    """For each source the number of the one that stands for its rewards: the rewards directory, else the first.

    A selection has the rewards of the directory that its manifest names as the parent. Two rewards directories have the
    same where their plans are equal and the shards that both have finished, too.
    """
    order = sorted(range(len(sources)), key=lambda number: (sources[number].is_selection, number))
    found: dict[int, int] = {}
    for number in order:
        same = (holder for holder in found.values() if _same(sources[holder], sources[number]))
        found[number] = next(same, number)
    return [found[number] for number in range(len(sources))]


def _same(a: Source, b: Source) -> bool:
    if _rewards(a) != _rewards(b):
        return False
    if a.is_selection or b.is_selection:
        return True
    first, second = ({shard.record.file: shard.record.sha256 for shard in source.shards} for source in (a, b))
    both = first.keys() & second.keys()
    return bool(both) and all(first[file] == second[file] for file in both)


def _rewards(source: Source) -> str:
    """The fingerprint of the rewards of a directory."""
    manifest = source.manifest
    return (manifest.parent if source.is_selection else None) or manifest.fingerprint
