"""A lease is renewed while its holder lives, and taken over once it is dead, by one process."""

import json
import threading
import time

import pytest

from sepo_data.storage import leases
from sepo_data.storage.location import location
from sepo_data.storage.locks import is_locked, try_lock
from tests.fixtures.stores import leave_a_dead_lease


def test_a_lease_is_renewed_and_given_back(store):
    name = location(store) / "x.lock"
    held = try_lock(name)
    first = name.read_bytes()
    assert try_lock(name) is None
    assert try_lock(name, watch=True) is None, "its holder is alive and renews it"
    assert name.read_bytes() != first
    held.release()
    assert not is_locked(name)
    again = try_lock(name)
    again.release()


def test_a_renewal_does_not_outlive_the_release(monkeypatch):
    """A renewal that has read the lease before the release must not write it after."""
    monkeypatch.setattr(leases, "LEASE_SECONDS", 0.3)
    name = location("memory://bucket/renewal/x.lock")
    reading, resume = threading.Event(), threading.Event()
    read = leases._read

    def slow_read(lease):
        content = read(lease)
        if threading.current_thread().name.startswith("lease of"):
            reading.set()
            resume.wait(10)
        return content

    monkeypatch.setattr(leases, "_read", slow_read)
    held = try_lock(name)
    [renewing] = [thread for thread in threading.enumerate() if thread.name.endswith("bucket/renewal/x.lock")]
    assert reading.wait(10)
    releasing = threading.Thread(target=held.release)
    releasing.start()
    releasing.join(0.2)
    resume.set()
    releasing.join(10)
    renewing.join(10)
    assert not is_locked(name)


def test_the_lease_of_a_dead_holder_is_taken_over(store):
    name = location(store) / "x.lock"
    leave_a_dead_lease(name)
    assert is_locked(name)
    assert try_lock(name) is None, "it was not watched yet"
    begun = time.monotonic()
    held = try_lock(name, watch=True)
    assert held is not None
    assert time.monotonic() - begun >= leases.LEASE_SECONDS
    held.release()


def test_a_lease_that_was_taken_over_is_not_given_back(store):
    name = location(store) / "x.lock"
    held = try_lock(name)
    leave_a_dead_lease(name, host="other")
    held.release()
    assert json.loads(name.read_bytes())["host"] == "other"


def test_only_one_of_many_creates_a_lease(store):
    name = location(store) / "x.lock"
    got, start = [], threading.Barrier(8)

    def race():
        start.wait()
        got.append(try_lock(name))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    held = [lock for lock in got if lock is not None]
    assert len(held) == 1 or store.startswith("memory"), "memory cannot create exclusively between threads"
    for lock in held:
        lock.release()


@pytest.mark.slow
def test_only_one_of_many_takes_a_dead_lease_over(store, monkeypatch):
    monkeypatch.setattr(leases, "LEASE_SECONDS", 2.4)  # eight threads that watch slow a renewal down
    name = location(store) / "x.lock"
    leave_a_dead_lease(name)
    got = []
    threads = [threading.Thread(target=lambda: got.append(try_lock(name, watch=True))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    held = [lock for lock in got if lock is not None]
    assert len(got) == 8
    assert len(held) == 1 or (held and store.startswith("memory")), "memory cannot create exclusively between threads"
    for lock in held:
        lock.release()


@pytest.mark.slow
def test_a_process_that_saw_a_lease_die_leaves_its_successor(store, monkeypatch):
    name = location(store) / "x.lock"
    leave_a_dead_lease(name)
    first = []
    watched = leases._watch

    def slow(watched_name):
        dead = watched(watched_name)
        monkeypatch.setattr(leases, "_watch", watched)
        first.append(try_lock(name, watch=True))
        return dead

    monkeypatch.setattr(leases, "_watch", slow)
    assert try_lock(name, watch=True) is None
    assert first[0].is_mine()
    first[0].release()
