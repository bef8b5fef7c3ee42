"""Figure `accuracy`: how often the oracle prefers the chosen response, and by how much, by length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sepo_data.report.caption import source_text
from sepo_data.report.figure import Figure, figure
from sepo_data.report.style import HEIGHT, MOST_LEVEL, NEUTRAL, SERIES, WIDTH, styled
from sepo_data.schemas.folder import DATASETS
from sepo_data.schemas.stage_names import SIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from sepo_data.report.source import Source

ALL = "all"
GROUPS = {True: "seen", False: "unseen", None: "unknown"}
"""The names of groups by `oracle_seen`."""

MEANINGS = {"seen": "seen in its training", "unseen": "unseen", "unknown": "without a record of that"}
SHAPES = ("circle", "square", "diamond")

SHORTEST_BIN = 4
"""Number of the first bin of lengths; it holds all up to 15 tokens."""


@figure(stages=DATASETS)
def accuracy(sources: Sequence[Source], /) -> Figure:
    """Oracle accuracy and mean margin by length, of the pairs that the oracle was trained on and of the others."""
    [source] = sources
    table = accuracy_table(source)
    return Figure("Oracle accuracy and margin by length", _caption(source, table), table, _chart(table))


def accuracy_table(source: Source) -> pl.DataFrame:
    """Accuracy and mean margin of the oracle. Streams: one shard at a time.

    Returns:
        A row for each `group` (seen, unseen, unknown: by `oracle_seen`) and bin of the mean length of the two
        responses, rounded down, in tokens (`from_tokens` to `to_tokens`); then, with nulls there, a row a group for all
        lengths, and one for `all` pairs. `pairs`; of these `right`, with a margin above 0, and `ties`, with one of 0;
        `accuracy`, ties as half, and `mean_margin`, each with its 95% interval (`_low`, `_high`).
    """
    import polars as pl

    from sepo_data.report.bins import bin_bounds
    from sepo_data.report.intervals import mean_interval, wilson_interval

    sums = pl.exclude("group", "bin").sum()
    by_bin = _sums_by_bin(source).group_by("group", "bin").agg(sums)
    table = pl.concat(
        [by_bin, by_bin.group_by("group").agg(sums), by_bin.select(pl.lit(ALL).alias("group"), sums)], how="diagonal"
    )
    right, pairs, total = pl.col("right") + pl.col("ties") / 2, pl.col("pairs"), pl.col("total")
    accuracy_low, accuracy_high = wilson_interval(right, pairs)
    margin_low, margin_high = mean_interval(pairs, total, pl.col("squares"))
    bins = table["bin"].drop_nulls().unique().to_list()
    lows = {number: 1 if number == SHORTEST_BIN else bin_bounds(number)[0] for number in bins}
    groups = {name: place for place, name in enumerate([*GROUPS.values(), ALL])}
    order = [pl.col("bin").is_null(), pl.col("group").replace_strict(groups), pl.col("bin")]
    return table.sort(order).select(
        "group",
        pl.col("bin").replace_strict(lows, return_dtype=pl.Int64).alias("from_tokens"),
        pl.col("bin").replace_strict({n: bin_bounds(n)[1] for n in bins}, return_dtype=pl.Int64).alias("to_tokens"),
        "pairs",
        "right",
        "ties",
        (right / pairs).alias("accuracy"),
        accuracy_low.alias("accuracy_low"),
        accuracy_high.alias("accuracy_high"),
        (total / pairs).alias("mean_margin"),
        margin_low.alias("margin_low"),
        margin_high.alias("margin_high"),
    )


def _sums_by_bin(source: Source) -> pl.DataFrame:
    """Counts and sums of margins of each shard by `group` and `bin`."""
    import numpy as np
    import polars as pl

    from sepo_data.report.bins import bin_of

    margin = pl.col("margin").cast(pl.Float64)
    sums = [
        pl.len().cast(pl.Int64).alias("pairs"),
        (margin > 0).sum().cast(pl.Int64).alias("right"),
        (margin == 0).sum().cast(pl.Int64).alias("ties"),
        margin.sum().alias("total"),
        (margin**2).sum().alias("squares"),
    ]
    group = pl.col("oracle_seen").replace_strict(GROUPS, return_dtype=pl.String).alias("group")
    parts = []
    for frame in source.frames(["margin", "oracle_seen", *(f"{side}_tokens" for side in SIDES)]):
        chosen, rejected = (frame[f"{side}_tokens"].to_numpy().astype(np.int64) for side in SIDES)
        bins = pl.Series("bin", np.maximum(bin_of((chosen + rejected) // 2), SHORTEST_BIN))
        parts.append(frame.with_columns(bins).group_by(group, "bin").agg(sums))
    return pl.concat(parts)


def _caption(source: Source, table: pl.DataFrame) -> str:
    totals = table.filter(table["from_tokens"].is_null()).select("group", "pairs")
    of_groups = ", ".join(f"{pairs:,} {MEANINGS[group]}" for group, pairs in totals.iter_rows() if group != ALL)
    return (
        f"{source_text(source)} Accuracy of the oracle: the share of pairs with a margin (sum of the rewards of chosen "
        "minus sum of the rewards of rejected) above 0, ties as half. Below, the mean margin. By the mean length of "
        f"the two responses of a pair, rounded down; pairs by the oracle: {of_groups}. 95% intervals take pairs as "
        "independent: Wilson's for the accuracy, the normal one for the margin. Dashed: an oracle that guesses."
    )


def _chart(table: pl.DataFrame) -> Any:  # noqa: ANN401 - altair has no one type of layers
    """Two panels, accuracy above the mean margin: a mark with its interval for each bin and group."""
    import altair as alt
    import polars as pl

    from sepo_data.report.bins import bin_text

    bounds = table.select("from_tokens", "to_tokens").rows()
    labels = [ALL if low is None else bin_text(low, high) for low, high in bounds]
    drawn = table.with_columns(pl.Series("length", labels)).filter(pl.col("group") != ALL)
    order = drawn.sort("from_tokens", nulls_last=True)["length"].unique(maintain_order=True).to_list()
    axis: dict[str, Any] = {"labelAngle": 0 if len(order) <= MOST_LEVEL else -45, "grid": False}
    length = alt.X("length:N", sort=order)
    panels = [
        _panel(
            drawn,
            ("accuracy", "accuracy_low", "accuracy_high"),
            length.copy().title(None).axis(labels=False, ticks=False, **axis),
            alt.Y().title("accuracy").scale(domain=[0, 1]).axis(grid=True),
            level=0.5,
        ),
        _panel(
            drawn,
            ("mean_margin", "margin_low", "margin_high"),
            length.copy().title("mean tokens of the two responses").axis(**axis),
            alt.Y().title("mean margin (\N{GREEK SMALL LETTER BETA} \N{MULTIPLICATION SIGN} nats)").axis(grid=True),
            level=0.0,
        ),
    ]
    stacked: Any = alt.vconcat(*panels, spacing=6)
    return styled(stacked)


def _panel(drawn: pl.DataFrame, columns: tuple[str, str, str], x: Any, y: Any, *, level: float) -> Any:  # noqa: ANN401
    """The points and intervals of `columns` (value, low, high), and a dashed line at `level`."""
    import altair as alt

    value, low, high = columns
    present = set(drawn["group"])
    names = [name for name in GROUPS.values() if name in present]
    colours, shapes = (
        [of_all[place] for place, name in enumerate(GROUPS.values()) if name in present] for of_all in (SERIES, SHAPES)
    )
    colour = alt.Color("group:N").scale(domain=names, range=colours)
    marks = alt.Chart(drawn).encode(x, alt.XOffset("group:N", sort=names), colour)
    layers: Any = alt.layer(
        alt.Chart(drawn).mark_rule(strokeDash=[4, 2], color=NEUTRAL, strokeWidth=1).encode(y=alt.datum(level)),
        marks.mark_rule(strokeWidth=1.2).encode(_field(y, low), alt.Y2(f"{high}:Q")),
        marks.mark_point(filled=True, size=28, opacity=1).encode(
            _field(y, value), alt.Shape("group:N").scale(domain=names, range=shapes)
        ),
    )
    return layers.properties(width=WIDTH, height=HEIGHT * 2 // 3)


def _field(y: Any, name: str) -> Any:  # noqa: ANN401 - a channel of altair
    channel = y.copy()
    channel.shorthand = f"{name}:Q"
    return channel
