"""The drivers: ways to disturb, each with what it is tried on and how often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.reliability import damaged_inputs, damaged_stages
from tests.reliability.full_disks import fill
from tests.reliability.harness import SCORE, SELECT, STAGES
from tests.reliability.inputs import NAMES
from tests.reliability.kills import kill
from tests.reliability.long_inputs import LENGTHS, run_long
from tests.reliability.stores import disturb_store
from tests.reliability.two_writers import write_twice

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

    from tests.reliability.tally import Tally
    from tests.reliability.workshop import Workshop


@dataclass(frozen=True)
class Driver:
    """A way to disturb."""

    name: str
    disturb: Callable[[Workshop, Any, Random, Tally], None]
    subjects: dict[str, Any]
    """What is disturbed, by name."""
    times: float = 1
    """Runs for each that is asked for."""


ALL = {stage.name: stage for stage in STAGES}
DATASETS = {stage.name: stage for stage in (SCORE, SELECT)}

DRIVERS = (
    Driver("killed", kill, ALL),
    Driver("two writers", write_twice, ALL, times=0.5),
    Driver("full disk", fill, ALL),
    Driver("on S3", disturb_store, DATASETS, times=2),
    Driver("repaired", damaged_stages.repair, DATASETS, times=2),
    Driver("damaged directory", damaged_stages.read_damaged, DATASETS, times=5),
    Driver("damaged input", damaged_inputs.read_damaged, {name: name for name in NAMES}),
    Driver("long input", run_long, LENGTHS, times=0),
)
