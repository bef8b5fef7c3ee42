"""A directory of sepo's: its manifest says what it is, what made it, and whether it is whole."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

from schemas.errors import RefusedError, SepoError
from schemas.manifest import Manifest, ShardRecord
from schemas.stages import Stage
from sepo_data.atomic import SUFFIX, remove_leftovers, write_text

MANIFEST = "sepo.json"
SKIPPED = "skipped.jsonl"
TOKENIZER = "tokenizer"
STATE = "state.json"
INFO = "dataset_info.json"
RECORDS = ".sepo"

DATASETS = frozenset({Stage.REWARDS, Stage.SELECTION})
COMMANDS = {Stage.ORACLE: "oracle", Stage.REWARDS: "score", Stage.SELECTION: "select", Stage.POLICY: "train"}


def find_run(path: Path, manifest: Manifest, *, overwrite: bool = False) -> Manifest | None:
    """The run of the same plan in `path`, `finished` where it has nothing left to do; None where a run may start.

    Nothing is touched. With `overwrite`, a run may start in place of any other, also of the same plan.

    Raises:
        RefusedError: `path` holds another plan (the keys that differ are named) or something that is not sepo's, or
            `overwrite` would delete what `manifest` says is read.
        SepoError: the run there is finished, but files of it are missing or cut.
    """
    if path.exists() and not path.is_dir():
        raise RefusedError(f"{path} is a file, not a directory", "choose another --out")
    if not path.is_dir():
        return None
    if not (path / MANIFEST).exists():
        # A run that was killed at once has left no more than the beginning of a manifest.
        if any(entry.name != MANIFEST + SUFFIX for entry in path.iterdir()):
            raise RefusedError(f"{path} holds something that sepo did not write", "choose another --out")
        return None
    previous = read_manifest(path)
    if overwrite:
        _refuse_to_delete_input(path, manifest)
        return None
    differing = previous.differing_keys(manifest)
    if differing and _holds_work(path):
        raise RefusedError(
            f"{path} holds another {previous.stage} run; what differs (there -> here):\n  " + "\n  ".join(differing),
            "choose another --out, or replace it with --overwrite",
        )
    if differing:
        return None
    if not is_finished(path):
        return previous.model_copy(update={"finished": False})
    _check_files(path, previous)
    return previous


def claim(path: Path, manifest: Manifest, *, overwrite: bool = False) -> Manifest:
    """Make `path` the directory of `manifest`'s plan: start it, or find the one that the same plan began.

    Leftovers of a killed run are removed. `overwrite` removes another run's directory first, and nothing else.

    Returns:
        The manifest on disk.

    Raises:
        RefusedError, SepoError: as in `find_run`.
    """
    if (previous := find_run(path, manifest, overwrite=overwrite)) is not None:
        remove_leftovers(path)
        return previous
    if (path / MANIFEST).exists():
        path = path.resolve()  # what a symbolic link points at can be deleted and made again, the link stays
        shutil.rmtree(path)
    path.mkdir(parents=True, exist_ok=True)
    started = manifest.model_copy(update={"created": datetime.now(UTC).isoformat(timespec="seconds")})
    write_text(path / MANIFEST, started.to_json())
    return started


def _holds_work(path: Path) -> bool:
    """Whether a run that failed at its start has left more than a plan; if not, another plan may take its place."""
    return bool(finished_shards(path)) or any(
        entry.name not in {MANIFEST, RECORDS, TOKENIZER} for entry in path.iterdir()
    )


def _refuse_to_delete_input(path: Path, manifest: Manifest) -> None:
    names = {manifest.input.name, *(model.name for model in manifest.models.values())}
    inside = [name for name in names if Path(name).exists() and Path(name).resolve().is_relative_to(path.resolve())]
    if inside:
        raise RefusedError(
            f"--overwrite would delete {', '.join(sorted(inside))}, which this run reads", "choose another --out"
        )


def is_finished(path: Path) -> bool:
    """Whether `path` is a whole directory of sepo's; a dataset's own files come last, so they decide."""
    if not (path / MANIFEST).exists():
        return False
    manifest = read_manifest(path)
    return manifest.finished and (
        manifest.stage not in DATASETS or all((path / name).exists() for name in (STATE, INFO))
    )


def _check_files(path: Path, manifest: Manifest) -> None:
    """Raise where a data file of a finished dataset is missing or has another size than its record says."""
    files = [(path / shard.file, shard.bytes) for shard in manifest.shards]
    damaged = [file.name for file, size in files if not file.exists() or file.stat().st_size != size]
    if damaged:
        raise SepoError(
            f"{path} is damaged: {', '.join(damaged)} missing or cut", "write it again with --overwrite, or restore it"
        )


def finished_shards(path: Path) -> list[ShardRecord]:
    """The records of an unfinished dataset's shards, in order."""
    parts = sorted((path / RECORDS).glob("*.json"))
    return [ShardRecord.model_validate(json.loads(part.read_text(encoding="utf-8"))["record"]) for part in parts]


def read_manifest(path: Path) -> Manifest:
    """The manifest in directory `path`, whatever its stage."""
    file = path / MANIFEST
    if not file.exists():
        state = "is a file, not a directory" if path.exists() else "does not exist"
        state = "is not a directory of sepo's: it has no sepo.json" if path.is_dir() else state
        raise SepoError(f"{path} {state}", "give a directory that `sepo score` or `sepo select` wrote")
    try:
        return Manifest.from_json(file.read_text(encoding="utf-8"))
    except ValueError as error:
        # pydantic tells the number of problems in its first line, and in the next two where the first one is and what.
        reason = " ".join(line.strip() for line in str(error).splitlines()[:3])
        raise SepoError(f"{file} cannot be read: {reason}", "it was changed by hand or by another version") from error


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
        shards = f" ({len(finished_shards(path))} shards so far)" if manifest.stage in DATASETS else ""
        raise SepoError(
            f"{path} is unfinished{shards}", f"run the same `sepo {COMMANDS[manifest.stage]}` again; it goes on there"
        )
    return manifest
