"""The orders of pairs that `sepo show` knows, each with the direction it has by default. Imports nothing heavy."""

from __future__ import annotations

from typing import Literal, get_args

Sort = Literal["row", "margin", "reward", "disagreement", "length"]

SORTS: tuple[Sort, ...] = get_args(Sort)
DESCENDING: dict[Sort, bool] = {"row": False, "margin": False, "reward": True, "disagreement": True, "length": True}
"""By default the first pair is the most telling one: the worst margin, the best chosen response, the longest pair."""
