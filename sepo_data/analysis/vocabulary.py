"""The vocabulary of a stage dataset: the text of each token id, and how often and with what reward it occurs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
from polars.io.plugins import register_io_source

from sepo_data.schemas.stages import SIDES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from tokenizers import Tokenizer

BROKEN = "\N{REPLACEMENT CHARACTER}"
BLOCK = 1 << 20
"""Tokens counted at a time: their widened copies stay in the processor's cache (2x faster than all at once)."""

COLUMNS = {
    "token_id": "the tokenizer's number of the token",
    "token": "its text; bytes that are not a whole character as <0xE2>",
    "count": "how often it occurs in the responses",
    "mean_reward": "mean of its rewards, both sides",
    "chosen_count": "how often it occurs in chosen responses",
    "rejected_count": "how often it occurs in rejected responses",
    "chosen_reward": "sum of its rewards in chosen responses",
    "rejected_reward": "sum of its rewards in rejected responses",
    "chosen_selected": "how often it is selected in chosen responses; not in a rewards dataset",
    "rejected_selected": "how often it is selected in rejected responses; not in a rewards dataset",
}
"""What each column of the vocabulary table holds."""


def vocabulary(frame: pl.LazyFrame, text_from: Path | None = None) -> pl.LazyFrame:
    """One row a token id that occurs in the responses of `frame`, in the order of the ids.

    What a group by `token_id` over the token view gives, several times faster: ids are small integers, so the totals
    are arrays that the ids index, and nothing is hashed. Sums are in float64. Streams: yes, a shard at a time.
    With `text_from`, a stage directory, there is a column `token` with the text.
    """
    pairs = frame.collect_schema()
    masked = all(f"{side}_mask" in pairs for side in SIDES)
    schema: dict[str, pl.DataType] = {
        name: pl.String() if name == "token" else pl.Float64() if name.endswith("reward") else pl.Int64()
        for name in COLUMNS
        if (name != "token" or text_from is not None) and (masked or not name.endswith("selected"))
    } | {"token_id": pl.Int32()}

    def batches(
        columns: list[str] | None, predicate: pl.Expr | None, rows: int | None, _batch_size: int | None
    ) -> Iterator[pl.DataFrame]:
        asked = list(schema) if columns is None else columns
        needed = {kind for kind in ("reward", "selected") if any(name.endswith(kind) for name in asked)}
        totals = _totals(frame, needed)
        count = totals["chosen_count"] + totals["rejected_count"]
        found = np.flatnonzero(count)
        made = {name: values[found] for name, values in totals.items()}
        made |= {"token_id": found.astype(np.int32), "count": count[found]}
        if "reward" in needed:
            made["mean_reward"] = (made["chosen_reward"] + made["rejected_reward"]) / made["count"]
        table = pl.DataFrame(made)
        if "token" in asked and text_from is not None:
            table = table.with_columns(token=text_series(text_from).gather(table["token_id"]))
        # Where no column is asked for, the number of rows still is.
        table = table.select(asked) if asked else table.drop(table.columns)
        if rows is not None:
            table = table.head(rows)
        yield table.filter(predicate) if predicate is not None else table

    return register_io_source(batches, schema=schema, is_pure=True, explain_name="sepo vocabulary")


def _totals(frame: pl.LazyFrame, kinds: set[str]) -> dict[str, NDArray[Any]]:
    """Arrays indexed by token id: `{side}_count`, and of `kinds` the sums `{side}_reward` and `{side}_selected`."""
    totals: dict[str, NDArray[Any]] = {}
    lists = {"reward": "rewards", "selected": "mask"}
    needed = [f"{side}_{name}" for side in SIDES for name in ("ids", *(lists[kind] for kind in sorted(kinds)))]

    def add(name: str, part: NDArray[Any]) -> None:
        before = totals.get(name, np.zeros(0, part.dtype))
        if len(before) < len(part):
            before = np.concatenate([before, np.zeros(len(part) - len(before), part.dtype)])
        before[: len(part)] += part
        totals[name] = before

    for side in SIDES:
        add(f"{side}_count", np.zeros(1, np.int64))
    for batch in frame.select(needed).collect_batches(lazy=True):
        for side in SIDES:
            ids = batch[f"{side}_ids"].explode().to_numpy()
            values = {kind: batch[f"{side}_{lists[kind]}"].explode().to_numpy() for kind in kinds}
            for start in range(0, len(ids), BLOCK):
                block = slice(start, start + BLOCK)
                index = ids[block].astype(np.intp)
                add(f"{side}_count", np.bincount(index))
                if "reward" in kinds:
                    add(f"{side}_reward", np.bincount(index, weights=values["reward"][block]))
                if "selected" in kinds:
                    add(f"{side}_selected", np.bincount(index[values["selected"][block]]))
    longest = max(map(len, totals.values()))
    for name, kind in [(f"{side}_{kind}", kind) for side in SIDES for kind in ("count", *kinds)]:
        add(name, np.zeros(longest, np.float64 if kind == "reward" else np.int64))
    return totals


def text_series(folder: Path) -> pl.Series:
    """The text of every token id of the tokenizer in `folder`, at the id's place."""
    from sepo_data.stages.token_text import load_tokenizer_file

    return pl.Series("token", single_texts(load_tokenizer_file(folder)), dtype=pl.String)


def single_texts(tokenizer: Tokenizer) -> list[str]:
    """What each token id, from 0, adds to a text; bytes that are not a whole character are shown as `<0xE2>`.

    Each id is decoded after a plain letter: at the start of a text some decoders take a space away.
    """
    size = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
    letter = tokenizer.token_to_id("a")
    before = [] if letter is None else [letter]
    start = tokenizer.decode(before, skip_special_tokens=False)
    texts = tokenizer.decode_batch([[*before, token] for token in range(size)], skip_special_tokens=False)
    return [
        _spelled(tokenizer.id_to_token(token) or "", text) if BROKEN in text else text.removeprefix(start)
        for token, text in enumerate(texts)
    ]


def _spelled(token: str, text: str) -> str:
    """A token that breaks a character, spelled from its entry in the vocabulary; `text` where that says no more."""
    if re.fullmatch("<0x[0-9A-F]{2}>", token):
        return token
    if not all(letter in _BYTES for letter in token):
        return text
    whole = bytes(_BYTES[letter] for letter in token).decode("utf-8", "surrogateescape")
    return "".join(f"<0x{ord(letter) - 0xDC00:02X}>" if "\udc80" <= letter <= "\udcff" else letter for letter in whole)


def _byte_letters() -> dict[str, int]:
    """The letter that stands for each byte in a byte-level vocabulary (GPT-2's `bytes_to_unicode`), the other way."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


_BYTES = _byte_letters()
