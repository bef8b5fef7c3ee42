"""Figure `fractions`: the oracle's data, how many pairs it takes until the rewards stay the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sepo_data.errors import SepoError
from sepo_data.report.caption import TOP, plain, source_text
from sepo_data.report.figure import Figure, figure
from sepo_data.report.figures.agreement import agreement_of_two
from sepo_data.report.labels import whole_ticks
from sepo_data.report.side_encoding import TOGETHER
from sepo_data.report.style import BOTH, CHOSEN, HEIGHT, NEUTRAL, WIDTH, styled
from sepo_data.schemas.stage_names import Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from sepo_data.report.source import Source

SHARE_PERCENT = 30
"""The K at which oracles are compared."""


@figure(stages=[Stage.REWARDS], least=2, most=None)
def fractions(sources: Sequence[Source], /) -> Figure:
    """Oracles of more and less data: accuracy on unseen pairs, and agreement with the oracle of the most data."""
    table = fractions_table(sources)
    most = table.filter(table["jaccard"].is_null())["directory"][0]
    counted = table.filter(recorded=False)["directory"].to_list()
    note = f" Of {', '.join(counted)} only the pairs in the directory are counted." if counted else ""
    caption = (
        f"{source_text(*sources)} By the number of pairs that the oracle was trained on.{note} Above: its accuracy on "
        "the other pairs of its directory, so on fewer the more it was trained on: the share with a margin above 0, "
        "ties as half, with Wilson's 95% interval over pairs; dashed: an oracle that guesses. Below: agreement with "
        f"the oracle of the most data ({most}): overlap (Jaccard index) of what both take at {SHARE_PERCENT}% of the "
        f"tokens of each response {TOP}, over both sides; dashed: expected for two random selections."
    )
    return Figure("Accuracy and agreement by the oracle's data", caption, table, _chart(table))


def fractions_table(sources: Sequence[Source]) -> pl.DataFrame:
    """Accuracy and agreement of oracles by the pairs they were trained on. Streams: one shard at a time.

    Returns:
        A row a `directory` in the order of `oracle_pairs`, which its oracle was trained on: as its manifest says where
        `recorded`, else those of the directory that have `oracle_seen`. `fraction`, of the oracle's data, where that is
        recorded; `unseen_pairs` in the directory and the `accuracy` on them with its 95% interval (`accuracy_low`,
        `accuracy_high`), null where there are none; with the directory of the most pairs the `jaccard` index at 30% of
        both sides and that expected by `chance`, null for itself.

    Raises:
        SepoError: it is not known which pairs an oracle was trained on.
    """
    import polars as pl

    from sepo_data.report.intervals import wilson_interval

    rows = sorted(
        ((_counts(source), source) for source in sources), key=lambda found: found[0]["oracle_pairs"], reverse=True
    )
    (largest, of_most), *others = rows
    compared = [largest | {"jaccard": None, "chance": None}]
    for counts, source in others:
        both = agreement_of_two(source, of_most).filter(side=TOGETHER, share_percent=SHARE_PERCENT)
        compared.append(counts | both.select("jaccard", "chance").row(0, named=True))
    kinds = {"fraction": pl.String, "jaccard": pl.Float64, "chance": pl.Float64}
    table = pl.DataFrame(compared, schema_overrides=kinds, infer_schema_length=None).reverse()
    unseen = pl.col("unseen_pairs")
    low, high = wilson_interval(pl.col("right"), unseen)
    return table.select(
        "directory",
        "oracle_pairs",
        "recorded",
        "fraction",
        "unseen_pairs",
        pl.when(unseen > 0).then(pl.col("right") / unseen).alias("accuracy"),
        low.alias("accuracy_low"),
        high.alias("accuracy_high"),
        "jaccard",
        "chance",
    )


def _counts(source: Source) -> dict[str, Any]:
    """The pairs of a directory by `oracle_seen`, and what is recorded of its oracle."""
    import polars as pl

    margin, unseen = pl.col("margin"), ~pl.col("oracle_seen")
    parts = [
        frame.select(
            pl.col("oracle_seen").is_null().sum().alias("unknown"),
            pl.col("oracle_seen").sum().alias("seen"),
            unseen.sum().alias("unseen_pairs"),
            (((margin > 0).cast(pl.Float64) + (margin >= 0).cast(pl.Float64)) / 2).filter(unseen).sum().alias("right"),
        )
        for frame in source.frames(["oracle_seen", "margin"])
    ]
    counts: dict[str, Any] = pl.concat(parts).sum().row(0, named=True)
    if unknown := counts.pop("unknown"):
        raise SepoError(
            f"{plain(source.name)} has {unknown:,} pairs of which it is not recorded whether its oracle was trained on "
            "them, so it has no place on the axis",
            "score with an oracle that `sepo oracle` made, which records its pairs",
        )
    seen, fraction = _recorded(source)
    counted = counts.pop("seen")
    return {
        "directory": plain(source.name),
        "oracle_pairs": counted if seen is None else seen,
        "recorded": seen is not None,
        "fraction": fraction,
    } | counts


def _recorded(source: Source) -> tuple[int | None, str | None]:
    """The pairs that the oracle was trained on and its option --fraction, where its directory is still there."""
    from sepo_data.stages.lineage import read_ancestors

    oracle = read_ancestors(source.manifest).get(Stage.ORACLE)
    if oracle is None:
        return None, None
    pairs, fraction = oracle.results.get("pairs_seen"), oracle.options.get("fraction")
    return pairs if isinstance(pairs, int) else None, fraction if isinstance(fraction, str) else None


def _chart(table: pl.DataFrame) -> Any:  # noqa: ANN401 - altair has no one type of layers
    """Two panels, accuracy with intervals above agreement with chance."""
    import altair as alt
    import polars as pl

    most = max(table["oracle_pairs"].to_list())
    marks = alt.Chart(table)

    def pairs(*, last: bool) -> Any:  # noqa: ANN401
        title = "pairs that the oracle was trained on" if last else None
        return alt.X("oracle_pairs:Q").title(title).scale(domain=[0, most]).axis(values=whole_ticks(most), format=",d")

    accuracy = alt.Y("accuracy:Q").title("accuracy, unseen pairs").scale(domain=[0, 1]).axis(grid=True)
    agreement = alt.Y("jaccard:Q").title(f"agreement at {SHARE_PERCENT}%").scale(domain=[0, 1])
    guess: dict[str, Any] = {"strokeDash": [4, 2], "strokeWidth": 1, "color": NEUTRAL}
    known = marks.transform_filter(alt.datum.accuracy != None)  # noqa: E711 - an expression of Vega
    above: Any = alt.layer(
        marks.mark_rule(**guess).encode(y=alt.datum(0.5)),
        known.mark_line(color=CHOSEN, strokeWidth=1.2).encode(pairs(last=False), accuracy),
        known.mark_rule(color=CHOSEN).encode(
            pairs(last=False), alt.Y("accuracy_low:Q").title("accuracy, unseen pairs"), alt.Y2("accuracy_high:Q")
        ),
        known.mark_point(color=CHOSEN, filled=True, size=28, opacity=1).encode(pairs(last=False), accuracy),
    )
    compared = alt.Chart(table.filter(pl.col("jaccard").is_not_null()))
    below: Any = alt.layer(
        compared.mark_line(**guess).encode(pairs(last=True), alt.Y("chance:Q").title(f"agreement at {SHARE_PERCENT}%")),
        compared.mark_line(color=BOTH, strokeWidth=1.2).encode(pairs(last=True), agreement),
        compared.mark_point(color=BOTH, filled=True, shape="square", size=28, opacity=1).encode(
            pairs(last=True), agreement
        ),
    )
    panels = [panel.properties(width=WIDTH, height=HEIGHT * 2 // 3) for panel in (above, below)]
    stacked: Any = alt.vconcat(*panels, spacing=6)
    return styled(stacked)
