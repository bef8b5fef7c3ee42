"""Rules that need a number from the complete dataset: a quantile of the rewards, or the cut of a global budget.

Their first pass reads the rewards batch by batch and keeps a few numbers, which go into the manifest.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sepo_data.errors import SepoError
from sepo_data.selection.arguments import finite_number
from sepo_data.selection.quota import shares_of_sides, texts_of_sides
from sepo_data.selection.rule import Rule, rule
from sepo_data.selection.scores import elementwise, signed_rewards
from sepo_data.share import BASIS_POINTS, format_share, parse_share

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import polars as pl

    from sepo_data.selection.quota import Amount


@rule(source="our own")
def threshold(above: str | float = "q70%", below: str | float | None = None) -> Rule:
    """Rewards beyond a value: chosen tokens with r > above, rejected ones with r < below.

    A value is a number, or a quantile of that side: `q90%` is the reward at place floor(90% x (N - 1)) in ascending
    order of its N rewards. `below` is `-above`, or the mirrored quantile, where it is not given. Streams: yes, after a
    pass for a quantile.
    """
    cuts = {"above": _cut("above", above)}
    cuts["below"] = _mirrored(cuts["above"]) if below is None else _cut("below", below)
    arguments = {name: f"q{format_share(cut)}" if isinstance(cut, int) else str(cut) for name, cut in cuts.items()}
    by_side = dict(zip(("chosen", "rejected"), cuts.values(), strict=True))

    def count(values: dict[str, float]) -> Any:  # noqa: ANN401 - a Count, whose alias is for type checkers only
        import polars as pl

        # The score of a rejected token is its negated reward; float64 holds every float32 and the value as written.
        return lambda side, score: score.list.eval(
            pl.element().cast(pl.Float64) > (values[side] if side == "chosen" else -values[side])
        ).list.sum()

    def prepare(frame: pl.LazyFrame, _folder: Path | None) -> Rule:
        from sepo_data.selection.dataset_cuts import quantile

        found = {side: quantile(frame, side, cut) if isinstance(cut, int) else cut for side, cut in by_side.items()}
        numbers: dict[str, Any] = dict(zip(cuts, found.values(), strict=True))
        return Rule("threshold", arguments, signed_rewards, count(found), numbers=numbers)

    if any(isinstance(cut, int) for cut in cuts.values()):
        return Rule("threshold", arguments, signed_rewards, lambda _side, score: score, prepare=prepare)
    return Rule("threshold", arguments, signed_rewards, count({side: float(cut) for side, cut in by_side.items()}))


@rule(source="our own")
def budget(share: Amount = "30%", *, chosen: Amount = "", rejected: Amount = "") -> Rule:
    """One share of all tokens of a side: the best token of each response, then the best of all others.

    Exactly max(responses, floor(share x N)) of the N tokens of a side, so responses with strong rewards have more of
    them; among equals the earlier row, then the earlier token. Streams: yes, after three passes.
    """
    shares = shares_of_sides(share, chosen, rejected)

    def prepare(frame: pl.LazyFrame, _folder: Path | None) -> Rule:
        import polars as pl

        from sepo_data.selection.dataset_cuts import budget_counts, budget_cut

        cuts: dict[str, Any] = {side: budget_cut(frame, side, quota) for side, quota in shares.items()}

        def count(side: str, score: pl.Expr) -> pl.Expr:
            def counts(columns: Sequence[pl.Series]) -> pl.Series:
                return budget_counts(columns[0], columns[1], cuts[side])

            return elementwise(counts, score, pl.col("source_row"), dtype=pl.Int64())

        return replace(unprepared, count=count, prepare=None, numbers=cuts)

    unprepared = Rule("budget", texts_of_sides(shares), signed_rewards, lambda _side, score: score, prepare=prepare)
    return unprepared


def _cut(name: str, text: str | float) -> int | float:
    """A quantile as basis points, or a value as a float."""
    written = str(text).strip()
    if not written.startswith("q"):
        return finite_number(name, written)
    try:
        return parse_share(written.removeprefix("q")) if not re.fullmatch(r"q0(\.0*)?%?", written) else 0
    except ValueError:
        raise SepoError(
            f"{name}={text} is neither a number nor a quantile", f"write {name}=0.1 or {name}=q90%"
        ) from None


def _mirrored(cut: int | float) -> int | float:  # noqa: PYI041 - they mean different things here
    return BASIS_POINTS - cut if isinstance(cut, int) else 0.0 - cut  # not -0.0
