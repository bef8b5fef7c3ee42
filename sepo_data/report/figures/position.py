"""Figure `position`: the mean reward of a token by its place in the response."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sepo_data.report.caption import INTERVALS_OF_MEANS, all_tokens_text, source_text
from sepo_data.report.figure import Figure, figure
from sepo_data.report.side_encoding import side_colour, side_dash, side_shape
from sepo_data.report.style import HEIGHT, MOST_LEVEL, WIDTH, styled
from sepo_data.schemas.folder import DATASETS
from sepo_data.schemas.stage_names import SIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from sepo_data.report.source import Source

MOST_BINS = 64
"""Of positions: each holds twice as many as the one before it, so no response is longer."""


@figure(stages=DATASETS)
def position(sources: Sequence[Source], /) -> Figure:
    """Mean reward of a token by its position in the response, with 95% intervals."""
    [source] = sources
    table = position_table(source)
    return Figure("Reward by position", _caption(source), table, _chart(table))


def position_table(source: Source) -> pl.DataFrame:
    """The tokens of each side by position, in the bins 0, 1, 2-3, 4-7, 8-15, ... Streams: one shard at a time.

    Returns:
        A row a side and bin up to the last with tokens: `side`; `position_low` and `position_high`, both included;
        `tokens`; `absolute_reward`, the sum of their |reward|; `mean_reward`, and its 95% interval from `low` to
        `high`. A mean of no token is null, as is an interval of fewer than two.
    """
    import numpy as np
    import polars as pl

    from sepo_data.report.bins import bin_bounds, bin_of
    from sepo_data.report.reward_sums import SUMS, reward_sums, with_means
    from sepo_data.selection.ragged import ragged

    sums = {side: np.zeros((len(SUMS), MOST_BINS)) for side in SIDES}
    for frame in source.frames([f"{side}_rewards" for side in SIDES]):
        for side in SIDES:
            rewards = ragged(frame[f"{side}_rewards"])
            sums[side] += reward_sums(bin_of(rewards.positions), rewards.values, MOST_BINS)
    bins = 1 + max(int(np.flatnonzero(of_side[0]).max(initial=0)) for of_side in sums.values())
    low, high = zip(*map(bin_bounds, range(bins)), strict=True)
    tables = [
        pl.DataFrame({"side": [side] * bins, "position_low": low, "position_high": high}).with_columns(
            pl.Series(name, of_side[row, :bins]) for row, name in enumerate(SUMS)
        )
        for side, of_side in sums.items()
    ]
    return with_means(pl.concat(tables)).with_columns(pl.col("tokens").cast(pl.Int64))


def _caption(source: Source) -> str:
    return (
        f"{source_text(source)} Mean reward of a token by its position in the response, from 0; bins are twice as wide "
        f"from one to the next, and only responses that are long enough have tokens in the later ones."
        f"{all_tokens_text(source)} {INTERVALS_OF_MEANS}"
    )


def _chart(table: pl.DataFrame) -> Any:  # noqa: ANN401 - altair has no one type of layers
    import altair as alt
    import polars as pl

    from sepo_data.report.bins import bin_text

    drawn = table.filter(pl.col("tokens") > 0)
    bins = [bin_text(*bounds) for bounds in drawn.select("position_low", "position_high").iter_rows()]
    drawn = drawn.with_columns(pl.Series("bin", bins, pl.String))
    order = drawn.sort("position_low")["bin"].unique(maintain_order=True).to_list()
    angle = 0 if len(order) <= MOST_LEVEL else -45
    reward = alt.Y("mean_reward:Q").title("mean reward of a token").scale(zero=True)
    side = alt.XOffset("side:N").scale(domain=list(SIDES), paddingInner=0.4, paddingOuter=0.8)
    place = alt.X("bin:N").sort(order).title("position in the response (tokens)").axis(labelAngle=angle, grid=True)
    base = alt.Chart(drawn).encode(place, reward, side_colour(), side)
    intervals = alt.Chart(drawn.drop_nulls("low")).encode(
        place, alt.Y("low:Q").title("mean reward of a token"), alt.Y2("high"), side_colour(), side
    )
    layers: Any = alt.layer(
        alt.Chart(pl.DataFrame({"zero": [0]})).mark_rule(color="#888888", strokeWidth=0.7).encode(alt.Y("zero:Q")),
        base.mark_line(strokeWidth=0.9, opacity=0.8).encode(side_dash()),
        intervals.mark_rule(strokeWidth=1),
        base.mark_point(size=18, filled=True, opacity=1).encode(shape=side_shape()),
    )
    return styled(layers.properties(width=WIDTH, height=HEIGHT))
