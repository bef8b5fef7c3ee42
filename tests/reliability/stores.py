"""Stages that write to S3: killed at any request, raced, refused by the store; leases of the dead are taken over."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.fixtures.stores import running_s3
from tests.reliability.harness import content, difference

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from tests.reliability.harness import Stage
    from tests.reliability.tally import Tally
    from tests.reliability.workshop import Workshop

BUCKET = "s3://reliability"
REQUESTS = 30
"""Changes of objects that a stage makes here, or a few more: faults are drawn from these."""

SHORT_LEASES = "from sepo_data.storage import leases; leases.LEASE_SECONDS = 1.5\n"

AT_REQUEST = """
import os, signal
import s3fs

count = 0

def watched(name):
    original = getattr(s3fs.S3FileSystem, name)
    async def request(self, *arguments, **options):
        global count
        count += 1
        if count == {point}:
            {fault}
        return await original(self, *arguments, **options)
    setattr(s3fs.S3FileSystem, name, request)

for name in ("_put_file", "_pipe_file", "_rm_file"):
    watched(name)
"""
DIES = "os.kill(os.getpid(), signal.SIGKILL)"
FAILS = "import botocore.exceptions as b; raise b.EndpointConnectionError(endpoint_url='http://gone')"


@contextmanager
def store() -> Iterator[None]:
    """Run moto's S3 server on this machine, with an empty bucket, and name it in the environment."""
    import s3fs

    with running_s3() as environment:
        os.environ |= environment
        s3fs.S3FileSystem(use_listings_cache=False).makedirs(BUCKET.removeprefix("s3://"), exist_ok=True)
        yield


def disturb_store(workshop: Workshop, stage: Stage, dice: Random, tally: Tally) -> None:
    """Disturb the stage once while it writes to the store, then let it finish, and compare all objects."""
    out = f"{BUCKET}/{dice.randrange(1 << 40):x}"
    arguments = workshop.arguments(stage, out)
    way = dice.choice(("killed at a request", "killed at a time", "request failed", "two writers"))
    point = dice.randint(1, REQUESTS)
    codes: list[int] = []
    talks: list[str] = []
    if way in {"killed at a request", "request failed"}:
        fault = AT_REQUEST.format(point=point, fault=DIES if way == "killed at a request" else FAILS)
        code, _, talk = workshop.run(*arguments, before=SHORT_LEASES + fault)
        codes.append(code)
        talks.append(talk)
    else:
        both = range(2 if way == "two writers" else 1)
        running = [workshop.server.start(*arguments, before=SHORT_LEASES) for _ in both]
        time.sleep(dice.random() * 2 * workshop.undisturbed(stage).seconds)
        os.kill(running[0].pid, signal.SIGKILL)
        codes += [process.wait() for process in running]
        talks += [process.stderr for process in running]
    tally.faults[way] += any(codes)
    tally.exits.update(codes)
    allowed = {0, -signal.SIGKILL} if way != "request failed" else {0, 1}
    for code, talk in zip(codes, talks, strict=True):
        if code not in allowed or "Traceback" in talk:
            tally.problem(f"{way} ({point}), it ended with {code}: {talk}")
    code, _, talk = workshop.run(*arguments, before=SHORT_LEASES)
    tally.runs += 1
    found = _objects(out)
    if code:
        tally.problem(f"{way} ({point}), the next run ended with {code}: {talk}")
    elif found != workshop.undisturbed(stage).content:
        tally.problem(f"{way} ({point}): {difference(found, workshop.undisturbed(stage).content)[:1000]}")


def _objects(url: str) -> dict[str, object]:
    import s3fs

    with tempfile.TemporaryDirectory() as folder:
        files = s3fs.S3FileSystem(use_listings_cache=False)
        files.get(url, f"{folder}/out", recursive=True)
        return content(Path(folder, "out"))
