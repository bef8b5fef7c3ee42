"""The policy by which trees become rows: which of them share a prompt, which are padded, and which run one by one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sepo_train.engine.layout import Layout, Tree, padded_layout, shared_layout

if TYPE_CHECKING:
    from collections.abc import Sequence

NO_LIMIT = 1 << 40
"""Tokens; no row is as long."""

MASKED_TOKENS = 8192
"""Longer rows hold one response each and run alone, without a mask, whose size is that of all pairs of tokens."""


@dataclass(frozen=True, slots=True)
class LayoutPolicy:
    """A way to lay out the rows of a model; `choose_layout_policy` finds the fastest exact one.

    Attributes:
        shared_limit: rows of at most so many tokens share their prompt.
        reason: why no row does; "" where some do.
        windowed: whether the mask of a shared row includes the model's attention windows.
        prefix_cache: whether the tokens that all prompts begin with are computed once, for rows that share a prompt.
        padded_limit: sequences of at most so many tokens may be padded to one batch; with longer ones, rows run one at
            a time.
    """

    shared_limit: int
    reason: str = ""
    windowed: bool = False
    prefix_cache: bool = False
    padded_limit: int = NO_LIMIT

    @property
    def layout_name(self) -> str:
        """The name of the layout that manifests record as `layout`."""
        name = f"unshared: {self.reason}" if self.reason else "shared prompt"
        if self.prefix_cache:
            name += " and cached prefix"
        if self.windowed:
            name += " with attention windows"
        elif 0 < self.shared_limit < NO_LIMIT:
            name += f", unshared beyond the attention window of {self.shared_limit} tokens"
        if self.padded_limit < NO_LIMIT:
            name += f", one by one beyond {self.padded_limit} tokens" if self.padded_limit else ", one by one"
        return name

    def length(self, tree: Tree, *, prefix_tokens: int = 0) -> int:
        """Tokens that `tree` takes in a batch, where the first `prefix_tokens` of its prompt are cached."""
        return tree.shared_length - prefix_tokens if self.shares(tree) else tree.padded_length

    def layout(self, trees: Sequence[Tree], *, prefix_tokens: int = 0) -> Layout:
        """Lay out `trees`, sharing prompts, and their first `prefix_tokens` tokens, where all their rows allow it."""
        if all(map(self.shares, trees)):
            return replace(shared_layout(trees, prefix_tokens=prefix_tokens), windowed=self.windowed)
        beyond = any(tree.longest > min(self.padded_limit, MASKED_TOKENS) for tree in trees)
        return replace(padded_layout(trees), one_row_at_a_time=beyond)

    def shares(self, tree: Tree) -> bool:
        """True if the responses of `tree` stand in one row, behind their prompt."""
        return tree.longest <= self.padded_limit and tree.shared_length <= min(self.shared_limit, MASKED_TOKENS)


PLAIN = LayoutPolicy(shared_limit=0, reason="not asked for")
"""A row for each response; with one response a batch, the plain form that all others are compared with."""
