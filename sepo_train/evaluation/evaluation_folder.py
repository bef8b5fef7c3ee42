"""The directory of an evaluation: written by one process at a time, and begun again where a kill ended the last one."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from sepo_data.errors import RefusedError
from sepo_data.schemas.folder import RECORDS
from sepo_data.stages.runs import DIRECTORY_LOCK, drop_records
from sepo_data.storage.atomic import SUFFIX, remove_leftovers
from sepo_data.storage.location import make_folder, remove_tree
from sepo_data.storage.locks import try_lock
from sepo_train.evaluation.benchmarks import ALPACA_EVAL, MT_BENCH

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EVALUATION = "evaluation.json"
_OURS = {EVALUATION, ALPACA_EVAL, MT_BENCH, RECORDS}


def refuse_existing(out: Path, *, overwrite: bool) -> None:
    """Raise where `out` holds a complete evaluation, or anything else; one that a kill ended may be begun again."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not out.is_dir() or any(not _is_ours(entry.name) for entry in out.iterdir()):
        raise RefusedError(f"{out} holds something that is no evaluation", "choose another --out")
    complete = (out / EVALUATION).exists()
    if complete and (out / RECORDS).exists() and (lock := try_lock(_lock_path(out))) is not None:
        _drop(out)  # a kill at the very end left it
        lock.release()
    # Only the records tell that the files beside them are those of a run that did not end.
    if not overwrite and (complete or not (out / RECORDS).exists()):
        raise RefusedError(f"{out} holds an evaluation", "choose another --out, or replace it with --overwrite")


@contextmanager
def evaluation_folder(out: Path | None, *, overwrite: bool) -> Iterator[None]:
    """While the block runs, no other process evaluates into `out`."""
    if out is None:
        yield
        return
    make_folder(out / RECORDS)
    if (lock := try_lock(_lock_path(out), watch=True)) is None:
        raise RefusedError(f"another process is writing {out}", "wait for it, or choose another --out")
    try:
        refuse_existing(out, overwrite=overwrite)  # another process may have finished it meanwhile
        yield
    finally:
        if (out / EVALUATION).exists() or not any(entry.name != RECORDS for entry in out.iterdir()):
            _drop(out)
        lock.release()
        with suppress(OSError):  # it holds something
            out.rmdir()


def emptied(out: Path) -> Path:
    """`out` without what an earlier evaluation wrote; its lock stays."""
    for entry in out.iterdir():
        if entry.name != RECORDS:
            remove_tree(entry)
    return out


def _is_ours(name: str) -> bool:
    return name in _OURS or name.endswith(SUFFIX)


def _lock_path(out: Path) -> Path:
    return out / RECORDS / DIRECTORY_LOCK


def _drop(out: Path) -> None:
    remove_leftovers(out)
    drop_records(out)
