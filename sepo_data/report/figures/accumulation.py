"""Figure `accumulation`: the reward that the best tokens of each response add up to, by the share of tokens taken."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sepo_data.report.caption import TOP, source_text
from sepo_data.report.figure import Figure, figure
from sepo_data.report.side_encoding import GAP, side_colour, side_dash
from sepo_data.report.style import HEIGHT, WIDTH, styled
from sepo_data.schemas.folder import DATASETS
from sepo_data.schemas.stage_names import SIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from sepo_data.report.source import Source

MARKED = 80
"""Percent of the total whose share of tokens is marked."""

METHOD_SHARE = 30
"""The share of tokens that the paper's method keeps, in percent."""

DEFINITION = (
    f"Sum of the rewards of K% of the tokens of each response {TOP}, mean over pairs; gap: chosen minus rejected. "
    "At 100% the curves end at the mean reward of a response and, for the gap, the mean margin."
)


@figure(stages=DATASETS)
def accumulation(sources: Sequence[Source], /) -> Figure:
    """Cumulative reward against the share of tokens: chosen from the highest, rejected from the lowest."""
    [source] = sources
    table = accumulation_table(source)
    return Figure("Cumulative reward by share of tokens", _caption(source, table), table, _chart(table))


def accumulation_table(source: Source) -> pl.DataFrame:
    """The rewards that the rule `top` keeps at every share, and their gap. Streams: one shard at a time.

    Returns:
        A row a share for chosen, for rejected and for their gap, chosen minus rejected: `side`; `share_percent`;
        `tokens` kept of all pairs; `reward_per_pair`, the mean over pairs of the sum of their rewards; `of_total`,
        that sum by the sum at 100%, null where that is 0; `of_absolute`, the share of the sum of all |reward| that is
        kept; `reaches`, true in one row of a side, at the lowest share with 80% of the total, or in none, where the
        total of chosen or of the gap is not above 0, or that of rejected is not below 0.
    """
    import polars as pl

    from sepo_data.report.kept_by_share import kept_by_share

    kept = kept_by_share(source)
    chosen, rejected = (kept.filter(side=side) for side in SIDES)
    gap = chosen.with_columns(
        side=pl.lit(GAP),
        tokens=chosen["tokens"] + rejected["tokens"],
        reward=chosen["reward"] - rejected["reward"],
        absolute_reward=chosen["absolute_reward"] + rejected["absolute_reward"],
    )
    return pl.concat([_series(rows, source.manifest.rows) for rows in (chosen, rejected, gap)])


def _series(rows: pl.DataFrame, pairs: int) -> pl.DataFrame:
    import polars as pl

    reward, absolute = pl.col("reward"), pl.col("absolute_reward")
    total, total_absolute = reward.last(), absolute.last()
    right_sign = (total < 0) if rows["side"][0] == "rejected" else (total > 0)
    reached = right_sign & (reward / total >= MARKED / 100)
    return rows.select(
        "side",
        "share_percent",
        "tokens",
        reward_per_pair=reward / max(pairs, 1),
        of_total=pl.when(total != 0).then(reward / total),
        of_absolute=pl.when(total_absolute > 0).then(absolute / total_absolute),
        reaches=reached & (reached.cum_sum() == 1),
    )


def _caption(source: Source, table: pl.DataFrame) -> str:
    rows = {side: table.filter(side=side) for side in (*SIDES, GAP)}
    return " ".join(
        [
            source_text(source),
            DEFINITION,
            *_beyond_the_end(rows),
            f"Marked (\N{BULLET}) is the smallest K at which {MARKED}% of the value at 100% is reached:",
            "; ".join(_reached(side, of_side) for side, of_side in rows.items()) + ".",
            *_absolute_share(rows),
        ]
    )


def _beyond_the_end(rows: dict[str, pl.DataFrame]) -> list[str]:
    curves = [rows[side]["reward_per_pair"].to_numpy() * (-1 if side == "rejected" else 1) for side in rows]
    if all(curve.max() - curve[-1] <= abs(curve).max() * 1e-9 for curve in curves):  # but for rounding
        return []
    return ["A curve goes beyond its value at 100% and comes back, as the last tokens have rewards of the other sign."]


def _absolute_share(rows: dict[str, pl.DataFrame]) -> list[str]:
    kept = {side: of_side.filter(share_percent=METHOD_SHARE)["of_absolute"][0] for side, of_side in rows.items()}
    shares = [f"{'both' if side == GAP else side} {share:.1%}" for side, share in kept.items() if share is not None]
    return [f"K = {METHOD_SHARE}% takes this share of the sum of all |reward|: {', '.join(shares)}."] if shares else []


def _reached(side: str, rows: pl.DataFrame) -> str:
    at, total = rows.filter("reaches"), rows["reward_per_pair"][-1]
    if at.height:
        return f"{side} {at['share_percent'][0]}% (of {total:+.4g})"
    wrong = "not below 0" if side == "rejected" else "not above 0"
    return f"{side} none, as its value at 100% is {wrong} ({total:+.4g})"


def _chart(table: pl.DataFrame) -> Any:  # noqa: ANN401 - altair has no one type of layers
    import altair as alt
    import polars as pl

    share = alt.X("share_percent:Q").title("tokens taken of each response, K (%)").scale(domain=[0, 100])
    reward = alt.Y("reward_per_pair:Q").title("cumulative reward per pair")
    # Beside the curves the numbers would lie on one another where the curves begin.
    marked = {row["side"]: f" \N{BULLET} {row['share_percent']}%" for row in table.filter("reaches").to_dicts()}
    labels = {side: side + marked.get(side, "") for side in (*SIDES, GAP)}
    lines = alt.Chart(table).encode(share, reward, side_colour(GAP, labels=labels))
    layers: Any = alt.layer(
        alt.Chart(pl.DataFrame({"zero": [0]})).mark_rule(color="#888888", strokeWidth=0.7).encode(alt.Y("zero:Q")),
        lines.mark_line(strokeWidth=1.4).encode(side_dash(GAP, labels=labels)),
        lines.transform_filter(alt.datum.reaches).mark_point(size=26, filled=True, opacity=1),
    )
    return styled(layers.properties(width=WIDTH, height=HEIGHT))
