"""One pair, token by token: texts, rewards, and the selected ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from sepo_data.analysis.show.directory import open_directory
from sepo_data.checked import checked
from sepo_data.console.text import did_you_mean, shortened
from sepo_data.errors import SepoError
from sepo_data.selection.rules.top import top
from sepo_data.stages.token_text import token_texts

if TYPE_CHECKING:
    from pathlib import Path

    from sepo_data.analysis.show.directory import Directory
    from sepo_data.selection.quota import Amount

LONGEST_NUMBER = 20
"""Digits from which on a number is none of a pair; Python converts not many thousand."""

COMPARED_IDS = 10_000
"""The ids that an unknown one is compared with."""


@dataclass(frozen=True, slots=True)
class Token:
    """A response token: the text it adds, its reward, and whether it is selected."""

    position: int
    token_id: int
    text: str
    reward: float
    selected: bool


@dataclass(frozen=True, slots=True)
class ShownPair:
    """One pair of a rewards or selection dataset, token by token."""

    row: int
    pair_id: str
    prompt: str
    chosen: list[Token]
    rejected: list[Token]
    margin: float
    oracle_seen: bool | None
    copies: int = 1  # rows with this pair_id, of which this is the first; 1 where a number chose the row


@checked()
def read_pair(
    folder: str | Path, pair: str, *, chosen: Amount = "30%", rejected: Amount = "30%", verify: bool = True
) -> ShownPair:
    """Read pair number `pair` (from 0) or the one with that `pair_id`.

    A rewards dataset has no masks; there, the quotas `chosen` and `rejected` select the tokens. With
    `verify`, the hash of each shard is compared with the manifest, once until the file changes.

    Raises:
        SepoError: there is no such pair, or `folder` is not a rewards or selection dataset.
    """
    directory = open_directory(folder, verify=verify)
    row, copies = find_pair(directory, pair)
    return pair_at(directory, row, copies=copies, chosen=chosen, rejected=rejected)


def find_pair(directory: Directory, pair: str) -> tuple[int, int]:
    """The number of pair `pair`, a number or a `pair_id`, and the rows with that id; 1 where a number is given.

    Raises:
        SepoError: there is no such pair.
    """
    if pair.isdecimal() and len(pair) < LONGEST_NUMBER and int(pair) < directory.rows:
        return int(pair), 1
    first, copies = None, 0
    for number, frame in enumerate(directory.frames(["pair_id"])):
        rows = (frame["pair_id"] == pair).arg_true()
        copies += len(rows)
        if first is None and len(rows):
            first = int(directory.starts[number]) + int(rows[0])
    if first is not None:
        return first, copies
    known = pl.concat(directory.frames(["pair_id"])).head(COMPARED_IDS)["pair_id"].to_list()
    hint = f"give a number from 0 to {directory.rows - 1}, or a pair_id; {did_you_mean(pair, known)}"
    raise SepoError(f"{directory.folder} has no pair {shortened(pair)!r}", hint.removesuffix("; "))


def pair_at(
    directory: Directory,
    row: int,
    *,
    chosen: Amount = "30%",
    rejected: Amount = "30%",
    stored: bool = True,
    copies: int = 1,
) -> ShownPair:
    """Pair number `row`, with the masks that are stored, or those of rule `top`.

    Args:
        directory: that has the pair.
        row: its number, from 0.
        chosen: share, or number of tokens, of the highest rewards to select.
        rejected: the same of the lowest rewards.
        stored: of a selection, show its own masks instead.
        copies: rows with this `pair_id`, where it was asked for by that.
    """
    frame = directory.row(row).lazy()
    if not (stored and directory.has_masks):
        frame = top(chosen=chosen, rejected=rejected).with_masks(frame)
    [values] = frame.collect().to_dicts()

    def tokens(side: str) -> list[Token]:
        ids = values[f"{side}_ids"]
        texts = token_texts(directory.tokenizer, ids, values["prompt_ids"])
        listed = zip(ids, texts, values[f"{side}_rewards"], values[f"{side}_mask"], strict=True)
        return [Token(index, *value) for index, value in enumerate(listed)]

    return ShownPair(
        row=row,
        pair_id=values["pair_id"],
        prompt=directory.tokenizer.decode(values["prompt_ids"], skip_special_tokens=False),
        chosen=tokens("chosen"),
        rejected=tokens("rejected"),
        margin=values["margin"],
        oracle_seen=values["oracle_seen"],
        copies=copies,
    )
