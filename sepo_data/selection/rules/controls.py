"""Control rules, which a paper compares with: the worst tokens, random ones, random ones at the same places, all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sepo_data.selection.arguments import whole_number
from sepo_data.selection.quota import quotas_of_sides, texts_of_sides
from sepo_data.selection.rule import Rule, rule
from sepo_data.selection.rules.top import top
from sepo_data.selection.scores import elementwise, lengths, signed_rewards

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from sepo_data.selection.quota import Amount
    from sepo_data.selection.ragged import Ragged

PARTS, PART_TOKENS = 10, 8
"""`position-random` keeps the number of selected tokens in each tenth of a response; no part is shorter than 8."""


@rule(source="control")
def inverse(share: Amount = "30%", *, chosen: Amount = "", rejected: Amount = "") -> Rule:
    """The worst tokens, as many as `top` takes: the lowest rewards of chosen, the highest of rejected.

    Streams: yes.
    """
    quotas = quotas_of_sides(share, chosen, rejected)

    def score(side: str) -> pl.Expr:
        import polars as pl

        return signed_rewards(side).list.eval(-pl.element())

    return Rule("inverse", texts_of_sides(quotas), score, quotas=quotas, control_of=top(**quotas))


@rule(source="control", name="all")
def every() -> Rule:
    """All tokens of both responses; the loss of `sepo train` is then SimPO's.

    Streams: yes.
    """
    return Rule("all", {}, signed_rewards, lambda side, _score: lengths(side))


@rule(source="control")
def random(share: Amount = "30%", *, chosen: Amount = "", rejected: Amount = "", seed: str | int = 0) -> Rule:
    """Tokens drawn at random, as many as `top` takes: in the order of a hash of seed, pair_id, side and position.

    Neither the order of the rows nor the sharding matters. Streams: yes.
    """
    quotas, number = quotas_of_sides(share, chosen, rejected), whole_number("seed", seed)

    def score(side: str) -> pl.Expr:
        import polars as pl

        from sepo_data.selection.ragged import ragged
        from sepo_data.selection.token_hash import token_hashes

        def hashes(columns: Sequence[pl.Series]) -> pl.Series:
            return token_hashes(columns[1], ragged(columns[0]).offsets, side=side, seed=number).to_series()

        return elementwise(hashes, pl.col(f"{side}_rewards"), pl.col("pair_id"), dtype=pl.List(pl.UInt64))

    arguments = texts_of_sides(quotas) | {"seed": str(number)}
    return Rule("random", arguments, score, quotas=quotas, control_of=top(**quotas))


@rule(source="control")
def position_random(share: Amount = "30%", *, chosen: Amount = "", rejected: Amount = "", seed: str | int = 0) -> Rule:
    """Random tokens where `top` has its own: as many as it takes in each tenth of a response, drawn as by `random`.

    Responses of fewer than 80 tokens have fewer parts, of 8 tokens or more. Only the place in the response is kept
    of `top`. Streams: yes.
    """
    quotas, number = quotas_of_sides(share, chosen, rejected), whole_number("seed", seed)

    def within(min_tokens: int, max_tokens: int | None) -> Callable[[str], pl.Expr]:
        def score(side: str) -> pl.Expr:
            import numpy as np
            import polars as pl

            from sepo_data.selection.ragged import Ragged, ragged
            from sepo_data.selection.token_hash import token_hashes
            from sepo_data.selection.top_k import top_k_mask

            def scores(columns: Sequence[pl.Series]) -> pl.Series:
                rewards = ragged(columns[0])
                taken = np.clip(quotas[side].k_of(rewards.lengths), min_tokens, max_tokens)
                [best] = top_k_mask(rewards, [taken])
                hashes = token_hashes(columns[1], rewards.offsets, side=side, seed=number)
                parts = _parts(rewards)
                [drawn] = top_k_mask(Ragged(hashes.values, parts), [Ragged(best, parts).sums()])
                # The highest bit puts the drawn tokens first; the others of the hash are the order of both kinds.
                first = drawn.astype(np.uint64) << np.uint64(63)
                return hashes.with_values(first | hashes.values >> np.uint64(1)).to_series()

            return elementwise(scores, signed_rewards(side), pl.col("pair_id"), dtype=pl.List(pl.UInt64))

        return score

    return Rule(
        "position-random",
        texts_of_sides(quotas) | {"seed": str(number)},
        within(1, None),
        quotas=quotas,
        control_of=top(**quotas),
        parts=_parts,
        within=within,
    )


def _parts(responses: Ragged[Any]) -> NDArray[np.int64]:
    """The offsets of the parts of the responses, finer than those of the responses."""
    import numpy as np

    tokens = responses.lengths
    parts = np.clip(tokens // PART_TOKENS, 1, PARTS)
    of_token = responses.positions * responses.per_token(parts) // responses.per_token(tokens)
    begins = np.flatnonzero((responses.positions == 0) | (np.diff(of_token, prepend=0) != 0))
    return np.append(begins, len(of_token)).astype(np.int64)
