"""Figure `grid`: what K of the chosen and K of the rejected do, of one oracle or of the policies trained with them."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from sepo_data.errors import SepoError
from sepo_data.report.caption import TOP, model_name, plain, source_text
from sepo_data.report.figure import Figure, figure
from sepo_data.report.labels import LETTER
from sepo_data.report.style import DARK_BLUES, WIDTH, styled
from sepo_data.schemas.stage_names import SIDES, Stage

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from sepo_data.report.source import Source
    from sepo_data.schemas.manifest import Manifest

SHARES = range(10, 101, 10)
"""Percent of each side."""

ACCURACY = "all/accuracies"
"""The result of an evaluation that does not depend on what is selected: over all tokens of the responses."""

MOST_IN_CELL = 10
"""Shares of a side for whose cells there is room for numbers."""


@figure(stages=[Stage.REWARDS, Stage.POLICY], most=None)
def grid(sources: Sequence[Source], /) -> Figure:
    """K of chosen against K of rejected: the oracle's margin of one rewards directory, or the accuracy of policies."""
    if all(source.manifest.stage is Stage.POLICY for source in sources):
        return _of_policies(sources)
    if len(sources) > 1:
        kinds = ", ".join(f"{plain(source.name)} ({source.manifest.stage})" for source in sources)
        raise SepoError(f"grid takes one rewards directory, or policies alone, not {kinds}", "draw each by itself")
    [source] = sources
    table = margin_grid(source)
    caption = (
        f"{source_text(source)} Margin of the oracle on K% of the tokens of each response {TOP}, with a K of each "
        "side: the sum of the selected rewards of chosen minus that of rejected, in beta x nats, mean over pairs."
    )
    title = "mean margin (\N{GREEK SMALL LETTER BETA} \N{MULTIPLICATION SIGN} nats)"
    return Figure("Oracle margin by K of chosen and rejected", caption, table, _chart(table, "margin", title))


def margin_grid(source: Source) -> pl.DataFrame:
    """The oracle's margin on the selection, mean over pairs. Streams: one shard at a time.

    Returns:
        A row for every `chosen` and `rejected` K of 10%, 20%, ... 100%: the `margin`.
    """
    import polars as pl

    from sepo_data.report.kept_by_share import kept_by_share

    of_sides = kept_by_share(source).filter(pl.col("share_percent").is_in(list(SHARES)))
    chosen, rejected = (
        of_sides.filter(side=side).select(
            pl.format("{}%", "share_percent").alias(side), pl.col("reward").alias(f"of_{side}")
        )
        for side in SIDES
    )
    margin = (pl.col("of_chosen") - pl.col("of_rejected")) / max(source.manifest.rows, 1)
    return chosen.join(rejected, how="cross").select(*SIDES, margin.alias("margin"))


def _of_policies(sources: Sequence[Source]) -> Figure:
    from sepo_data.report.intervals import Z

    table = policy_grid(sources)
    other = sorted({key for source in sources for key in _other_options(source, sources[0])})
    note = f" The runs differ in {', '.join(other)}, too." if other else ""
    [pairs, *more] = table["held_out"].unique().to_list()
    held_out, width = "their", ""
    if pairs and not more:
        held_out = f"{pairs:,}"
        half = 50 * Z / pairs**0.5
        width = (
            f" On {pairs:,} pairs the 95% interval of one policy reaches up to {half:.0f} percentage points each way."
        )
    models = sorted({model_name(record) for source in sources for record in source.manifest.models.values()})
    trained = f"Policies trained from {', '.join(models)}: " if models else "Policies: "
    caption = (
        f"{trained}{', '.join(plain(source.name) for source in sources)}. Accuracy on {held_out} held-out pairs after "
        "training on selections with K of chosen and K of rejected: the share with a higher mean log-probability of "
        "all tokens of chosen than of rejected, ties as half. A cell is the mean over its policies, a blank one has "
        f"none.{width}{note}"
    )
    chart = _chart(table, "accuracy", "accuracy on held-out pairs")
    return Figure("Accuracy of policies by K of chosen and rejected", caption, table, chart)


def policy_grid(sources: Sequence[Source]) -> pl.DataFrame:
    """The accuracy of policies on held-out pairs.

    Returns:
        A row for each `chosen` and `rejected` quota that there is a policy of: the number of `policies`; `held_out`,
        the least number of pairs that one was evaluated on, null where that is not recorded; the mean of their
        `accuracy` over all tokens.

    Raises:
        SepoError: a policy was not evaluated on held-out pairs, or its selection is not found, or the selections differ
            in more than their quotas.
    """
    import polars as pl

    selections = [_selection(source) for source in sources]
    _check_comparable(sources, selections)
    rows = [
        {side: plain(str(selection.options[side])) for side in SIDES}
        | {"held_out": _held_out(source, selection), "accuracy": _accuracy(source)}
        for source, selection in zip(sources, selections, strict=True)
    ]
    cells = pl.DataFrame(rows, schema_overrides={"held_out": pl.Int64}).group_by(SIDES, maintain_order=True)
    table = cells.agg(pl.len().cast(pl.Int64).alias("policies"), pl.col("held_out").min(), pl.col("accuracy").mean())
    places = {quota: place for place, quota in enumerate(in_order({*table["chosen"], *table["rejected"]}))}
    return table.sort(pl.col(*SIDES).replace_strict(places))


