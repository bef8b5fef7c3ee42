"""Names of the stages and of the two sides of a pair: what needs no more of them need not import pyarrow."""

from __future__ import annotations

from enum import StrEnum

SIDES = ("chosen", "rejected")


class Stage(StrEnum):
    """The kinds of stage directories."""

    ORACLE = "oracle"
    REWARDS = "rewards"
    SELECTION = "selection"
    POLICY = "policy"
