"""A directory of sepo's: its manifest says what it is, what made it, and whether it is whole."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepo_data.errors import RefusedError, SepoError
from sepo_data.schemas.manifest import Manifest, ShardRecord
from sepo_data.schemas.stages import Stage
from sepo_data.storage.atomic import SUFFIX, remove_leftovers, write_text
from sepo_data.storage.location import is_remote, make_folder, public_name, read_text, remove_tree
from sepo_data.storage.locks import any_held, try_claim

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import JsonValue

    from sepo_data.storage.locks import Claim

MANIFEST = "sepo.json"
SKIPPED = "skipped.jsonl"
TOKENIZER = "tokenizer"
STATE = "state.json"
INFO = "dataset_info.json"
RECORDS = ".sepo"
LOCK = "directory.lock"  # in RECORDS: held by who decides what the directory is, or finishes it
AT_WORK = ".worker"  # in RECORDS: the ending of a file for each process that writes, held as long as it does

DATASETS = frozenset({Stage.REWARDS, Stage.SELECTION})
COMMANDS = {Stage.ORACLE: "oracle", Stage.REWARDS: "score", Stage.SELECTION: "select", Stage.POLICY: "train"}


def shard_name(index: int, shards: int) -> str:
    """The name of data file `index` of `shards`, as `datasets` names them."""
    return f"data-{index:05d}-of-{shards:05d}.arrow"


def shards_of(name: str) -> int:
    """How many data files there will be, from the name of one."""
    return int(name.rpartition("-of-")[2].removesuffix(".arrow"))


def find_run(path: Path, manifest: Manifest, *, overwrite: bool = False) -> Manifest | None:
    """The run of the same plan in `path`, `finished` where it has nothing left to do; None where a run may start.

    Nothing is touched. With `overwrite`, a run may start in place of any other, also of the same plan.

    Raises:
        RefusedError: `path` holds another plan (the keys that differ are named) or something that is not sepo's,
            `overwrite` would delete what `manifest` says is read, or a process is at work there that must be alone.
        SepoError: the run there is finished, but files of it are missing or cut.
    """
    if path.exists() and not path.is_dir():
        raise RefusedError(f"{path} is a file, not a directory", "choose another --out")
    if not path.is_dir():
        return None
    if not (path / MANIFEST).exists():
        # A run that was killed at once has left no more than the beginning of a manifest.
        if not all(map(_begins_a_run, path.iterdir())):
            raise RefusedError(f"{path} holds something that sepo did not write", "choose another --out")
        return None
    previous = read_manifest(path)
    if overwrite or previous.stage not in DATASETS:
        _refuse_to_disturb(path)
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

    Any number of processes may do so at once. Leftovers of killed runs are removed. `overwrite` removes another run
    first, and nothing else: of the processes of one run, one alone may ask for it, before the others begin.

    Returns:
        The manifest on disk.

    Raises:
        RefusedError, SepoError: as in `find_run`.
    """
    with claiming(path, manifest, overwrite=overwrite) as claimed:
        return claimed


@contextmanager
def claiming(path: Path, manifest: Manifest, *, overwrite: bool = False) -> Iterator[Manifest]:
    """`claim`; while the block runs, no other process decides about `path`."""
    previous = find_run(path, manifest, overwrite=overwrite)  # raises before anything is touched
    if previous is not None and previous.finished and not (path / RECORDS).exists():
        yield previous
        return
    with alone(path):
        # Another process may have been here between the two looks.
        previous = find_run(path, manifest, overwrite=overwrite)
        remove_leftovers(path)
        if previous is None:
            _clear(path)
            previous = manifest.model_copy(update={"created": datetime.now(UTC).isoformat(timespec="seconds")})
            write_text(path / MANIFEST, previous.to_json())
        try:
            yield previous
        finally:
            if previous.finished:
                drop_records(path)


@contextmanager
def working_alone(path: Path, manifest: Manifest, *, overwrite: bool = False) -> Iterator[Manifest]:
    """`claim` for a run that is no dataset; while the block runs, other processes find `path` taken."""
    with claiming(path, manifest, overwrite=overwrite) as claimed:
        if claimed.finished:
            raise RefusedError(f"another process has finished {path} meanwhile", "there is nothing left to do")
        worker = at_work(path)
    try:
        yield claimed
    finally:
        if worker is not None:
            worker.release()
        with suppress(OSError), alone(path):  # what the block raised matters more
            drop_records(path)


