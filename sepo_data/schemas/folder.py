"""Names in a stage directory: its files and shards, and the command that writes it."""

from __future__ import annotations

from sepo_data.schemas.stage_names import Stage

MANIFEST = "sepo.json"
SKIPPED = "skipped.jsonl"
TOKENIZER = "tokenizer"
STATE = "state.json"
INFO = "dataset_info.json"
RECORDS = ".sepo"

DATASETS = frozenset({Stage.REWARDS, Stage.SELECTION})
COMMANDS = {Stage.ORACLE: "oracle", Stage.REWARDS: "score", Stage.SELECTION: "select", Stage.POLICY: "train"}
"""The command that writes each stage."""


def shard_name(index: int, shards: int) -> str:
    """The name of data file `index` of `shards`, as `datasets` names them."""
    return f"data-{index:05d}-of-{shards:05d}.arrow"


def shards_of(name: str) -> int:
    """The number of data files of a dataset, from the name of one."""
    return int(name.rpartition("-of-")[2].removesuffix(".arrow"))


def shard_index(name: str) -> int:
    """The number in the name of a data file; -1 where it is no such name."""
    number = name.partition("-of-")[0].removeprefix("data-")
    return int(number) if number.isascii() and number.isdigit() else -1
