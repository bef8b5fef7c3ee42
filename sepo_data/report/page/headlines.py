"""The first numbers of the page: the oracle's accuracy and margin, the tokens that carry the reward, the selection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from sepo_data.report.page.markup import counted, escaped, percent, signed
from sepo_data.schemas.stages import SIDES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sepo_data.report.source import Source

    Tile = tuple[str, str, Sequence[str]]
    Sums = Mapping[str, Mapping[str, float]]

GROUPS = {"unseen": "unseen pairs", "seen": "seen pairs", "unknown": "pairs without a record"}
"""The groups of the figure `accuracy`: by what the oracle was trained on."""

FIRST = {"chosen": "highest", "rejected": "lowest"}
TOTALS = {"chosen": "more than 0", "rejected": "less than 0"}


def stored_sums(source: Source) -> dict[str, dict[str, float]]:
    """Of a selection, by side: selected `tokens`, and the sums of their rewards and of the sizes of their rewards."""
    totals: dict[str, dict[str, float]] = {side: {"tokens": 0, "reward": 0.0, "absolute": 0.0} for side in SIDES}
    for frame in source.frames([f"{side}_{name}" for side in SIDES for name in ("rewards", "mask")]):
        for side in SIDES:
            flat = frame.select(pl.col(f"{side}_rewards", f"{side}_mask").explode())
            kept = flat.filter(f"{side}_mask")[f"{side}_rewards"].cast(pl.Float64)
            totals[side]["tokens"] += len(kept)
            totals[side]["reward"] += float(kept.sum())
            totals[side]["absolute"] += float(kept.abs().sum())
    return totals


def numbers_html(source: Source, tables: Mapping[str, pl.DataFrame], stored: Sums | None) -> str:
    """The tiles of one directory; nothing where there is none.

    Args:
        source: the directory.
        tables: of its figures, by their names: those that are not there have no tile.
        stored: from `stored_sums`, of a selection.
    """
    tiles = [
        *(_oracle_tiles(tables["accuracy"]) if "accuracy" in tables else ()),
        *(_carried_tiles(tables["accumulation"]) if "accumulation" in tables else ()),
        *(_stored_tiles(source, stored) if stored is not None else ()),
    ]
    return f'<dl class="tiles">{"".join(_tile(*tile) for tile in tiles)}</dl>' if tiles else ""


def _oracle_tiles(accuracy: pl.DataFrame) -> Iterator[Tile]:
    """Of the rows of all lengths."""
    of_all = accuracy.filter(pl.col("from_tokens").is_null())
    rows = {row["group"]: row for row in of_all.iter_rows(named=True)}
    found = [(name, rows[group]) for group, name in GROUPS.items() if group in rows]
    for name, row in found:
        interval = f"95% interval {percent(row['accuracy_low'])} to {percent(row['accuracy_high'])}"
        yield f"Oracle accuracy, {name}", percent(row["accuracy"]), (interval, "of " + counted(row["pairs"]))
    for name, row in found:
        low, high = row["margin_low"], row["margin_high"]
        interval = "one pair has no interval" if low is None else f"95% interval {signed(low)} to {signed(high)}"
        yield f"Mean margin, {name}", signed(row["mean_margin"]), (interval, "of " + counted(row["pairs"]))


def _carried_tiles(accumulation: pl.DataFrame) -> Iterator[Tile]:
    marked = accumulation.filter("reaches")
    shares = dict(zip(marked["side"], marked["share_percent"], strict=True))
    for side in SIDES:
        if side in shares:
            value, note = f"{shares[side]}%", f"of the tokens of each response, {FIRST[side]} rewards first"
        else:
            value, note = "none", f"all rewards of {side} do not add up to {TOTALS[side]}"
        yield f"80% of the reward of {side}", value, (note,)


def _stored_tiles(source: Source, stored: Sums) -> Iterator[Tile]:
    for side, sums in stored.items():
        tokens = source.manifest.total("tokens").get(side, 0)
        kept = int(sums["tokens"])
        yield f"Selected of {side}", percent(kept / max(1, tokens)), (f"{kept:,} of {tokens:,} tokens",)
    margin = (stored["chosen"]["reward"] - stored["rejected"]["reward"]) / max(1, source.manifest.rows)
    yield (
        "Mean margin of the selection",
        signed(margin),
        ("selected tokens alone", "of " + counted(source.manifest.rows)),
    )


def _tile(name: str, value: str, notes: Sequence[str]) -> str:
    lines = "".join(f'<dd class="from">{escaped(note)}</dd>' for note in notes)
    return f'<div class="tile"><dt>{escaped(name)}</dt><dd class="value">{escaped(value)}</dd>{lines}</div>'
