"""Start, resume, replace or refuse a run in a stage directory, while any number of processes may ask for it.

Two kinds of locks lie in `.sepo/`: the directory lock, held while a process decides what the directory is or finishes
it, and one writer lock for each process that writes into it, held as long as it does.
"""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from sepo_data.errors import RefusedError
from sepo_data.readers.shard_faults import plan_faults
from sepo_data.schemas.folder import DATASETS, MANIFEST, RECORDS, TOKENIZER
from sepo_data.stages.directory import is_complete, read_manifest
from sepo_data.stages.records import finished_shards
from sepo_data.stages.repair import damage, reopen
from sepo_data.storage.atomic import SUFFIX, remove_leftovers, write_text
from sepo_data.storage.location import is_remote, make_folder, public_name, remove_tree
from sepo_data.storage.locks import any_locked, try_lock

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sepo_data.readers.shard_faults import ShardFault
    from sepo_data.schemas.manifest import Manifest
    from sepo_data.storage.locks import Lock

DIRECTORY_LOCK = "directory.lock"
WRITER_LOCK = ".worker"
"""The suffix of the writer locks."""


def find_run(path: Path, manifest: Manifest, *, overwrite: bool = False) -> Manifest | None:
    """The run of the same plan in `path`, `complete` where it has nothing left to do; None where a run may start.

    An incomplete one that has `shards` was complete, and something of it was lost or damaged since.

    Nothing is touched. With `overwrite`, a run may start in place of another one of its stage, also of the same plan.

    Raises:
        RefusedError: `path` holds another stage, another plan (the keys that differ are named) or files that sepo did
            not write, its manifest was edited, `overwrite` would delete an input of `manifest` or another stage
            directory inside, or a process is writing there that needs it for itself.
        SepoError: the manifest there is damaged.
    """
    if path.exists() and not path.is_dir():
        raise RefusedError(f"{path} is a file, not a directory", "choose another --out")
    if not path.is_dir():
        return None
    if _without_a_run(path):
        return None
    previous = read_manifest(path)
    if previous.stage is not manifest.stage:
        raise RefusedError(
            f"{path} holds {previous.stage}, not {manifest.stage}",
            f"choose another --out; --overwrite replaces {manifest.stage} only",
        )
    if overwrite or previous.stage not in DATASETS:
        _refuse_to_disturb(path)
    if overwrite:
        _refuse_to_delete_input(path, manifest)
        _refuse_to_delete_stages(path)
        return None
    _refuse_edited(path, plan_faults(path, previous))
    differing = previous.differing_keys(manifest)
    if differing and _holds_work(path):
        raise RefusedError(
            f"{path} holds another {previous.stage} run; what differs (there -> here):",
            "choose another --out, or replace it with --overwrite",
            details=differing,
        )
    if differing:
        return None
    if previous.stage not in DATASETS or not previous.complete:
        return previous
    faults = damage(path, previous)
    _refuse_edited(path, faults)
    return previous.model_copy(update={"complete": is_complete(path) and not faults})


def open_run(path: Path, manifest: Manifest, *, overwrite: bool = False) -> Manifest:
    """Make `path` the directory of `manifest`'s plan: start it, or find the run that the same plan began.

    Any number of processes may do so at once. Leftovers of killed runs are removed. `overwrite` removes another run
    first, and nothing else: of the processes of one run, only one may ask for it, before the others begin.

    Returns:
        The manifest on disk.

    Raises:
        RefusedError, SepoError: as in `find_run`.
    """
    with locked_run(path, manifest, overwrite=overwrite) as opened:
        return opened


@contextmanager
def locked_run(path: Path, manifest: Manifest, *, overwrite: bool = False) -> Iterator[Manifest]:
    """`open_run`, holding the directory lock while the block runs, unless the run is complete."""
    previous = find_run(path, manifest, overwrite=overwrite)  # raises before anything is touched
    if previous is not None and previous.complete and not _has_leftovers(path):
        yield previous
        return
    with directory_lock(path):
        # Another process may have changed the directory before the lock was acquired.
        previous = find_run(path, manifest, overwrite=overwrite)
        remove_leftovers(path)
        if previous is not None and previous.shards and not previous.complete:
            reopen(path, previous)
        if previous is None:
            _clear(path)
            previous = manifest.model_copy(update={"created": datetime.now(UTC).isoformat(timespec="seconds")})
            write_text(path / MANIFEST, previous.to_json())
        try:
            yield previous
        finally:
            if previous.complete:
                drop_records(path)


