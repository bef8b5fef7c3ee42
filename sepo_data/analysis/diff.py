"""Compare two reward or selection datasets of the same pairs: rank correlation of rewards, overlap of selections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
import polars.selectors as cs

from sepo_data.analysis.table_output import table_lines
from sepo_data.checked import at_least, checked
from sepo_data.schemas.stages import SIDES, Stage
from sepo_data.selection.rules.top import top
from sepo_data.share import format_share
from sepo_data.stages.directory import read_stage
from sepo_data.stages.matched_pairs import match_pairs
from sepo_data.stages.scan import fetched_stage
from sepo_data.stages.shards import read_shards

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

COMPARED_SHARES = (1000, 2000, 3000, 5000)
"""Basis points at which the selections are compared."""
ORDERING_SHARE = "30%"  # of the overlap that orders the pairs, where there are no stored masks
STORED = "stored"  # in the place of a share: the masks on disk
TOGETHER = "together"  # in the place of a side: both

COMPARED_LISTS = ("rewards", "mask")


@dataclass(frozen=True, slots=True)
class Correlation:
    """Spearman's rank correlation of two rewards within a response, averaged over responses."""

    side: str
    responses: int  # with a correlation: two tokens or more, not all of one reward
    mean: float | None


@dataclass(frozen=True, slots=True)
class Overlap:
    """Overlap of the two selections of one share, over all tokens."""

    share: str  # such as 30%, or "stored" for the masks on disk
    side: str
    selected_a: int
    selected_b: int
    in_both: int
    jaccard: float  # tokens selected in both, of those selected in any
    chance: float  # expected for two random selections of these sizes


@dataclass(frozen=True, slots=True)
class DifferingPair:
    """A pair whose two selections overlap little."""

    pair_id: str
    source_row: int  # in `a`
    jaccard: float  # of the stored masks, or at 30%; both responses together
    correlation: float | None  # mean of the two responses
    margin_a: float
    margin_b: float


@dataclass(frozen=True, slots=True)
class Diff:
    """The comparison of two datasets `a` and `b` of the same pairs."""

    pairs: int
    only_a: int
    only_b: int
    correlations: list[Correlation]
    overlaps: list[Overlap]
    differing: list[DifferingPair]


@checked(pairs=at_least(0))
def diff(a: str | Path, b: str | Path, *, pairs: int = 10, verify: bool = True) -> Diff:
    """Compare the rewards, and where both are selections the masks, of the pairs that `a` and `b` share.

    Pairs are matched by `pair_id`, the first of several equal ones with the first, the second with the second. In
    memory are the ids of all pairs, and the rewards of one shard of `a` with its partners in `b`: they are looked up in
    the mapped files, so the two may be in any order. There is no correlation across responses, on purpose: selection
    compares the tokens of one response alone.

    Args:
        a: a rewards or selection directory.
        b: another one, of the same data under the same tokenizer.
        pairs: number of pairs in `differing`, those that differ most.
        verify: compare the hash of each shard with the manifest, once until the file changes.

    Raises:
        SepoError: a directory is neither, they share no pair, or the tokens of a shared pair differ.
    """
    a, b = fetched_stage(a), fetched_stage(b)
    manifests = [read_stage(folder, Stage.REWARDS, Stage.SELECTION) for folder in (a, b)]
    stored = all(manifest.stage is Stage.SELECTION for manifest in manifests)
    shards_a, shards_b = (
        read_shards(folder, manifest, verify=verify) for folder, manifest in zip((a, b), manifests, strict=True)
    )
    matched = match_pairs([shards_a, shards_b], [a, b])
    rows_a, rows_b = matched.rows
    lists = COMPARED_LISTS if stored else COMPARED_LISTS[:-1]
    columns = ["pair_id", "source_row", "margin", *(f"{side}_{name}" for side in SIDES for name in lists)]
    sums, differing = [], []
    for left, right in matched.frames(columns):
        compared = pl.concat(_compare(left, right, side, stored=stored) for side in SIDES)
        sums.append(compared.group_by("side").agg(_totals(compared)))
        differing.append(_most_different(compared, left, right, pairs, STORED if stored else ORDERING_SHARE))
    totals = pl.concat(sums).group_by("side").sum()
    totals = pl.concat([totals, totals.select(pl.lit(TOGETHER).alias("side"), pl.exclude("side").sum())])
    rows = {row["side"]: row for row in totals.iter_rows(named=True)}
    order = (*SIDES, TOGETHER)
    shares = [*map(format_share, COMPARED_SHARES), *([STORED] if stored else [])]
    worst = pl.concat(differing).sort("jaccard", "correlation", "pair_id", nulls_last=True).head(pairs)
    return Diff(
        pairs=len(matched),
        only_a=rows_a - len(matched),
        only_b=rows_b - len(matched),
        correlations=[
            Correlation(side, rows[side]["responses"], _ratio(rows[side]["correlation"], rows[side]["responses"]))
            for side in order
        ],
        overlaps=[_overlap(share, side, rows[side]) for share in shares for side in order],
        differing=[DifferingPair(**row) for row in worst.iter_rows(named=True)],
    )


