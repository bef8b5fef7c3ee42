"""Who works on what: a name that one process at a time holds, and that a dead process holds no more.

On this machine a name is a file with a kernel lock, which ends with its process, however that ends.

In a store it is a lease: an object that is created only where there is none, and renewed as long as its holder lives.
Who finds one watches it; where it stays the same for `LEASE` seconds of the watcher's own clock, the holder is taken
for dead, so clocks are never compared. Stores that cannot create exclusively (fsspec tells none apart: s3 and gs can,
hf cannot), and a holder that hung for so long, may let two processes hold one name. What they do then is done twice
and is the same: shards are written whole and have the same bytes.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from filelock import FileLock, Timeout

from sepo_data.storage.location import filesystem, is_remote

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

GLANCE = 0.1
"""Seconds to wait for what may be held for a moment only: by a look, or by the child of a dead process as it begins."""

LEASE = 120.0
"""Seconds without a sign of life after which a lease is free."""

WATCHERS = 64
"""Leases that are watched at a time."""

GONE = b""
"""What is read of a lease that was given back."""


class Claim(Protocol):
    """Something held by this process alone."""

    def release(self) -> None: ...


def try_claim(name: Path, *, watch: bool = False) -> Claim | None:
    """Hold `name`, or None where another process does so, or where its folder is gone.

    Args:
        name: of nothing else.
        watch: of a lease that another process holds, find out whether it is alive; takes up to `LEASE` seconds.
    """
    if is_remote(name):
        return _try_lease(name, watch=watch)
    if not name.parent.is_dir():
        return None
    lock = FileLock(name, timeout=GLANCE, poll_interval=GLANCE / 10, thread_local=False)
    try:
        lock.acquire()
    except (Timeout, FileNotFoundError):
        return None
    return lock


def is_held(name: Path) -> bool:
    """Whether some process, this one included, holds `name` now; of a lease that it was not given back."""
    if is_remote(name):
        return _read(name) is not None
    until = time.monotonic() + GLANCE
    while _is_locked(name):
        if time.monotonic() > until:
            return True
        time.sleep(GLANCE / 10)
    return False


def _is_locked(name: Path) -> bool:
    """Whether the file `name` is locked at this moment."""
    try:
        with name.open("rb") as file:  # reading is enough to look at a directory of somebody else's
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    except OSError:  # the file system has no such locks, for which filelock has a way of its own
        if (claim := try_claim(name)) is None:
            return True
        claim.release()
    return False


def seems_held(name: Path) -> bool:
    """`is_held`, without waiting: of a lease, by the clocks of this machine and of its holder, which may differ."""
    if not is_remote(name):
        return is_held(name)
    content = _read(name)
    return content is not None and time.time() - json.loads(content)["time"] < LEASE


def any_held(names: Iterable[Path]) -> bool:
    """Whether any of `names` is held by a living process; leases are watched all at once, and dead ones taken away."""

    def held(name: Path) -> bool:
        return is_held(name) and not (is_remote(name) and _clear(name))

    with ThreadPoolExecutor(WATCHERS) as pool:
        return any(list(pool.map(held, names)))


# Leases.


@dataclass(eq=False)
class _Lease:
    name: Path
    key: str = field(default_factory=lambda: secrets.token_hex(8))
    process: int = field(default_factory=os.getpid)
    released: threading.Event = field(default_factory=threading.Event)

    def sign_of_life(self) -> bytes:
        """Never the same twice."""
        beat = {"host": socket.gethostname(), "pid": self.process, "key": self.key, "time": time.time()}
        return json.dumps(beat).encode()

    def is_mine(self) -> bool:
        content = _read(self.name)
        return content is not None and json.loads(content)["key"] == self.key

    def renew(self) -> None:
        while not self.released.wait(LEASE / 6):
            # A store that does not answer now may do so the next time.
            with suppress(Exception):
                if not self.is_mine():
                    return
                store, name = filesystem(self.name)
                store.pipe_file(name, self.sign_of_life())

    def release(self) -> None:
        self.released.set()
        if os.getpid() != self.process:  # a forked child has a copy of it
            return
        with suppress(Exception):  # where the store does not answer, the lease runs out by itself
            if self.is_mine():
                _delete(self.name)


def _try_lease(name: Path, *, watch: bool) -> Claim | None:
    lease = _Lease(name)
    store, key = filesystem(name)
    while True:
        try:
            store.pipe_file(key, lease.sign_of_life(), mode="create")
        except FileExistsError:
            if watch and _clear(name):
                continue
            return None
        threading.Thread(target=lease.renew, name=f"lease of {key}", daemon=True).start()
        return lease


def _clear(name: Path) -> bool:
    """Watch what holds `name`, and take it away where it is dead: whether the name is free to be tried for again.

    Of several that saw the same dead lease only one takes it away at a time, and looks again first; without that, a
    slow one would take away the new lease of a quick one.
    """
    dead = _last_sign(name)
    if dead is None or dead == GONE:
        return dead == GONE
    if (taker := _try_lease(name.with_name(f"{name.name}.taking"), watch=True)) is None:
        return False
    try:
        if _read(name) == dead:
            _delete(name)
    finally:
        taker.release()
    return True


def _last_sign(name: Path) -> bytes | None:
    """Watch the lease `name` until it is known: what a dead holder left, `GONE`, or None where its holder lives."""
    content, since = _read(name), time.monotonic()
    while content is not None and time.monotonic() - since < LEASE:
        time.sleep(min(1.0, LEASE / 20))
        if (now := _read(name)) != content:
            return GONE if now is None else None
    return GONE if content is None else content


def _read(name: Path) -> bytes | None:
    store, key = filesystem(name)
    store.invalidate_cache()
    with suppress(FileNotFoundError):
        return bytes(store.cat_file(key))
    return None


def _delete(name: Path) -> None:
    store, key = filesystem(name)
    with suppress(FileNotFoundError):
        store.rm_file(key)
