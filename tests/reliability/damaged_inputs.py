"""Files of every format with seeded damage, read as data: rows, or an error that names the file."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.reliability.damage import damaged
from tests.reliability.inputs import write_inputs

if TYPE_CHECKING:
    from random import Random

    from tests.reliability.tally import Tally
    from tests.reliability.workshop import Workshop

TOGETHER = 25
"""Files that one process reads."""
CHECK_EVERY = 11
"""Files of which one is also given to `sepo check`, which takes longer."""


def read_damaged(workshop: Workshop, name: str, dice: Random, tally: Tally) -> None:
    """Read `TOGETHER` damaged copies of the file `name`, one of each format."""
    if not (whole := workshop.folder / "inputs").exists():
        whole.mkdir()
        write_inputs(whole)
    file, folder = whole / name, workshop.place("damaged")
    data = file.read_bytes()
    tasks, damage = [], []
    for at in range(TOGETHER):
        seed = dice.randrange(1 << 30)
        made = folder / f"{seed}{''.join(file.suffixes)}"
        content, kind = damaged(data, seed)
        made.write_bytes(content)
        tasks.append(["read", str(made)])
        damage.append(f"seed {seed}, {kind}")
        tally.faults[kind.replace("_", " ")] += 1
        if at % CHECK_EVERY == 0:
            tasks.append(["check", str(made), f"--tokenizer={workshop.model}"])
            damage.append(damage[-1])
    for what, task, (code, _, talk) in zip(damage, tasks, workshop.batch(tasks), strict=True):
        tally.runs += 1
        tally.exits[code] += 1
        if code not in {0, 1} or "Traceback" in talk or (code == 1 and "Error: " not in talk):
            tally.problem(f"{task[0]}, {what}: it ended with {code}: {talk}")
    shutil.rmtree(folder)
