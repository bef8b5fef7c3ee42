"""Figure `distribution`: how the rewards of chosen and of rejected tokens are distributed."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

from sepo_data.report.caption import source_text
from sepo_data.report.figure import Figure, figure
from sepo_data.report.side_encoding import side_colour, side_dash, side_shape
from sepo_data.report.style import HEIGHT, NEUTRAL, WIDTH, styled
from sepo_data.schemas.folder import DATASETS
from sepo_data.schemas.stage_names import SIDES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from sepo_data.report.source import Source

LEAST_BINS, MOST_BINS = 5, 40
"""Between the tails, the square root of the number of tokens within these bounds; as widths are powers of two, there
are up to twice as many."""

TAIL = 0.005
"""Share of all tokens that a tail may hold: an outlier does not press all others into one bin."""


@figure(stages=DATASETS)
def distribution(sources: Sequence[Source], /) -> Figure:
    """Rewards of chosen and of rejected tokens as two distributions."""
    [source] = sources
    table = distribution_table(source)
    return Figure("Distribution of token rewards", _caption(source, table), table, _chart(table))


def distribution_table(source: Source) -> pl.DataFrame:
    """The tokens of each side by bins of reward, all of one width, a power of two: bounds are exact.

    Returns:
        A row a bin and side: `side`; `bin_low` (included) and `bin_high` (not included); `tokens`; `share` of the
        tokens of the side. The first and last bins are open: their outer bound is null. Streams: one shard at a time.
    """
    import numpy as np
    import polars as pl

    width, first, bins = _bins(source)
    edges = [(first + place) * width for place in range(bins + 1)]
    rows = []
    for side in SIDES:
        counts = np.zeros(bins + 2, np.int64)
        for rewards in _rewards(source, [side]):
            # Dividing by a power of two is exact, so no token is on the wrong side of a bound.
            place = np.floor(rewards.astype(np.float64) / width) - first
            counts += np.bincount(np.clip(place, -1, bins).astype(np.intp) + 1, minlength=bins + 2)
        bounds = zip([None, *edges], [*edges, None], counts.tolist(), strict=True)
        rows += [(side, low, high, count, count / max(int(counts.sum()), 1)) for low, high, count in bounds]
    kinds = {"side": pl.String, "bin_low": pl.Float64, "bin_high": pl.Float64, "tokens": pl.Int64, "share": pl.Float64}
    return pl.DataFrame(rows, kinds, orient="row")


def _bins(source: Source) -> tuple[float, int, int]:
    """The inner bins: their width, the number of the first, which begins at `first * width`, and how many they are.

    At most `TAIL` of all tokens are below them, and as many above.
    """
    from sepo_data.selection.kth_highest import kth_highest

    tokens = sum(map(len, _rewards(source, SIDES)))
    if not tokens:
        return 1.0, 0, 1
    outside = int(tokens * TAIL)
    low, high = (kth_highest(lambda: _rewards(source, SIDES), k)[0] for k in (tokens - outside, outside + 1))
    spread = high - low or abs(high) or 1.0  # of equal rewards there is one bin
    bins = min(max(math.isqrt(tokens), LEAST_BINS), MOST_BINS)
    width = 2.0 ** math.floor(math.log2(spread / bins))
    first = math.floor(low / width)
    return width, first, math.floor(high / width) - first + 1


def _rewards(source: Source, sides: Sequence[str]) -> Iterator[NDArray[np.float32]]:
    from sepo_data.selection.ragged import ragged

    for frame in source.frames([f"{side}_rewards" for side in sides]):
        for side in sides:
            yield ragged(frame[f"{side}_rewards"]).values


def _mean_and_median(source: Source, side: str) -> tuple[float, float]:
    """The median of an even number is the mean of the two in the middle; of no tokens, both are NaN."""
    from sepo_data.selection.kth_highest import kth_highest

    tokens, total = 0, 0.0
    for rewards in _rewards(source, [side]):
        tokens, total = tokens + len(rewards), total + float(rewards.sum(dtype="float64"))
    if not tokens:
        return math.nan, math.nan
    middle = {(tokens + 1) // 2, tokens // 2 + 1}
    median = sum(kth_highest(lambda: _rewards(source, [side]), k)[0] for k in middle) / len(middle)
    return total / tokens, median


def _caption(source: Source, table: pl.DataFrame) -> str:
    low, high, width, bins = _inner_bins(table)
    chosen, rejected = (table.filter(side=side)["share"].to_list() for side in SIDES)
    (chosen_mean, chosen_median), (rejected_mean, rejected_median) = (_mean_and_median(source, side) for side in SIDES)
    tails = (
        "The points at the ends are the tails: the tokens with a reward "
        f"below {low:.4g} (chosen {chosen[0]:.2%}, rejected {rejected[0]:.2%}), and from {high:.4g} on "
        f"(chosen {chosen[-1]:.2%}, rejected {rejected[-1]:.2%}). "
    )
    means = (
        f"Mean reward of a token: chosen {chosen_mean:+.3g}, rejected {rejected_mean:+.3g}; "
        f"median: chosen {chosen_median:+.3g}, rejected {rejected_median:+.3g}."
    )
    return (
        f"{source_text(source)} Share of the tokens of each side by reward, all tokens counted, in {bins} bins of "
        f"width {width:.6g}. {tails if chosen[0] + chosen[-1] + rejected[0] + rejected[-1] else ''}"
        f"{means if table['tokens'].sum() else ''}"
    ).rstrip()


def _inner_bins(table: pl.DataFrame) -> tuple[float, float, float, int]:
    """Begin and end of the bins between the tails, their width, and their number."""
    of_side = table.filter(side=SIDES[0]).drop_nulls()
    lows, highs = of_side["bin_low"].to_list(), of_side["bin_high"].to_list()
    return lows[0], highs[-1], highs[0] - lows[0], len(lows)


def _chart(table: pl.DataFrame) -> Any:  # noqa: ANN401 - altair has no one type of layers
    import altair as alt
    import polars as pl

    low, high, width, _ = _inner_bins(table)
    inner = table.drop_nulls()
    # A line with steps ends where its last bin ends.
    last = inner.filter(pl.col("bin_high") == high).with_columns(bin_low=pl.col("bin_high"))
    before, behind = low - 3 * width, high + 3 * width
    share = alt.Y("share:Q").title("share of the side's tokens").axis(format="%", tickCount=5).stack(None)
    reward = alt.X("bin_low:Q").title("reward of a token").scale(domain=[before, behind], nice=False)
    steps = alt.Chart(pl.concat([inner, last])).encode(reward, share, side_colour())
    above = f"\N{GREATER-THAN OR EQUAL TO} {high:.3g}"
    layers: Any = alt.layer(
        steps.mark_area(interpolate="step-after", opacity=0.15),
        steps.mark_line(interpolate="step-after", strokeWidth=1.2).encode(side_dash()),
        *_tail(table.filter(pl.col("bin_low").is_null()), before, f"< {low:.3g}", align="left"),
        *_tail(table.filter(pl.col("bin_high").is_null()), behind, above, align="right"),
    )
    return styled(layers.properties(width=WIDTH, height=HEIGHT))


def _tail(rows: pl.DataFrame, at: float, text: str, *, align: Literal["left", "right"]) -> list[Any]:
    """A point a side, and the bound of the tail above them; nothing for a tail without tokens."""
    import altair as alt
    import polars as pl

    if not rows["tokens"].sum():
        return []
    points = alt.Chart(rows).mark_point(size=20, filled=True, opacity=0.9, clip=False)
    label = alt.Chart(pl.DataFrame({"text": [f"tail: {text}".replace("-", "\N{MINUS SIGN}")]}))
    written = label.mark_text(fontSize=7, color=NEUTRAL, align=align, dx=3 if align == "left" else -3)
    return [
        points.encode(alt.Y("share:Q"), side_colour(), x=alt.datum(at), shape=side_shape()),
        written.encode(alt.Text("text:N"), x=alt.datum(at), y=alt.value(6)),
    ]