@contextmanager
def exclusive_run(path: Path, manifest: Manifest, *, overwrite: bool = False) -> Iterator[Manifest]:
    """`open_run` for a model directory: while the block runs, other processes are refused."""
    with locked_run(path, manifest, overwrite=overwrite) as opened:
        if opened.complete:
            raise RefusedError(f"another process has finished {path} meanwhile", "there is nothing left to do")
        writer = writer_lock(path)
    try:
        yield opened
    finally:
        if writer is not None:
            writer.release()
        with suppress(OSError), directory_lock(path):  # an error of the block matters more
            drop_records(path)


def writer_lock(path: Path) -> Lock | None:
    """Mark this process as a writer of `path`, until the lock is released."""
    return try_lock(path / RECORDS / f"{os.getpid()}-{secrets.token_hex(4)}{WRITER_LOCK}")


@contextmanager
def directory_lock(path: Path) -> Iterator[None]:
    """While the block runs, no other process decides what the directory `path` is; waits for the one that does.

    The block may delete the folder of the lock at its end: a process that waits for it notices and makes a new one.
    """
    name = path / RECORDS / DIRECTORY_LOCK
    while True:
        make_folder(name.parent)
        if (lock := try_lock(name, watch=True)) is not None:
            break
    try:
        yield
    finally:
        lock.release()


def _has_leftovers(path: Path) -> bool:
    """True if a kill has left something in the complete directory `path`, or another process is finishing it."""
    return (path / RECORDS).exists() or (not is_remote(path) and any(path.glob(f"*{SUFFIX}")))


def drop_records(path: Path) -> None:
    """Delete the files that only an incomplete directory needs; the caller holds the directory lock."""
    with suppress(OSError):  # another process may be creating its lock there at this moment; it drops them later
        remove_tree(path / RECORDS)


def _without_a_run(path: Path) -> bool:
    """True if no run has started in the folder `path`; raises where it holds files of another origin."""
    if (path / MANIFEST).exists():
        return False
    # A run that was killed at once has left no more than the beginning of a manifest.
    unstarted = all(map(_begins_a_run, path.iterdir()))
    if (path / MANIFEST).exists():  # another process started it while this one listed the folder
        return False
    if not unstarted:
        inside = sorted(entry.name for entry in path.iterdir() if (entry / MANIFEST).exists())
        what = f"stage directories ({', '.join(inside)})" if inside else "something that sepo did not write"
        raise RefusedError(f"{path} holds {what}", "choose another --out")
    return True


def _begins_a_run(entry: Path) -> bool:
    if entry.name == RECORDS:
        with suppress(FileNotFoundError):  # another process finished and dropped it
            return {inner.name for inner in entry.iterdir()} <= {DIRECTORY_LOCK}
    return entry.name.startswith(f"{MANIFEST}.") and entry.name.endswith(SUFFIX)


def _clear(path: Path) -> None:
    """Delete a run's files. Its manifest stays until another one replaces it: a kill here leaves a stage directory."""
    for entry in path.iterdir():
        if entry.name == RECORDS:
            for inner in entry.iterdir():
                if inner.name != DIRECTORY_LOCK:
                    inner.unlink()
        elif entry.name != MANIFEST:
            remove_tree(entry)


def _holds_work(path: Path) -> bool:
    """True if the run there has left more than a plan, or a process is writing; otherwise another plan may start."""
    return (
        bool(finished_shards(path))
        or any(entry.name not in {MANIFEST, RECORDS, TOKENIZER} for entry in path.iterdir())
        or _has_writers(path)
    )


def _has_writers(path: Path) -> bool:
    return any_locked((path / RECORDS).glob(f"*{WRITER_LOCK}"))


def _refuse_edited(path: Path, faults: Sequence[ShardFault]) -> None:
    """Raise if one of `faults` is of the manifest itself: nothing is left that a repair could compare files with."""
    if edited := next((fault for fault in faults if fault.file == MANIFEST), None):
        raise RefusedError(f"{path} is damaged: {edited}", "choose another --out, or make it anew with --overwrite")


def _refuse_to_disturb(path: Path) -> None:
    if _has_writers(path):
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


def _refuse_to_delete_stages(path: Path) -> None:
    inside = sorted({str(file.parent) for file in path.glob(f"*/**/{MANIFEST}")})
    if inside:
        raise RefusedError(f"--overwrite would delete {', '.join(inside)} as well", "choose another --out, or move it")


def _is_inside(name: Path, path: Path) -> bool:
    return name.exists() and name.resolve().is_relative_to(path.resolve())
