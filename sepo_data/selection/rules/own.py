"""A rule of the user's own, from two Polars expressions. It has no name on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_data.selection.rule import Rule
from sepo_data.selection.scores import certain, certain_where, elementwise, signed_rewards

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl


def own(*, name: str, chosen: pl.Expr, rejected: pl.Expr) -> Rule:
    """The tokens that an expression marks: for each side one over the columns that gives a list of booleans.

    Where it marks nothing, or fewer than `min_tokens`, the best rewards of the others fill up; where it marks more than
    `max_tokens`, the best of these are taken. Streams: as the expressions do.

    Args:
        name: identifies the rule in the manifest, which records the text of the expressions, too. A Python function
            inside an expression has the same text whatever it does, hence the name is required: give another one when
            the function changes.
        chosen: the expression of the chosen side.
        rejected: that of the rejected side.

    Raises:
        SepoError: the name is empty.
    """
    if not name.strip():
        raise SepoError("a rule of your own needs a name", 'name it: own(name="rare words, version 1", ...)')
    expressions = {"chosen": chosen, "rejected": rejected}
    texts = {side: str(expression) for side, expression in expressions.items()}

    def score(side: str) -> pl.Expr:
        import numpy as np
        import polars as pl

        from sepo_data.selection.ragged import ragged

        def scores(columns: Sequence[pl.Series]) -> pl.Series:
            mask, rewards = ragged(columns[0]), ragged(columns[1])
            if mask.values.dtype != np.bool_ or not np.array_equal(mask.offsets, rewards.offsets):
                raise SepoError(
                    f"the expression for {side} gives {columns[0].dtype}, not a boolean for each token",
                    f"it has to be as long as {side}_rewards in every row",
                )
            return certain_where(mask.values, rewards)

        return elementwise(scores, expressions[side], signed_rewards(side), dtype=pl.List(pl.Int64))

    return Rule("own", texts | {"name": name}, score, certain)
