"""Choose a split of a dataset, and read the split off a file name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sepo_data.console.text import did_you_mean, listed
from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Collection

_SHARD = re.compile(r"[-_.]\d+([-_.]of[-_.]\d+)?$")
_SPLIT = re.compile(
    r"(train|training|test|testing|validation|valid|val|dev|eval|evaluation)(?![a-z0-9])", re.IGNORECASE
)


def split_of_file(file_name: str) -> str | None:
    """`train` of train-00000-of-00002.parquet, `test_prefs` of test_prefs.jsonl.gz, None of pairs.csv."""
    stem = _SHARD.sub("", file_name.removesuffix(".gz").removesuffix(".zst").rpartition(".")[0])
    return stem if _SPLIT.match(stem) else None


def choose_split(splits: Collection[str], asked: str | None, dataset: str) -> str:
    """The split called `asked`, or the only one that begins with it (`train`: `train_prefs`).

    By default the only split, or `train`.
    """
    wanted = asked or "train"
    fitting = [split for split in splits if split == wanted]
    fitting = fitting or [split for split in splits if re.match(re.escape(wanted) + r"[-_.]", split)]
    if not asked and len(splits) == 1:
        fitting = list(splits)
    if len(fitting) == 1:
        return fitting[0]
    if asked and not fitting:
        raise SepoError(f"{dataset} has no split {asked}, only {listed(splits)}", did_you_mean(asked, splits))
    raise SepoError(f"{dataset} has several splits: {listed(splits)}", "choose one with --split")
