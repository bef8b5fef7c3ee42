"""Disks that fill: at any name, at any size of a file, and a small file system that is really full."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

from tests.reliability.faults import largest_file, no_space_from
from tests.reliability.harness import content
from tests.reliability.kills import finish
from tests.reliability.small_disk import small_disk

if TYPE_CHECKING:
    from random import Random

    from tests.reliability.harness import Stage
    from tests.reliability.tally import Tally
    from tests.reliability.workshop import Workshop

ROOM = 16 << 20
"""Bytes of the small file system once there is space again."""


def fill(workshop: Workshop, stage: Stage, dice: Random, tally: Tally) -> None:
    """Run the stage on a disk that fills, then again with space."""
    facts = workshop.undisturbed(stage)
    way = dice.choice(("name", "file size", "disk size"))
    with ExitStack() as stack:
        folder, before = workshop.place("disk"), ""
        out = folder / f"out{stage.suffix}"
        resize = stack.enter_context(small_disk(folder))
        if way == "name":
            before = no_space_from(str(out), dice.randint(1, facts.names))
        elif way == "file size":
            before = largest_file(dice.randint(1, facts.largest))
        else:
            resize(4096 * dice.randint(1, 1 + facts.disk // 4096))
        code, _, talk = workshop.run(*workshop.arguments(stage, out), before=before)
        tally.exits[code] += 1
        tally.faults[f"a {way}"] += code != 0
        if code not in {0, 1} or "Traceback" in talk or (code == 1 and "Error: " not in talk):
            tally.problem(f"full by {way}, it ended with {code}: {talk}")
        elif code == 0 and content(out) != facts.content:
            tally.problem(f"full by {way}, it ended with 0, and its output is another one")
        if left := list(folder.rglob("*.sepo-tmp")):
            tally.problem(f"full by {way}, left behind: {left}")
        resize(ROOM)
        finish(workshop, stage, out, stage.finished(out) if out.exists() else {}, tally)
