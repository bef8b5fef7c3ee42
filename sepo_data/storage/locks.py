"""Locks between processes: kernel file locks locally, leases in object stores. A dead process's lock is released."""

from __future__ import annotations

import fcntl
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from filelock import FileLock, Timeout

from sepo_data.storage.leases import is_leased, remove_if_dead, seems_leased, try_lease
from sepo_data.storage.location import is_remote

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

LOCK_WAIT_SECONDS = 0.1
"""Wait for a lock that may be held for a moment only: by `is_locked`, or by a starting child of a dead process."""

WATCHER_THREADS = 64
"""Leases that are watched at a time."""


class Lock(Protocol):
    """A name that this process alone holds."""

    def release(self) -> None:
        """Free the name for other processes."""


def try_lock(name: Path, *, watch: bool = False) -> Lock | None:
    """Lock `name`; None if another process holds it, or if its folder does not exist.

    Args:
        name: of a file or an object that serves as a lock alone.
        watch: find out whether the holder of a lease is alive; takes up to `leases.LEASE_SECONDS`.
    """
    if is_remote(name):
        return try_lease(name, watch=watch)
    if not name.parent.is_dir():
        return None
    lock = FileLock(name, timeout=LOCK_WAIT_SECONDS, poll_interval=LOCK_WAIT_SECONDS / 10, thread_local=False)
    try:
        lock.acquire()
    except (Timeout, FileNotFoundError):
        return None
    return lock


def is_locked(name: Path) -> bool:
    """True if some process, this one included, holds `name` now; for a lease: whether it exists."""
    if is_remote(name):
        return is_leased(name)
    until = time.monotonic() + LOCK_WAIT_SECONDS
    while _is_locked_now(name):
        if time.monotonic() > until:
            return True
        time.sleep(LOCK_WAIT_SECONDS / 10)
    return False


def _is_locked_now(name: Path) -> bool:
    try:
        with name.open("rb") as file:  # open for reading: the directory may belong to another user
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError:  # the file system has no kernel locks; filelock has a substitute
        if (lock := try_lock(name)) is None:
            return True
        lock.release()
    return False


def seems_locked(name: Path) -> bool:
    """`is_locked`, without watching a lease: by the clocks of this machine and of its holder, which may differ."""
    return seems_leased(name) if is_remote(name) else is_locked(name)


def any_locked(names: Iterable[Path]) -> bool:
    """True if a living process holds any of `names`. Leases are watched all at once, and dead ones deleted."""

    def held(name: Path) -> bool:
        return is_locked(name) and not (is_remote(name) and remove_if_dead(name))

    with ThreadPoolExecutor(WATCHER_THREADS) as pool:
        return any(list(pool.map(held, names)))
