"""Two processes that write one output at once, one of which may be killed."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from tests.reliability.kills import finish

if TYPE_CHECKING:
    from random import Random

    from tests.reliability.harness import Stage
    from tests.reliability.tally import Tally
    from tests.reliability.workshop import Workshop


def write_twice(workshop: Workshop, stage: Stage, dice: Random, tally: Tally) -> None:
    """Start the stage twice, a moment apart; sometimes kill one of the two."""
    out = workshop.place("twice") / f"out{stage.suffix}"
    seconds = workshop.undisturbed(stage).seconds
    first = workshop.server.start(*workshop.arguments(stage, out))
    time.sleep(dice.choice((0, dice.random() * seconds)))
    second = workshop.server.start(*workshop.arguments(stage, out))
    dies = dice.choice((None, first, second))
    if dies is not None:
        time.sleep(dice.random() * seconds)
        os.kill(dies.pid, signal.SIGKILL)
    codes = {running: running.wait() for running in (first, second)}
    tally.exits.update(codes.values())
    tally.faults["killed" if -signal.SIGKILL in codes.values() else "both alive"] += 1
    for running, code in codes.items():
        if code not in {0, 3} and not (running is dies and code == -signal.SIGKILL):
            tally.problem(f"one of two ended with {code}: {running.stderr}")
    if dies is None and 0 not in codes.values():
        tally.problem(f"none of two finished: {first.stderr}{second.stderr}")
    finish(workshop, stage, out, {}, tally)
