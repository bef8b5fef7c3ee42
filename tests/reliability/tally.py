"""Counts of what was done to a stage and how it ended."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Tally:
    """What one driver did to one stage."""

    driver: str
    stage: str
    runs: int = 0
    """Outputs that were disturbed and finished; of damage, commands that read it."""
    faults: Counter[str] = field(default_factory=Counter)
    """The faults that took place, by kind."""
    exits: Counter[int] = field(default_factory=Counter)
    """The exit codes of disturbed processes; negative for the signal that ended them."""
    kept: int = 0
    """Finished shards and checkpoints that a fault found, and that the next run used."""
    problems: list[str] = field(default_factory=list)

    def problem(self, text: str) -> None:
        self.problems.append(f"{self.driver} {self.stage}: {text}")

    def cells(self) -> list[str]:
        faults = " ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items()))
        exits = " ".join(f"{code}: {count}" for code, count in sorted(self.exits.items()))
        return [self.stage, self.driver, str(self.runs), faults, exits, str(self.kept), str(len(self.problems))]


HEADER = ["stage", "what", "runs", "faults that took place", "exit codes", "kept", "lost or wrong"]


def table(tallies: list[Tally]) -> str:
    """The counts as a Markdown table."""
    rows = [HEADER, ["---"] * len(HEADER), *(tally.cells() for tally in tallies)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)
