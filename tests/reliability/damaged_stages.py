"""Finished directories with seeded damage: every command that reads one, and the stage, which repairs it."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.reliability.damage import damaged
from tests.reliability.harness import content, difference

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

    from tests.reliability.harness import Stage
    from tests.reliability.tally import Tally
    from tests.reliability.workshop import Workshop


def readers(workshop: Workshop, folder: Path, out: Path) -> dict[str, list[str]]:
    """The commands that read a selection or rewards in `folder`; they write below `out`."""
    rewards = folder.name == "rewards"
    of_rewards = {
        "select": ["select", str(folder), "--out", str(out / "selection")],
        "select of the dataset": ["select", str(folder), "--rule=budget", "--out", str(out / "budget")],
    }
    of_selection = {
        "train": ["train", str(folder), f"--policy={workshop.model}", "--batch-size=16", "--out", str(out / "policy")],
        "evaluate": ["evaluate", str(workshop.model), f"--data={folder}"],
    }
    whole = workshop.rewards if rewards else workshop.selection
    return {
        "query": ["query", str(folder), "SELECT * FROM pairs"],
        "query of the tokens": ["query", str(folder), "SELECT * FROM tokens"],
        "show": ["show", str(folder), "--pair=3"],
        "diff": ["diff", str(folder), str(whole)],
        **(of_rewards if rewards else of_selection),
    }


def others(workshop: Workshop, folder: Path, out: Path) -> dict[str, list[str]]:
    """The commands without --no-verify."""
    shard = min(folder.glob("data-*.arrow"))
    models = (f"--oracle={workshop.other}", f"--ref={workshop.model}")
    return {
        "info --verify": ["info", str(folder), "--verify"],
        "info": ["info", str(folder)],
        "check": ["check", str(folder), f"--tokenizer={workshop.model}"],
        "check of a shard": ["check", str(shard), f"--tokenizer={workshop.model}"],
        "score": ["score", str(folder), *models, "--out", str(out / "scored")],
    }


UNHASHED = {"info", "check of a shard"}
"""These look at no hash: `info` reads no shard, and a shard by itself is a file like any other."""


def read_damaged(workshop: Workshop, stage: Stage, dice: Random, tally: Tally) -> None:
    """Damage one file of a copy of the dataset that `stage` made, and run every command on it."""
    seed, whole = dice.randrange(1 << 30), workshop.dataset(stage)
    folder = workshop.place("stage") / whole.name
    shutil.copytree(whole, folder)
    shards = sorted(folder.glob("data-*.arrow"))
    notes = [folder / name for name in ("sepo.json", "state.json", "dataset_info.json")]
    # The first shard is the one that is given to a command by itself.
    file = dice.choice([shards[0], shards[0], *shards, *notes])
    bytes_, kind = damaged(file.read_bytes(), seed)
    file.write_bytes(bytes_)
    outs = {verified: workshop.place(f"outs-{verified}") for verified in (True, False)}
    named = readers(workshop, folder, outs[True])
    unverified = readers(workshop, folder, outs[False])
    commands = named | others(workshop, folder, outs[True])
    commands |= {f"{name} --no-verify": [*command, "--no-verify"] for name, command in unverified.items()}
    tally.faults[f"{kind.replace('_', ' ')} in {'a shard' if file in shards else file.name}"] += 1
    for (name, _), (code, _, talk) in zip(commands.items(), workshop.batch(list(commands.values())), strict=True):
        tally.runs += 1
        tally.exits[code] += 1
        where = f"{name}, seed {seed}, {kind} in {file.name}"
        if (
            code not in {0, 1}
            or "Traceback" in talk
            or (code == 1 and "Error: " not in talk and name != "info --verify")
        ):
            tally.problem(f"{where}: it ended with {code}: {talk}")
        elif code == 0 and file in shards and name not in UNHASHED and not name.endswith("--no-verify"):
            tally.problem(f"{where}: it ended with 0")
    for made in (folder.parent, *outs.values()):
        shutil.rmtree(made)


def repair(workshop: Workshop, stage: Stage, dice: Random, tally: Tally) -> None:
    """Damage or remove one file of a copy of a dataset; the stage that made it makes that file again, and no other."""
    seed, whole = dice.randrange(1 << 30), workshop.dataset(stage)
    folder = workshop.place("repaired") / whole.name
    shutil.copytree(whole, folder)
    files = [*folder.glob("data-*.arrow"), folder / "state.json", folder / "dataset_info.json"]
    file = dice.choice(sorted(files))
    times = {each: each.stat().st_mtime_ns for each in folder.glob("data-*.arrow") if each != file}
    if dice.random() < 1 / 3:
        file.unlink()
        kind = "removed"
    else:
        bytes_, kind = damaged(file.read_bytes(), seed)
        file.write_bytes(bytes_)
    code, _, talk = workshop.run(*workshop.arguments(stage, folder))
    tally.runs += 1
    tally.exits[code] += 1
    tally.faults[f"{kind.replace('_', ' ')}, {'a shard' if file.suffix == '.arrow' else file.name}"] += 1
    where = f"seed {seed}, {kind} {file.name}"
    if code:
        tally.problem(f"{where}: it ended with {code}: {talk}")
    elif content(folder) != content(whole):
        tally.problem(f"{where}: repaired to something else: {difference(content(folder), content(whole))[:1000]}")
    again = [each.name for each, time in times.items() if each.stat().st_mtime_ns != time]
    tally.kept += len(times) - len(again)
    if again:
        tally.problem(f"{where}: whole, and made again: {', '.join(again)}")
    shutil.rmtree(folder.parent)
