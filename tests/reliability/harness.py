"""The stages that are killed, raced and run on full disks: to add one, add it to `STAGES`."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.reliability.workshop import Workshop

    Finished = dict[str, int]

TIMES = {"created", "seconds", "tstamp", "versions"}
"""Keys of JSON files that tell when something was made, or by what."""


@dataclass(frozen=True)
class Stage:
    """A command that writes something, and what of it has to be kept and to come out equal."""

    name: str
    command: Callable[[Workshop], list[str]]
    """The arguments of `sepo` without --out."""
    suffix: str = ""
    """Of the output, where it is a file."""
    resumes_with: tuple[str, ...] = ()
    """Options that are added to go on after a kill."""
    refused_twice: bool = False
    """Exit code 3 is right where the output is complete: the command has no plan to compare."""
    finished: Callable[[Path], Finished] = lambda _out: {}
    made_again: Callable[[Finished, Path, str], list[str]] = lambda _finished, _out, _talk: []
    """The units that were finished, and made again by the next run: the output and standard error of that."""


def finished_shards(out: Path) -> Finished:
    """The shards with a record, in all directories under `out`, and when they were written."""
    records = {record: json.loads(record.read_text())["record"]["file"] for record in out.rglob(".sepo/[0-9]*.json")}
    files = [record.parents[1] / name for record, name in records.items()]
    return {str(file.relative_to(out)): file.stat().st_mtime_ns for file in files if file.exists()}


def shards_made_again(finished: Finished, out: Path, _talk: str) -> list[str]:
    return [name for name, time in finished.items() if (out / name).stat().st_mtime_ns != time]


def finished_checkpoint(out: Path) -> Finished:
    """The newest checkpoint that is complete, as its last file says."""
    steps = [int(file.parent.name.split("-")[1]) for file in out.glob("checkpoints/checkpoint-*/trainer_state.json")]
    return {f"checkpoint-{max(steps)}": 0} if steps else {}


def steps_made_again(finished: Finished, _out: Path, talk: str) -> list[str]:
    return [name for name in finished if not re.search(rf"resuming from .*{name}$", talk, re.MULTILINE)]


def content(out: Path) -> dict[str, object]:
    """All files of an output by name; of JSON files, what does not tell the time."""
    files = [out] if out.is_file() else [file for file in out.rglob("*") if file.is_file()]
    return {str(file.relative_to(out)): _content(file, str(out)) for file in sorted(files)}


def _content(file: Path, out: str) -> object:
    """The bytes of a file, or where it tells the time or its own place, its content without these."""
    if file.name == "README.md":
        return re.sub(r"[\d.,]+ (s|min|h)\b", "", file.read_text(encoding="utf-8").replace(out, "OUT"))
    if file.name in {"sepo.json", "evaluation.json", "metrics.jsonl"} or file.parent.name == "model_answer":
        text = file.read_text(encoding="utf-8").replace(out, "OUT")
        return [_timeless(json.loads(part)) for part in (text.splitlines() if file.suffix == ".jsonl" else [text])]
    return file.read_bytes()


def _timeless(value: object) -> object:
    if isinstance(value, dict):
        return {key: _timeless(inner) for key, inner in value.items() if key not in TIMES}
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value


def difference(found: dict[str, object], expected: dict[str, object]) -> str:
    """The files that differ, and of each the first lines that do."""
    texts = []
    for name in sorted(name for name in found | expected if found.get(name) != expected.get(name)):
        sides = [_lines(side.get(name)) for side in (found, expected)]
        changed = (f"{ours} != {theirs}" for ours, theirs in zip_longest(*sides) if ours != theirs)
        texts.append(f"{name}: {next(changed, '')}")
    return "; ".join(texts)


def _lines(value: object) -> list[str]:
    return (value.decode(errors="replace") if isinstance(value, bytes) else str(value)).splitlines()


def leftovers(out: Path) -> list[str]:
    """What no finished output may have: temporary files, records and locks, checkpoints; also beside it."""
    beside = [entry for entry in out.parent.iterdir() if entry != out and entry.name.startswith(out.name)]
    inside = [entry for pattern in ("*.sepo-tmp", ".sepo", "checkpoints") for entry in out.rglob(pattern)]
    return sorted(str(entry.relative_to(out.parent)) for entry in [*beside, *inside])


def remove(out: Path) -> None:
    shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)


TRAINING = ("--lr", "1e-3", "--batch-size", "2", "--micro-batch-size", "2", "--save-steps", "1")


def _score(workshop: Workshop) -> list[str]:
    models = [f"--oracle={workshop.other}", f"--ref={workshop.model}"]
    return ["score", str(workshop.pairs), *models, "--shard-rows=2", "--max-skipped=1", "--models-in-memory=2"]


def _select(workshop: Workshop) -> list[str]:
    return ["select", str(workshop.rewards)]


def _grid(workshop: Workshop) -> list[str]:
    return ["select", str(workshop.rewards), "--grid", "chosen=10%,50% rejected=30%"]


def _oracle(workshop: Workshop) -> list[str]:
    return ["oracle", str(workshop.pairs), f"--ref={workshop.model}", "--fraction=60%", *TRAINING]


def _oracle_lora(workshop: Workshop) -> list[str]:
    return [*_oracle(workshop), "--lora-r=2"]


def _train(workshop: Workshop) -> list[str]:
    holdout = ("--holdout=20%", "--eval-steps=2")
    return ["train", str(workshop.selection), f"--policy={workshop.model}", *holdout, *TRAINING]


def _train_lora(workshop: Workshop) -> list[str]:
    return [*_train(workshop), "--lora-r=2"]


def _evaluate(workshop: Workshop) -> list[str]:
    models = [str(workshop.other), f"--against={workshop.model}", f"--data={workshop.selection}"]
    sizes = ("--kl-samples=2", "--max-new-tokens=4")
    return ["evaluate", *models, f"--generate={workshop.prompts}", *sizes]


def _query(workshop: Workshop) -> list[str]:
    return ["query", str(workshop.rewards), "SELECT * FROM tokens"]


def _show(workshop: Workshop) -> list[str]:
    return ["show", str(workshop.selection), "--pair", "3"]


CHECKPOINTED = {
    "resumes_with": ("--resume",),
    "finished": finished_checkpoint,
    "made_again": steps_made_again,
}

SCORE = Stage("score", _score, finished=finished_shards, made_again=shards_made_again)
SELECT = Stage("select", _select, finished=finished_shards, made_again=shards_made_again)
STAGES = (
    SCORE,
    SELECT,
    Stage("select --grid", _grid, finished=finished_shards, made_again=shards_made_again),
    Stage("oracle", _oracle, **CHECKPOINTED),
    Stage("oracle --lora-r", _oracle_lora, **CHECKPOINTED),
    Stage("train", _train, **CHECKPOINTED),
    Stage("train --lora-r", _train_lora, **CHECKPOINTED),
    Stage("evaluate", _evaluate, refused_twice=True),
    Stage("query", _query, suffix=".parquet", refused_twice=True),
)
