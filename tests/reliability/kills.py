"""SIGKILL at any moment: before any change of a name, in the middle of any file, at any time, several times."""

from __future__ import annotations

import os
import signal
import time
from typing import TYPE_CHECKING

from tests.reliability.faults import killed_at_byte, killed_at_name
from tests.reliability.harness import content, difference, leftovers, remove

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from tests.reliability.harness import Stage
    from tests.reliability.tally import Tally
    from tests.reliability.workshop import Workshop

KILLED = {-signal.SIGKILL, -signal.SIGXFSZ}


def kill(workshop: Workshop, stage: Stage, dice: Random, tally: Tally) -> None:
    """Kill the stage once to three times in one output, then let it finish."""
    out = workshop.place("killed") / f"out{stage.suffix}"
    before: dict[str, int] = {}
    for attempt in range(dice.choice((1, 1, 2, 3))):
        way = dice.choice(("name", "byte", "time"))
        arguments = workshop.arguments(stage, out, resumes=attempt > 0)
        code, talk = _killed(workshop, stage, way, arguments, out=out, dice=dice)
        tally.exits[code] += 1
        tally.faults[f"at a {way}"] += code in KILLED
        if code not in KILLED and not (code == 0 or (code == 3 and stage.refused_twice and attempt)):
            tally.problem(f"killed at a {way}, it ended with {code}: {talk}")
        if out.exists():
            check_kept(stage, before, out, talk, tally, alive=code not in KILLED)
            before = stage.finished(out)
    finish(workshop, stage, out, before, tally)


def _killed(
    workshop: Workshop, stage: Stage, way: str, arguments: list[str], *, out: Path, dice: Random
) -> tuple[int, str]:
    facts = workshop.undisturbed(stage)
    if way == "name":
        code, _, talk = workshop.run(*arguments, before=killed_at_name(str(out), dice.randint(1, facts.names)))
        return code, talk
    if way == "byte":
        code, _, talk = workshop.run(*arguments, before=killed_at_byte(dice.randint(1, facts.largest)))
        return code, talk
    running = workshop.server.start(*arguments)
    time.sleep(dice.random() * facts.seconds)
    os.kill(running.pid, signal.SIGKILL)
    return running.wait(), running.stderr


def check_kept(stage: Stage, before: dict[str, int], out: Path, talk: str, tally: Tally, *, alive: bool) -> None:
    """Compare the finished units of a run with those that the next one made."""
    if stage.resumes_with and not alive:  # it may have been killed before it printed where it goes on
        return
    again = stage.made_again(before, out, talk)
    tally.kept += len(before) - len(again)
    if again:
        tally.problem(f"finished, and made again: {', '.join(again)}")


def finish(workshop: Workshop, stage: Stage, out: Path, before: dict[str, int], tally: Tally) -> None:
    """Run the stage undisturbed, compare its output with one that was never disturbed, and remove it."""
    expected = workshop.undisturbed(stage).content
    whole = out.exists() and content(out) == expected
    code, _, talk = workshop.run(*workshop.arguments(stage, out, resumes=True))
    tally.runs += 1
    if code != 0 and not (code == 3 and whole and stage.refused_twice):
        tally.problem(f"the next run ended with {code}: {talk}")
    elif not whole:
        check_kept(stage, before, out, talk, tally, alive=True)
    found = content(out) if out.exists() else {}
    if found != expected:
        tally.problem(f"the finished output is not the undisturbed one: {difference(found, expected)[:2000]}")
    if left := leftovers(out):
        tally.problem(f"left behind: {', '.join(left)}")
    remove(out)
    for entry in out.parent.glob(f"{out.name}*"):
        remove(entry)
