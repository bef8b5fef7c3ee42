"""Figure `agreement`: the tokens that two oracles agree on, by K."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

from sepo_data.report.caption import TOP, source_text
from sepo_data.report.figure import Figure, figure
from sepo_data.report.labels import BETWEEN, LONGEST_OF_TWO, label, legend_columns, short_labels
from sepo_data.report.side_encoding import TOGETHER
from sepo_data.report.style import BOTH, CHOSEN, COLOUR_OF_SIDE, HEIGHT, NEUTRAL, SERIES, WIDTH, styled
from sepo_data.schemas.folder import DATASETS
from sepo_data.schemas.stage_names import SIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from sepo_data.report.source import Source

CHANCE, TWO = "by chance", "two oracles"
MOST_LINES = 10
"""Lines that a legend names; of more, all are alike."""

DASHES = ([1, 0], [4, 2], [6, 2, 1, 2])

Look = tuple[str, list[int]]
"""A colour and dashes."""


@figure(stages=DATASETS, least=2, most=None)
def agreement(sources: Sequence[Source], /) -> Figure:
    """Agreement between oracles: the overlap of the tokens that every two of them select, for K from 1% to 100%."""
    table = agreement_table(sources)
    pairs = table.unique("pairs")["pairs"].sort().to_list()
    shared = f"{pairs[0]:,}" if len(pairs) == 1 else f"{pairs[0]:,} to {pairs[-1]:,}"
    lines = table.unique(["a", "b"]).height
    many = (
        f" Each line is of two of the {len(sources)} directories; the table names them." if lines > MOST_LINES else ""
    )
    caption = (
        f"{source_text(*sources)} Overlap of what two oracles take at K% of the tokens of each response {TOP}: Jaccard "
        f"index, the tokens that both take by those that either takes, over all tokens of the {shared} pairs that both "
        f"scored; together: of both sides. By chance: expected for two random selections of the same sizes"
        f"{', of both sides' if lines == 1 else ''}.{many}"
    )
    return Figure("Agreement between oracles by K", caption, table, _chart(table))


def agreement_table(sources: Sequence[Source]) -> pl.DataFrame:
    """The overlap of the selections of every two sources, as `sepo diff` has it for four shares. Streams by shard.

    Returns:
        For every two, `a` and `b`, each `side` (chosen, rejected, together) and `share_percent` from 1 to 100: `pairs`
        and `tokens` of both; the tokens `selected` by each, the same number, and `in_both`; their `jaccard` index, and
        that expected by `chance`.
    """
    import polars as pl

    return pl.concat(agreement_of_two(a, b) for a, b in combinations(sources, 2))


def agreement_of_two(a: Source, b: Source) -> pl.DataFrame:
    """The rows of `agreement_table` for two sources."""
    import numpy as np
    import polars as pl

    from sepo_data.report.first_shares import SHARES
    from sepo_data.stages.matched_pairs import match_pairs

    matched = match_pairs([a.shards, b.shards], [label(a), label(b)])
    counts = {side: np.zeros((4, len(SHARES))) for side in SIDES}
    for frames in matched.frames([f"{side}_rewards" for side in SIDES]):
        for side in SIDES:
            counts[side] += _counted(*(frame[f"{side}_rewards"] for frame in frames), highest=side == "chosen")
    counts[TOGETHER] = counts["chosen"] + counts["rejected"]
    return pl.concat(
        _with_indices(found).select(
            pl.lit(label(a)).alias("a"),
            pl.lit(label(b)).alias("b"),
            pl.lit(side).alias("side"),
            "share_percent",
            pl.lit(len(matched)).alias("pairs"),
            pl.exclude("share_percent"),
        )
        for side, found in counts.items()
    )


def _counted(a: pl.Series, b: pl.Series, *, highest: bool) -> NDArray[np.float64]:
    """(4, shares) tokens, tokens selected by each, by both, and by both if both were random, of matched responses."""
    import numpy as np

    from sepo_data.report.first_shares import SHARES, first_shares, selected_by_chance
    from sepo_data.selection.ragged import ragged

    rewards = ragged(a)
    first_a, first_b = (first_shares(each, highest=highest) for each in (rewards, ragged(b)))
    selected, in_both = (
        np.bincount(first, minlength=len(SHARES) + 1)[1:].cumsum() for first in (first_a, np.maximum(first_a, first_b))
    )
    tokens = np.full(len(SHARES), len(rewards.values))
    return np.stack([tokens, selected, in_both, selected_by_chance(rewards.lengths)])


def _with_indices(counts: NDArray[np.float64]) -> pl.DataFrame:
    """The columns of `agreement_table` for one side, from the counts of `_counted`."""
    import polars as pl

    from sepo_data.report.first_shares import SHARES

    names = ("tokens", "selected", "in_both", "by_chance")
    found = pl.DataFrame({"share_percent": SHARES} | dict(zip(names, counts, strict=True)))
    selected, in_both, by_chance = (pl.col(name) for name in names[1:])
    return found.select(
        "share_percent",
        pl.col("tokens", "selected", "in_both").cast(pl.Int64),  # exact: they are below 2 ** 53
        jaccard=in_both / (2 * selected - in_both),
        chance=by_chance / (2 * selected - by_chance),
    )


def _chart(table: pl.DataFrame) -> Any:  # noqa: ANN401 - altair has no one type of layers
    """One panel with a line a side for two directories; for more a panel a side with a line for every two of them."""
    import altair as alt
    import polars as pl

    directories = pl.concat([table["a"], table["b"]]).unique(maintain_order=True)
    short = dict(zip(directories, short_labels(directories.to_list(), LONGEST_OF_TWO), strict=True))
    named = table.with_columns(pl.concat_str(pl.col("a", "b").replace_strict(short), separator=BETWEEN).alias("both"))
    names = named["both"].unique(maintain_order=True).to_list()
    if len(names) == 1:
        looks = dict(zip((*SIDES, TOGETHER), zip((*COLOUR_OF_SIDE.values(), BOTH), DASHES, strict=True), strict=True))
        chance = named.filter(side=TOGETHER)
        return styled(_panel(named.with_columns(line="side"), chance, looks).properties(height=HEIGHT))
    if len(names) > MOST_LINES:
        line, looks = pl.lit(TWO), {TWO: (CHOSEN, DASHES[0])}
    else:  # more lines than colours are told apart by their dashes
        line, colours = pl.col("both"), len(SERIES)
        looks = {name: (SERIES[place % colours], DASHES[place // colours]) for place, name in enumerate(names)}
    panels = []
    for side in (*SIDES, TOGETHER):
        rows = named.filter(side=side).with_columns(line=line)
        title = alt.Title(side, fontSize=9, fontWeight="normal")
        panel = _panel(rows, rows, looks, last=side == TOGETHER)
        panels.append(panel.properties(height=HEIGHT // 2, title=title))
    stacked: Any = alt.vconcat(*panels, spacing=8)
    return styled(stacked)


def _panel(lines: pl.DataFrame, chance: pl.DataFrame, looks: dict[str, Look], *, last: bool = True) -> Any:  # noqa: ANN401
    """The `jaccard` of `lines` by their column `line`, in the colour and with the dashes of `looks`; and by chance."""
    import altair as alt
    import polars as pl

    by_chance = chance.with_columns(line=pl.lit(CHANCE), jaccard=pl.col("chance"))
    rows = pl.concat([lines, by_chance], how="diagonal").select("share_percent", "jaccard", "line", "both")
    names, (colours, dashes) = list(looks), zip(*looks.values(), strict=True)
    domain = [*names, CHANCE]
    legend = alt.Legend(columns=legend_columns(domain), symbolStrokeWidth=1.5, labelLimit=WIDTH)
    chart = (
        alt.Chart(rows)
        .mark_line(strokeWidth=1.4, strokeOpacity=0.4 if TWO in looks else 1)
        .encode(
            alt.X("share_percent:Q")
            .title("tokens taken of each response, K (%)" if last else None)
            .scale(domain=[0, 100]),
            alt.Y("jaccard:Q").title("overlap (Jaccard)").scale(domain=[0, 1]),
            alt.Color("line:N", legend=legend).scale(domain=domain, range=[*colours, NEUTRAL]),
            alt.StrokeDash("line:N").scale(domain=domain, range=[*dashes, [1, 2]]),
            alt.Detail("both:N"),
        )
    )
    return chart.properties(width=WIDTH)
