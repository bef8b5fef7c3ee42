"""Figure `overlap`: the tokens that two stored selections have in common."""

from __future__ import annotations

import re
from itertools import combinations
from typing import TYPE_CHECKING, Any

from sepo_data.report.caption import plain, source_text
from sepo_data.report.figure import Figure, figure
from sepo_data.report.labels import BETWEEN, LETTER, LONGEST_OF_TWO, label, short_labels
from sepo_data.report.side_encoding import TOGETHER
from sepo_data.report.style import BOTH, COLOUR_OF_SIDE, DARK_BLUES, HEIGHT, NEUTRAL, WIDTH, styled
from sepo_data.schemas.stage_names import SIDES, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from sepo_data.report.source import Source

SELECTED = ("selected_a", "selected_b", "in_both")

LONGEST_IN_MATRIX = 18
"""Letters of a label beside a matrix."""

CELLS, MOST_WITH_CHANCE, MOST_WITH_NUMBERS = 150, 5, 10
"""Points that the cells of a matrix have across; the directories for whose cells there is room for both numbers, and
for one."""


@figure(stages=[Stage.SELECTION], least=2, most=None)
def overlap(sources: Sequence[Source], /) -> Figure:
    """Overlap between selections: of the stored masks of every two, by K where they differ in nothing else."""
    by_k = sorted(sources, key=_quotas) if differ_in_k(sources) else None
    names = list(map(label, sources)) if by_k is None else list(map(_k_text, by_k))
    table = overlap_table(by_k or sources, names)
    two, small = len(names) == 2, len(names) <= MOST_WITH_CHANCE  # noqa: PLR2004 - of two there are bars
    place = "Ticks" if two else "In brackets" if small else "In the table"
    caption = (
        f"{source_text(*sources, of_rewards=False)} Overlap of every two selections as they are stored: Jaccard index, "
        "the tokens selected in both by those selected in either, over all tokens of the pairs that both have; "
        "together: of both sides. At most, it is the size of the smaller selection by that of the larger. "
        f"{place}: expected for two random selections of as many tokens of each response."
    )
    return Figure(
        "Overlap between selections",
        caption,
        table,
        _bars(table, names, by_k=by_k is not None) if two else _matrices(table, names, by_k=by_k is not None),
    )


def overlap_table(sources: Sequence[Source], names: Sequence[str]) -> pl.DataFrame:
    """The overlap of the stored masks of every two selections. Streams: by shard.

    Returns:
        For every two, `a` and `b` of `names`, each `side` (chosen, rejected, together): `pairs` and `tokens` of both,
        the tokens selected in each, `selected_a` and `selected_b`, and `in_both`; their `jaccard` index, and that
        expected by `chance` for as many tokens of each response.
    """
    import polars as pl

    named = zip(names, sources, strict=True)
    found = pl.concat(_of_two(a, b, [name_a, name_b]) for (name_a, a), (name_b, b) in combinations(named, 2))
    in_any, by_chance = pl.col("selected_a") + pl.col("selected_b"), pl.col("by_chance")
    return found.with_columns(
        jaccard=pl.col("in_both") / (in_any - pl.col("in_both")), chance=by_chance / (in_any - by_chance)
    ).drop("by_chance")


def differ_in_k(sources: Sequence[Source]) -> bool:
    """True if the selections are of the same rewards, and each has other quotas and nothing else."""
    options = [source.manifest.options for source in sources]
    rules = [
        (source.manifest.parent, {key: value for key, value in source.manifest.options.items() if key not in SIDES})
        for source in sources
    ]
    shares = {tuple(each.get(side) for side in SIDES) for each in options}
    return all(rule == rules[0] for rule in rules) and len(shares) == len(sources) and all(map(all, shares))


def _quotas(source: Source) -> list[tuple[float, str]]:
    """The quotas of both sides, in the order of their numbers: 5%, 10%, 16 tokens."""
    found = [str(source.manifest.options[side]) for side in SIDES]
    return [(float("".join(re.findall(r"^[\d.]+", quota)) or 0), quota) for quota in found]


def _k_text(source: Source) -> str:
    (_, chosen), (_, rejected) = _quotas(source)
    return plain(chosen if chosen == rejected else f"{chosen} / {rejected}")


def _k_title(names: Sequence[str]) -> str:
    """The title of an axis of K, from `_k_text`."""
    return "K (chosen / rejected)" if any(" / " in name for name in names) else "K"


def _of_two(a: Source, b: Source, names: Sequence[str]) -> pl.DataFrame:
    import numpy as np
    import polars as pl

    from sepo_data.stages.matched_pairs import match_pairs

    matched = match_pairs([a.shards, b.shards], [label(a), label(b)])
    counts = {side: np.zeros(5) for side in SIDES}
    for frames in matched.frames([f"{side}_mask" for side in SIDES]):
        for side in SIDES:
            counts[side] += _counted(*(frame[f"{side}_mask"] for frame in frames))
    counts[TOGETHER] = sum(counts.values(), np.zeros(5))
    labels = {"a": names[0], "b": names[1], "pairs": len(matched)}
    rows = [
        {**labels, "side": side, **dict(zip(("tokens", *SELECTED, "by_chance"), found.tolist(), strict=True))}
        for side, found in counts.items()
    ]
    # Counts are exact in float64: they are below 2 ** 53.
    return pl.DataFrame(rows).with_columns(pl.col("tokens", *SELECTED).cast(pl.Int64))