def at_work(path: Path) -> Claim | None:
    """Say that this process writes into `path`, until what is returned is released."""
    return try_claim(path / RECORDS / f"{os.getpid()}-{secrets.token_hex(4)}{AT_WORK}")


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """While the block runs, no other process decides what the directory `path` is; waits for one that does.

    The block may delete the folder of the lock at its end: a process that waits for it notices and makes a new one.
    """
    lock = path / RECORDS / LOCK
    while True:
        make_folder(lock.parent)
        if (held := try_claim(lock, watch=True)) is not None:
            break
    try:
        yield
    finally:
        held.release()


def drop_records(path: Path) -> None:
    """Delete what only an unfinished directory needs; whoever does so is `alone`."""
    with suppress(OSError):  # another process may be putting its lock there at this moment, and will be here next
        remove_tree(path / RECORDS)


def _begins_a_run(entry: Path) -> bool:
    if entry.name == RECORDS:
        return {inner.name for inner in entry.iterdir()} <= {LOCK}
    return entry.name.startswith(f"{MANIFEST}.") and entry.name.endswith(SUFFIX)


def _clear(path: Path) -> None:
    """Delete what a run left. Its manifest stays until another one replaces it: a kill here leaves a run of sepo's."""
    for entry in path.iterdir():
        if entry.name == RECORDS:
            for inner in entry.iterdir():
                if inner.name != LOCK:
                    inner.unlink()
        elif entry.name != MANIFEST:
            remove_tree(entry)


def _holds_work(path: Path) -> bool:
    """Whether a run there has left more than a plan, or somebody is at it; if not, another plan may take its place."""
    return (
        bool(finished_shards(path))
        or any(entry.name not in {MANIFEST, RECORDS, TOKENIZER} for entry in path.iterdir())
        or _is_busy(path)
    )


def _is_busy(path: Path) -> bool:
    return any_held((path / RECORDS).glob(f"*{AT_WORK}"))


def _refuse_to_disturb(path: Path) -> None:
    if _is_busy(path):
        raise RefusedError(
            f"another process is writing {path} at this moment", "wait for it or stop it, or choose another --out"
        )


def _refuse_to_delete_input(path: Path, manifest: Manifest) -> None:
    names = {manifest.input.name, *(model.name for model in manifest.models.values())}
    if is_remote(path):
        inside = [name for name in names if f"{name}/".startswith(f"{public_name(path)}/")]
    else:
        inside = [name for name in names if _is_inside(Path(name), path)]
    if inside:
        raise RefusedError(
            f"--overwrite would delete {', '.join(sorted(inside))}, which this run reads", "choose another --out"
        )


def _is_inside(name: Path, path: Path) -> bool:
    return name.exists() and name.resolve().is_relative_to(path.resolve())


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
    return [ShardRecord.model_validate(entry["record"]) for entry in shard_entries(path)]


def shard_entries(path: Path) -> list[dict[str, Any]]:
    """What `write_shard` noted of each finished shard of an unfinished dataset, in order."""
    entries = []
    for file in sorted((path / RECORDS).glob("*.json"), key=lambda file: file.name):
        with suppress(FileNotFoundError):  # the dataset was finished by another process in the meantime
            entries.append(json.loads(read_text(file)))
    return entries


def read_manifest(path: Path) -> Manifest:
    """The manifest in directory `path`, whatever its stage."""
    file = path / MANIFEST
    if not file.exists():
        state = "is a file, not a directory" if path.exists() else "does not exist"
        state = "is not a directory of sepo's: it has no sepo.json" if path.is_dir() else state
        raise SepoError(f"{path} {state}", "give a directory that `sepo score` or `sepo select` wrote")
    try:
        return Manifest.from_json(read_text(file))
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


def record_results(path: Path, results: dict[str, JsonValue]) -> Manifest:
    """Write other `results` into the manifest in `path`; nothing else changes."""
    manifest = read_manifest(path).model_copy(update={"results": results})
    write_text(path / MANIFEST, manifest.to_json())
    return manifest
