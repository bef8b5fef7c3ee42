"""Jobs: one driver on one subject, in a process with a workshop of its own."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from random import Random

from tests.reliability.drivers import DRIVERS
from tests.reliability.tally import Tally
from tests.reliability.workshop import Workshop

SHOP: list[Workshop] = []
"""The workshop of this process, once it is open."""


def open_shop(folder: str) -> None:
    SHOP.append(Workshop(Path(tempfile.mkdtemp(dir=folder))))


def disturb(driver_name: str, subject_name: str, runs: int, seed: int) -> Tally:
    """Run one driver on one subject; equal seeds give equal faults."""
    [driver] = (driver for driver in DRIVERS if driver.name == driver_name)
    subject, tally = driver.subjects[subject_name], Tally(driver_name, subject_name)
    for run in range(max(1, math.ceil(runs * driver.times))):
        driver.disturb(SHOP[0], subject, Random(f"{seed} {driver_name} {subject_name} {run}"), tally)  # noqa: S311
    return tally