def _counted(a: pl.Series, b: pl.Series) -> NDArray[np.float64]:
    """(5,) tokens, selected in a, in b and in both masks, and in both if they were random."""
    import numpy as np

    from sepo_data.selection.ragged import ragged

    mask_a, mask_b = ragged(a), ragged(b)
    of_a, of_b, in_both = mask_a.sums(), mask_b.sums(), mask_a.values & mask_b.values
    by_chance = (of_a * of_b / np.maximum(mask_a.lengths, 1)).sum()
    return np.array([len(in_both), of_a.sum(), of_b.sum(), in_both.sum(), by_chance])


def _bars(table: pl.DataFrame, names: Sequence[str], *, by_k: bool) -> Any:  # noqa: ANN401
    """A bar a side with its number, and a tick at chance."""
    import altair as alt
    import polars as pl

    colours = {**COLOUR_OF_SIDE, TOGETHER: BOTH}
    scale = alt.Scale(domain=list(colours), range=list(colours.values()))
    # The number is behind the bar and the tick.
    drawn = table.with_columns(right=pl.max_horizontal("jaccard", "chance"))
    rows = alt.Chart(drawn).encode(y=alt.Y("side:N", title=None, sort=list(colours)))
    bars = rows.mark_bar(height=16).encode(
        alt.X("jaccard:Q", title="overlap (Jaccard)", scale=alt.Scale(domain=[0, 1])),
        color=alt.Color("side:N", scale=scale, legend=None),
    )
    numbers = rows.mark_text(align="left", dx=3, fontSize=8).encode(
        x="right:Q", text=alt.Text("jaccard:Q", format=".2f")
    )
    ticks = rows.mark_tick(color=NEUTRAL, thickness=2, height=20).encode(x="chance:Q")
    shown = BETWEEN.join(short_labels(names, LONGEST_OF_TWO))
    title = alt.Title(f"{_k_title(names)}: {shown}" if by_k else shown, fontSize=9, fontWeight="normal", limit=WIDTH)
    chart: Any = (bars + ticks + numbers).properties(width=WIDTH, height=HEIGHT // 2, title=title)
    return styled(chart)


def _matrices(table: pl.DataFrame, names: Sequence[str], *, by_k: bool) -> Any:  # noqa: ANN401
    """A triangle of cells a side, the darker the larger the overlap, with its number where there is room."""
    import altair as alt
    import polars as pl

    step = CELLS // (len(names) - 1)
    scale = alt.Scale(domain=[0, 1], scheme="blues")
    both = len(names) <= MOST_WITH_CHANCE
    k = _k_title(names) if by_k else None
    shown = short_labels(names, LONGEST_IN_MATRIX)
    drawn = table.with_columns(pl.col("a", "b").replace_strict(dict(zip(names, shown, strict=True))))
    level = max(map(len, shown)) * LETTER * len(shown) < CELLS
    named = alt.Axis(labelAngle=0 if level else -45, labelLimit=CELLS, grid=False, domain=False)
    bare = alt.Axis(labels=False, ticks=False, title=None, grid=False, domain=False)
    panels = []
    for side in (*SIDES, TOGETHER):
        cells = alt.Chart(drawn.filter(pl.col("side") == side)).encode(
            alt.X("a:N", title=k, sort=shown, axis=named if side == TOGETHER else bare),
            alt.Y("b:N", title=None, sort=shown, axis=alt.Axis(labelLimit=CELLS, grid=False, domain=False)),
        )
        legend = alt.Legend(
            title="overlap (Jaccard)", titleFontWeight="normal", gradientLength=CELLS, gradientThickness=8
        )
        layers: list[Any] = [cells.mark_rect().encode(color=alt.Color("jaccard:Q", scale=scale, legend=legend))]
        ink = alt.condition(alt.datum.jaccard > DARK_BLUES, alt.value("white"), alt.value("black"))
        if len(names) <= MOST_WITH_NUMBERS:
            number = cells.mark_text(fontSize=8 if both else 7, dy=-4 if both else 0)
            layers.append(number.encode(text=alt.Text("jaccard:Q", format=".2f"), color=ink))
        if both:
            chance = cells.transform_calculate(chance="'(' + format(datum.chance, '.2f') + ')'")
            layers.append(chance.mark_text(fontSize=7, dy=6).encode(text="chance:N", color=ink))
        title = alt.Title(side, fontSize=9, fontWeight="normal")
        height = max(14, min(step, 26)) * (len(names) - 1)
        panels.append(alt.layer(*layers).properties(width=CELLS, height=height, title=title))
    stacked: Any = alt.vconcat(*panels, spacing=6)
    return styled(stacked)