def in_order(quotas: set[str]) -> list[str]:
    """Quotas by kind and number: 5%, 10%, 16 tokens."""

    def number(quota: str) -> tuple[bool, float, str]:
        found = re.match(r"\d+(\.\d+)?", quota)
        return not quota.endswith("%"), float(found[0]) if found else 0.0, quota

    return sorted(quotas, key=number)


def _accuracy(source: Source) -> float:
    found: Any = source.manifest.results.get("eval")
    after = found.get("after", {}) if isinstance(found, dict) else {}
    if not isinstance(accuracy := after.get(ACCURACY), (int, float)):
        name = plain(source.name)
        state = f"{name} has no accuracy on held-out pairs" if source.complete else f"{name} is not trained to its end"
        again = "--holdout 20%, which evaluates it" if source.complete else "the same options, which resumes it"
        raise SepoError(
            f"{state}, so it has no number to draw", f"run `sepo train` again with {again}, or leave it out"
        )
    return float(accuracy)


def _held_out(source: Source, selection: Manifest) -> int | None:
    """The number of pairs of the selection that the policy was not trained on."""
    limit, trained = source.manifest.options.get("limit"), source.manifest.results.get("pairs")
    rows = min(selection.rows, limit) if isinstance(limit, int) else selection.rows
    return rows - trained if isinstance(trained, int) else None


def _selection(source: Source) -> Manifest:
    from sepo_data.stages.lineage import read_ancestors

    found = read_ancestors(source.manifest).get(Stage.SELECTION)
    if found is None or not all(found.options.get(side) for side in SIDES):
        place = plain(source.manifest.input.name)
        reason = "has no K of its own" if found else "is no longer there, or has changed"
        raise SepoError(
            f"the selection that {plain(source.name)} was trained on, {place}, {reason}, so its K is not known",
            "run this where the selection was made, or leave the policy out",
        )
    return found


def _check_comparable(sources: Sequence[Source], selections: Sequence[Manifest]) -> None:
    """Raise where selections differ in more than their quotas."""
    for source, selection in zip(sources[1:], selections[1:], strict=True):
        keys = [line.partition(":")[0] for line in selections[0].differing_keys(selection)]
        if more := [key for key in keys if key not in {f"options.{side}" for side in SIDES}]:
            raise SepoError(
                f"the selections of {plain(sources[0].name)} and {plain(source.name)} differ in more than K: "
                f"{', '.join(map(plain, more))}",
                "compare policies of one rule on the same rewards",
            )


def _other_options(source: Source, first: Source) -> list[str]:
    """The options in which two trainings differ; the seed is what they are repeated for."""
    options, others = source.manifest.options, first.manifest.options
    return [
        plain(key) for key in options.keys() | others.keys() if options.get(key) != others.get(key) and key != "seed"
    ]


def _chart(table: pl.DataFrame, value: str, title: str) -> Any:  # noqa: ANN401 - altair has no one type of layers
    """A cell for each K of chosen, upwards, and K of rejected, with its number where there is room."""
    import altair as alt

    columns, rows = (in_order(set(table[side])) for side in ("rejected", "chosen"))
    angle = 0 if max(map(len, columns)) * LETTER * len(columns) < WIDTH else -45
    values = table[value].to_list()
    power, form = _number_format(max(map(abs, values)))
    low, high = min(values) / 10**power, max(values) / 10**power
    scaled = table[value] / 10**power
    drawn = table.with_columns(scaled.alias("shown"), (scaled > low + DARK_BLUES * (high - low)).alias("dark"))
    title = f"{title}, 1e{power}" if power else title
    cells = alt.Chart(drawn).encode(
        alt.X("rejected:N", sort=columns)
        .title("K of rejected")
        .axis(labelAngle=angle, labelFontSize=7, grid=False, domain=False),
        alt.Y("chosen:N", sort=rows[::-1]).title("K of chosen").axis(labelFontSize=7, grid=False, domain=False),
    )
    legend = alt.Legend(title=title, titleFontWeight="normal", gradientLength=WIDTH - 20, gradientThickness=8)
    # Equal numbers have no scale, and are light.
    varies = high > low
    scale = alt.Scale(scheme="blues", domain=[low, high if varies else low + 1])
    layers: list[Any] = [cells.mark_rect().encode(alt.Color("shown:Q", scale=scale, legend=legend if varies else None))]
    if max(len(columns), len(rows)) <= MOST_IN_CELL:
        ink = alt.when(alt.datum.dark).then(alt.value("white")).otherwise(alt.value("black"))
        layers.append(cells.mark_text(fontSize=7).encode(alt.Text("shown:Q", format=form), color=ink))
    height = max(16, min(28, WIDTH // len(columns))) * len(rows)
    chart: Any = alt.layer(*layers).properties(width=WIDTH, height=height)
    if not varies:
        chart = chart.properties(title=alt.Title(title, fontSize=8, fontWeight="normal"))
    return styled(chart)


def _number_format(largest: float) -> tuple[int, str]:
    """The power of ten that numbers are written in units of, and their format: few letters fit into a cell."""
    power = math.floor(math.log10(largest)) if largest else 0
    return (0, f".{2 - max(power, 0)}f") if -1 <= power <= 2 else (power, ".2f")  # noqa: PLR2004 - 0.1 to 999
