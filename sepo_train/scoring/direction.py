"""The direction of an oracle, towards the chosen responses; exchanged models without a record show in it alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from sepo_data.console.progress import Progress

STANDARD_ERRORS = 5
"""Of a fair coin: an oracle that prefers the rejected responses by more is no accident."""


@dataclass
class Direction:
    """Numbers of the scored pairs of this process whose margin is above and below 0."""

    above: int = 0
    below: int = 0

    def count(self, rewards: pa.Table) -> None:
        """Add the rows of a rewards table."""
        margins = rewards.column("margin").to_numpy()
        self.above += int(np.count_nonzero(margins > 0))
        self.below += int(np.count_nonzero(margins < 0))

    def note(self, progress: Progress) -> None:
        """Warn where the oracle prefers the rejected responses."""
        pairs = self.above + self.below
        if self.below - self.above > STANDARD_ERRORS * math.sqrt(pairs):
            progress.note(
                f"warning: the oracle prefers the rejected response in {self.below:,} of {pairs:,} pairs; are --oracle "
                "and --ref exchanged, or the columns of chosen and rejected?"
            )
