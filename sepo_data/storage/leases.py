"""Leases: locks in an object store, where the kernel holds none.

A lease is an object that is created only if it does not exist, and renewed while its holder lives. Another process
that finds one watches it; a lease that stays unchanged for `LEASE_SECONDS` of the watcher's own clock is dead. Clocks
of different machines are never compared.

Two processes may hold one name if the store cannot create exclusively (s3 and gs can, hf cannot; fsspec does not
report it), or if a holder hung for `LEASE_SECONDS`. Both then write the same shard: files are complete and have the
same bytes, so that only work is lost.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sepo_data.storage.location import filesystem

if TYPE_CHECKING:
    from pathlib import Path

LEASE_SECONDS = 120.0
"""Seconds without a renewal after which a lease is dead. A lease is renewed six times in this time."""

_GIVEN_BACK = b""
"""Stands for the content of a lease that was deleted by its holder."""


@dataclass(eq=False)
class Lease:
    """A lease that this process holds."""

    name: Path
    key: str = field(default_factory=lambda: secrets.token_hex(8))
    process: int = field(default_factory=os.getpid)
    released: threading.Event = field(default_factory=threading.Event)

    def content(self) -> bytes:
        """Holder and time, in JSON: never the same bytes twice."""
        holder = {"host": socket.gethostname(), "pid": self.process, "key": self.key, "time": time.time()}
        return json.dumps(holder).encode()

    def is_mine(self) -> bool:
        """True if no other process has taken the lease over."""
        content = _read(self.name)
        return content is not None and json.loads(content)["key"] == self.key

    def renew(self) -> None:
        """Write new content at intervals, until the lease is released or taken over."""
        while not self.released.wait(LEASE_SECONDS / 6):
            # A store that does not answer now may do so the next time.
            with suppress(Exception):
                if not self.is_mine():
                    return
                store, name = filesystem(self.name)
                store.pipe_file(name, self.content())
                # No lock between threads: a garbage collector may call `release` in any of them, also in this one.
                if self.released.is_set():
                    _delete(self.name)

    def release(self) -> None:
        """Delete the lease, unless it was taken over."""
        self.released.set()
        if os.getpid() != self.process:  # a forked child has a copy of it
            return
        with suppress(Exception):  # if the store does not answer, the lease expires
            if self.is_mine():
                _delete(self.name)


def try_lease(name: Path, *, watch: bool = False) -> Lease | None:
    """Create the lease `name`; None if another process holds it.

    Args:
        name: of an object in a store.
        watch: find out whether a holder is alive, and take over a dead lease; takes up to `LEASE_SECONDS`.
    """
    lease = Lease(name)
    store, key = filesystem(name)
    while True:
        try:
            store.pipe_file(key, lease.content(), mode="create")
        except FileExistsError:
            if watch and remove_if_dead(name):
                continue
            return None
        threading.Thread(target=lease.renew, name=f"lease of {key}", daemon=True).start()
        return lease


def is_leased(name: Path) -> bool:
    """True if the lease `name` exists; its holder may be dead."""
    return _read(name) is not None


def seems_leased(name: Path) -> bool:
    """True if the lease `name` was renewed lately, by two clocks: that of this machine and that of its holder."""
    content = _read(name)
    return content is not None and time.time() - json.loads(content)["time"] < LEASE_SECONDS


def remove_if_dead(name: Path) -> bool:
    """Watch the lease `name`, and delete it if it is dead. Returns whether the name is free to be tried again.

    Several processes may see the same lease die. One at a time deletes it, and reads it again before: otherwise a slow
    process would delete the new lease of a fast one.
    """
    last = _watch(name)
    if last is None or last == _GIVEN_BACK:
        return last == _GIVEN_BACK
    if (taker := try_lease(name.with_name(f"{name.name}.taking"), watch=True)) is None:
        return False
    try:
        if _read(name) == last:
            _delete(name)
    finally:
        taker.release()
    return True


def _watch(name: Path) -> bytes | None:
    """Read the lease `name` until its state is certain: the content of a dead one, `_GIVEN_BACK`, or None if alive."""
    content, since = _read(name), time.monotonic()
    while content is not None and time.monotonic() - since < LEASE_SECONDS:
        time.sleep(min(1.0, LEASE_SECONDS / 20))
        if (now := _read(name)) != content:
            return _GIVEN_BACK if now is None else None
    return _GIVEN_BACK if content is None else content


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