def report(found: Diff) -> Iterator[str]:
    """The lines that `sepo diff` prints."""
    yield f"{found.pairs:,} pairs in both, {found.only_a:,} only in the first, {found.only_b:,} only in the second"
    parts: dict[str, Sequence[object]] = {
        "Rank correlation of the rewards within a response (Spearman, mean over responses)": found.correlations,
        "Overlap of the selected tokens": found.overlaps,
        "Pairs that differ most": found.differing,
    }
    for title, rows in parts.items():
        if rows:
            yield ""
            yield title
            yield from table_lines(pl.DataFrame(rows))


def _compare(left: pl.DataFrame, right: pl.DataFrame, side: str, *, stored: bool) -> pl.DataFrame:
    """One row a response: its correlation, and by share the number of tokens selected in a, in b and in both."""
    both = pl.DataFrame({"a": left[f"{side}_rewards"], "b": right[f"{side}_rewards"]}).with_row_index("row")
    ranks = both.select("row", pl.col("a", "b").list.eval(pl.element().rank("average")))
    correlation = ranks.explode("a", "b").group_by("row", maintain_order=True).agg(correlation=pl.corr("a", "b"))
    masks = [
        rows.select(top(share).mask(side).alias(f"{share} {name}") for share in map(format_share, COMPARED_SHARES))
        for name, rows in (("a", left), ("b", right))
    ]
    marked = pl.concat([both.select("row"), *masks], how="horizontal")
    if stored:
        marked = marked.with_columns(
            left[f"{side}_mask"].alias(f"{STORED} a"), right[f"{side}_mask"].alias(f"{STORED} b")
        )
    flat = marked.explode(cs.exclude("row"))
    counts = flat.group_by("row", maintain_order=True).agg(
        pl.len().alias("tokens"),
        pl.exclude("row").sum().cast(pl.Int64),
        *(_in_both(share).sum().cast(pl.Int64).alias(f"{share} both") for share in _shares(flat)),
    )
    chance = [
        (pl.col(f"{share} a") * pl.col(f"{share} b") / pl.col("tokens")).alias(f"{share} chance")
        for share in _shares(flat)
    ]
    # A response of one token, or of equal rewards, has no order to compare.
    return counts.with_columns(
        *chance, correlation["correlation"].fill_nan(None), pl.lit(side).alias("side"), left["pair_id"]
    )


def _in_both(share: str) -> pl.Expr:
    return pl.col(f"{share} a") & pl.col(f"{share} b")


def _totals(compared: pl.DataFrame) -> list[pl.Expr]:
    counted = [f"{share} {name}" for share in _shares(compared) for name in ("a", "b", "both", "chance")]
    return [pl.col("correlation").count().alias("responses"), pl.col("correlation").sum(), pl.col(counted).sum()]


def _shares(frame: pl.DataFrame) -> list[str]:
    return [name.removesuffix(" a") for name in frame.columns if name.endswith(" a")]


def _most_different(
    compared: pl.DataFrame, left: pl.DataFrame, right: pl.DataFrame, pairs: int, share: str
) -> pl.DataFrame:
    """The pairs of a shard whose selections overlap least, over both responses of a pair."""
    in_any = pl.col(f"{share} a") + pl.col(f"{share} b") - pl.col(f"{share} both")
    by_pair = compared.group_by("row", maintain_order=True).agg(
        pl.col("pair_id").first(),
        (pl.col(f"{share} both").sum() / in_any.sum()).alias("jaccard"),
        pl.col("correlation").mean(),
    )
    return (
        by_pair.with_columns(left["source_row"], left["margin"].alias("margin_a"), right["margin"].alias("margin_b"))
        .select("pair_id", "source_row", "jaccard", "correlation", "margin_a", "margin_b")
        .sort("jaccard", "correlation", "pair_id", nulls_last=True)
        .head(pairs)
    )


def _overlap(share: str, side: str, row: dict[str, float]) -> Overlap:
    of_a, of_b, both, chance = (row[f"{share} {name}"] for name in ("a", "b", "both", "chance"))
    return Overlap(
        share, side, int(of_a), int(of_b), int(both), both / (of_a + of_b - both), chance / (of_a + of_b - chance)
    )


def _ratio(total: float, count: int) -> float | None:
    return total / count if count else None
