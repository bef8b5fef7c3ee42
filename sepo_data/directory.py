"""A directory of sepo's: its manifest says what it is, what made it, and whether it is whole."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from schemas.errors import RefusedError, SepoError
from schemas.manifest import Manifest, ShardRecord
from schemas.stages import Stage
from sepo_data.atomic import remove_leftovers, write_text

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST = "sepo.json"
SKIPPED = "skipped.jsonl"
TOKENIZER = "tokenizer"
STATE = "state.json"
INFO = "dataset_info.json"
RECORDS = ".sepo"

DATASETS = frozenset({Stage.REWARDS, Stage.SELECTION})
COMMANDS = {Stage.ORACLE: "oracle", Stage.REWARDS: "score", Stage.SELECTION: "select", Stage.POLICY: "train"}


def claim(path: Path, manifest: Manifest, *, overwrite: bool = False) -> Manifest:
    """Make `path` the directory of `manifest`'s plan: start it, or find the one that the same plan began.

    Leftovers of a killed run are removed. `overwrite` removes another run's directory first, and nothing else.

    Returns:
        The manifest on disk; `finished` where there is nothing left to do.

    Raises:
        RefusedError: `path` holds another plan (the keys that differ are named) or something that is not sepo's.
    """
    if path.exists() and not path.is_dir():
        raise RefusedError(f"{path} is a file, not a directory", "choose another --out")
    if path.is_dir():
        remove_leftovers(path)
        if any(path.iterdir()):
            if not (path / MANIFEST).exists():
                raise RefusedError(f"{path} holds something that sepo did not write", "choose another --out")
            previous = read_manifest(path)
            differing = previous.differing_keys(manifest)
            if not differing and not overwrite:
                return previous if is_finished(path) else previous.model_copy(update={"finished": False})
            if not overwrite:
                raise RefusedError(
                    f"{path} holds another {previous.stage} run; what differs (there -> here):\n  "
                    + "\n  ".join(differing),
                    "choose another --out, or replace it with --overwrite",
                )
            shutil.rmtree(path)
    path.mkdir(parents=True, exist_ok=True)
    started = manifest.model_copy(update={"created": datetime.now(UTC).isoformat(timespec="seconds")})
    write_text(path / MANIFEST, started.to_json())
    return started


def is_finished(path: Path) -> bool:
    """Whether `path` is a whole directory of sepo's; a dataset's own files come last, so they decide."""
    if not (path / MANIFEST).exists():
        return False
    manifest = read_manifest(path)
    return manifest.finished and (
        manifest.stage not in DATASETS or all((path / name).exists() for name in (STATE, INFO))
    )


def finished_shards(path: Path) -> list[ShardRecord]:
    """The records of an unfinished dataset's shards, in order."""
    parts = sorted((path / RECORDS).glob("*.json"))
    return [ShardRecord.model_validate(json.loads(part.read_text(encoding="utf-8"))["record"]) for part in parts]


def read_manifest(path: Path) -> Manifest:
    """The manifest in directory `path`, whatever its stage."""
    file = path / MANIFEST
    if not file.exists():
        state = "is not a directory of sepo's: it has no sepo.json" if path.is_dir() else "does not exist"
        raise SepoError(f"{path} {state}", "give a directory that `sepo score` or `sepo select` wrote")
    try:
        return Manifest.from_json(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise SepoError(
            f"{file} cannot be read: {str(error).splitlines()[0]}", "it was changed by hand or by another version"
        ) from error


def read_stage(path: Path, *stages: Stage) -> Manifest:
    """The manifest of a whole directory of one of `stages`; raises where it is another one or unfinished."""
    manifest = read_manifest(path)
    command = COMMANDS[stages[0]]
    if manifest.stage not in stages:
        expected = " or ".join(stages)
        raise SepoError(
            f"{path} holds {manifest.stage}, not {expected}", f"`sepo {command} --help` shows how to make it"
        )
    if not is_finished(path):
        raise SepoError(
            f"{path} is unfinished ({len(finished_shards(path))} shards so far)",
            f"run the same `sepo {COMMANDS[manifest.stage]}` again; it goes on where it stopped",
        )
    return manifest
