"""Figure `kept`: the share of tokens that a selection keeps, by position, by length and by class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sepo_data.report.caption import source_text
from sepo_data.report.figure import Figure, figure
from sepo_data.report.figures.classes import CLASSES, DEFINITION, classes_of
from sepo_data.report.style import COLOUR_OF_SIDE, HEIGHT, MOST_LEVEL, WIDTH, styled
from sepo_data.schemas.stage_names import SIDES, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from sepo_data.report.source import Source

POSITION, LENGTH, CLASS = "position", "length", "class"

TITLES = {
    POSITION: "position in the response (tokens)",
    LENGTH: "length of the response (tokens)",
    CLASS: "class of the token",
}


@figure(stages=[Stage.SELECTION])
def kept(sources: Sequence[Source], /) -> Figure:
    """Tokens that a selection keeps, as a share: by their place, by the length of the response and by their class."""
    [source] = sources
    table = kept_table(source)
    caption = (
        f"{source_text(source, of_rewards=False)} Share of the tokens that are selected, of all tokens of the side, by "
        "their position in the response, from 0, by the length of the response, and by class. "
        f"{DEFINITION} Dashed: the share of all tokens of a side."
    )
    return Figure("Tokens that the selection keeps", caption, table, _chart(table))


def kept_table(source: Source) -> pl.DataFrame:
    """The selected tokens of each side by groups. Streams: one shard at a time.

    Returns:
        For `by` position (in the response, from 0), length (of the response, in tokens) and class, a row for each
        `group` and `side`: `tokens`, `selected` of them, and their `share`. Groups without tokens are left out.
    """
    import numpy as np
    import polars as pl

    from sepo_data.report.bins import bin_bounds, bin_text
    from sepo_data.selection.ragged import ragged
    from sepo_data.selection.token_classes import token_classes

    vocabulary = token_classes(source.folder)
    totals = {(by, side): np.zeros((2, 0), np.int64) for by in TITLES for side in SIDES}
    for frame in source.frames([f"{side}_{name}" for side in SIDES for name in ("ids", "mask")]):
        for side in SIDES:
            ids, mask = ragged(frame[f"{side}_ids"]), ragged(frame[f"{side}_mask"])
            for by, counts in _counted(mask, classes_of(ids, vocabulary)).items():
                totals[by, side] = _added(totals[by, side], counts)
    rows = [
        (by, place, CLASSES[place] if by == CLASS else bin_text(*bin_bounds(place)), side, tokens, selected)
        for (by, side), counts in totals.items()
        for place, (tokens, selected) in enumerate(counts.T.tolist())
        if tokens
    ]
    table = pl.DataFrame(rows, ["by", "place", "group", "side", "tokens", "selected"], orient="row")
    order = [pl.col("by").replace_strict({by: at for at, by in enumerate(TITLES)}), pl.col("place"), pl.col("side")]
    return table.sort(order).drop("place").with_columns(share=pl.col("selected") / pl.col("tokens"))


def _counted(mask: Any, classes: NDArray[np.intp]) -> dict[str, NDArray[np.int64]]:  # noqa: ANN401 - a Ragged of booleans
    """For each way to group them (2, groups): tokens and selected tokens."""
    import numpy as np

    from sepo_data.report.bins import bin_of

    selected = mask.values
    of_rows = bin_of(mask.lengths)
    by_length = [np.bincount(of_rows, weights=each).astype(np.int64) for each in (mask.lengths, mask.sums())]
    by_token = {POSITION: bin_of(mask.positions), CLASS: classes}
    found = {
        by: np.stack([np.bincount(groups), np.bincount(groups[selected], minlength=groups.max(initial=-1) + 1)])
        for by, groups in by_token.items()
    }
    return found | {LENGTH: np.stack(by_length)}


def _added(one: NDArray[np.int64], other: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sum of counts of which one may have fewer groups."""
    import numpy as np

    total = np.zeros((2, max(one.shape[1], other.shape[1])), np.int64)
    total[:, : one.shape[1]] += one
    total[:, : other.shape[1]] += other
    return total


def _chart(table: pl.DataFrame) -> Any:  # noqa: ANN401 - altair has no one type of layers
    """Three panels of bars, a bar a group and side."""
    import altair as alt
    import polars as pl

    sums = table.filter(by=CLASS).group_by("side").agg(pl.col("tokens", "selected").sum())
    overall = sums.with_columns(share=pl.col("selected") / pl.col("tokens"))
    colour = alt.Color("side:N").scale(domain=list(SIDES), range=list(COLOUR_OF_SIDE.values()))
    highest = max(table["share"].to_list())
    panels = []
    for by, title in TITLES.items():
        rows = table.filter(by=by)
        groups = rows["group"].unique(maintain_order=True).to_list()
        axis = alt.Axis(labelAngle=0 if len(groups) <= MOST_LEVEL else -45, grid=False)
        if by == CLASS:  # the words of a name one below the other
            axis = alt.Axis(labelExpr="split(datum.label, ' ')", labelAngle=0, labelFontSize=7, grid=False)
        share = alt.Y("share:Q").title("share kept").axis(format="%", tickCount=4, grid=True).scale(domain=[0, highest])
        bars = (
            alt.Chart(rows)
            .mark_bar()
            .encode(
                alt.X("group:N", sort=groups).title(title).axis(axis),
                share,
                alt.XOffset("side:N", sort=list(SIDES)),
                colour,
            )
        )
        level = alt.Chart(overall).mark_rule(strokeDash=[4, 2], strokeWidth=1.2).encode(share, colour)
        panels.append((bars + level).properties(width=WIDTH, height=HEIGHT // 2))
    stacked: Any = alt.vconcat(*panels, spacing=8).resolve_scale(x="independent", xOffset="independent")
    return styled(stacked)
