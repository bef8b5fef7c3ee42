"""Rule `top`: the method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.selection.quota import quotas_of_sides, texts_of_sides
from sepo_data.selection.rule import Rule, rule
from sepo_data.selection.scores import signed_rewards

if TYPE_CHECKING:
    from sepo_data.selection.quota import Amount


@rule(source="SePO, [2408.13518](https://arxiv.org/abs/2408.13518)")
def top(share: Amount = "30%", *, chosen: Amount = "", rejected: Amount = "") -> Rule:
    """The method: the best rewards, max(1, floor(share x n)) of the n tokens of a response, or a number of tokens.

    The highest rewards of chosen, the lowest of rejected. Streams: yes.
    """
    quotas = quotas_of_sides(share, chosen, rejected)
    return Rule("top", texts_of_sides(quotas), signed_rewards, quotas=quotas)
