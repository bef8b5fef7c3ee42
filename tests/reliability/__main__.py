"""`python -m tests.reliability --seed 0 --runs 10`: disturb everything in every way, and print the counts."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from multiprocessing import get_context

from sepo_data.stages.versions import installed_versions
from tests.reliability.drivers import DRIVERS
from tests.reliability.jobs import disturb, open_shop
from tests.reliability.stores import store
from tests.reliability.tally import table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=10, help="of each driver on each of its subjects, about")
    parser.add_argument("--jobs", type=int, default=2, help="at a time, each in processes of its own")
    parser.add_argument("--driver", action="append", choices=[driver.name for driver in DRIVERS])
    parser.add_argument("--on", action="append", metavar="NAME", help="only this subject, such as score or table.csv")
    given = parser.parse_args()
    os.environ["TQDM_DISABLE"] = "1"  # no bars of the models that are saved here
    began = time.monotonic()
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="reliability"))
        stack.enter_context(store())
        chosen = [
            (driver.name, name)
            for driver in DRIVERS
            if not given.driver or driver.name in given.driver
            for name in driver.subjects
            if not given.on or name in given.on
        ]
        pool = stack.enter_context(
            ProcessPoolExecutor(given.jobs, get_context("spawn"), initializer=open_shop, initargs=(folder,))
        )
        jobs = {pool.submit(disturb, *names, given.runs, given.seed): names for names in chosen}
        found = {}
        for job in as_completed(jobs):
            tally = found[jobs[job]] = job.result()
            print(*tally.cells(), *tally.problems, sep="\n", file=sys.stderr, flush=True)
    tallies = [found[names] for names in chosen]
    print(table(tallies))
    versions = ", ".join(f"{name} {version}" for name, version in installed_versions().items())
    print(f"seed {given.seed}, {given.runs} runs, {(time.monotonic() - began) / 60:.0f} minutes; {versions}")
    sys.exit(any(tally.problems for tally in tallies))


if __name__ == "__main__":
    main()
