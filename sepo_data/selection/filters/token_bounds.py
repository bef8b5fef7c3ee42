"""Filters `--min-tokens` and `--max-tokens`: bounds of what the rule takes of each response."""

from __future__ import annotations

from sepo_data.selection.arguments import whole_number
from sepo_data.selection.filter import BOUND, Filter, filter_option


@filter_option(int, minimum=1, help="tokens of each response that the rule takes at least")
def min_tokens(number: int = 1) -> Filter:
    """The rule takes no fewer than `number` tokens, or all of a shorter response."""
    number = whole_number("min_tokens", number, minimum=1)
    return Filter("min_tokens", number, BOUND, min_tokens=number)


@filter_option(int, minimum=1, help="tokens of each response that the rule takes at most")
def max_tokens(number: int | None = None) -> Filter:
    """The rule takes no more than `number` tokens; filters that widen may add to them."""
    number = whole_number("max_tokens", "" if number is None else number, minimum=1)
    return Filter("max_tokens", number, BOUND, max_tokens=number)
