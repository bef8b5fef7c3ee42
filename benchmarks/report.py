"""The HTML report of large rewards datasets: how long it takes to make, how large it is, how soon a browser shows it.

    python benchmarks/report.py                        # 1,000 and 10,000 pairs of 2 x 300 tokens
    python benchmarks/report.py --pairs 100000         # 60M tokens, 1.3 GB on the disk

The columns of the table:

- seconds, CPU s: of `sepo report` as a process of its own, from its start to its end, with verified hashes.
- memory: the most that the process had for itself at a time, sampled every 20 ms. The shards are mapped, and their
  pages, which the kernel takes back at will, are in `resident` only: the most memory that was mapped in.
- MB: of the file.
- Chromium's own times from the start of the navigation, in ms, medians of 5 loads in fresh pages: the parser is done
  (`interactive`), the first pair is in the list (`pairs`), everything is loaded (`loaded`); and from a move of the
  slider to the frame that shows the new selection (`slider`).

Measured on two cores beside other programs, at a load of 3 to 4:

    pairs       seconds   CPU s   memory, MB   resident, MB    MB   interactive   pairs   loaded   slider
      1,000         7.7     7.6        251.7          407.2   4.9           316     653      670       26
     10,000         9.6     8.3        245.4          411.6   4.9           199     392      407       17
    100,000        23.2    23.8        250.0          418.9   4.9           244     531      542       12
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from random_rewards import VOCABULARY, build, ids_as_in_text, lengths_of

if TYPE_CHECKING:
    from collections.abc import Sequence


RESPONSE, LOADS, SAMPLE_SECONDS = 300, 5, 0.02
MB = 1_000_000

WATCH = """
new MutationObserver((_, observer) => {
  if (document.querySelector('#pair-list [role=option]')) {
    window.firstPair = performance.now();
    observer.disconnect();
  }
}).observe(document, {childList: true, subtree: true});
"""
TIMES = """
() => {
  const [navigation] = performance.getEntriesByType('navigation');
  return {interactive: navigation.domInteractive, pairs: window.firstPair, loaded: navigation.loadEventEnd};
}
"""
SLIDE = """
() => new Promise((resolve) => {
  const slider = document.querySelector('#share-chosen');
  const begun = performance.now();
  slider.value = slider.value === '10' ? '60' : '10';
  slider.dispatchEvent(new Event('input', {bubbles: true}));
  requestAnimationFrame(() => setTimeout(() => resolve(performance.now() - begun)));
})
"""


@dataclass
class Run:
    """What a process took."""

    seconds: float
    cpu_seconds: float
    own_bytes: int
    resident_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description="make and open reports of random rewards")
    parser.add_argument("--pairs", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--keep", type=Path, help="folder for the reports, to look at them")
    given = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} CPUs, load {load:.1f}\n")
    heads = ("seconds", "CPU s", "memory, MB", "resident, MB", "MB", "interactive", "pairs", "loaded", "slider")
    print(f"{'pairs':>9}" + "".join(f"{head:>14}" for head in heads), flush=True)
    for pairs in given.pairs:
        folder = Path(tempfile.mkdtemp(prefix="sepo-benchmark-"))
        try:
            build(folder / "rewards", pairs, lengths=lengths_of(RESPONSE), ids=ids_as_in_text)
            write_tokenizer(folder / "rewards")
            measure(folder, pairs)
            if given.keep:
                shutil.copy(folder / "report.html", given.keep / f"report-{pairs}.html")
        finally:
            shutil.rmtree(folder)


def write_tokenizer(folder: Path) -> None:
    """Give the dataset a byte-level tokenizer of as many words as it has ids."""
    from tokenizers import Tokenizer, decoders, models  # noqa: PLC0415 - beside what is measured

    vocabulary = {f"Ġw{number}": number for number in range(VOCABULARY)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="Ġw0"))  # noqa: S106 - no password
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer" / "tokenizer.json"))


def measure(folder: Path, pairs: int) -> None:
    """Make the report of `folder`, open it, and print a line of the table."""
    program, out = Path(sys.executable).with_name("sepo"), folder / "report.html"
    made = run([str(program), "report", str(folder / "rewards"), "--quiet", "--out", str(out)])
    shown = open_in_chromium(out)
    cells = [made.seconds, made.cpu_seconds, made.own_bytes / MB, made.resident_bytes / MB, out.stat().st_size / MB]
    line = "".join(f"{cell:14.1f}" for cell in cells)
    line += "".join(f"{shown[name]:14.0f}" for name in ("interactive", "pairs", "loaded", "slider"))
    print(f"{pairs:9,}{line}", flush=True)


def run(command: Sequence[str]) -> Run:
    """Run a command, and look at its memory while it runs."""
    begun, own, resident = time.perf_counter(), 0, 0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - our own
    while True:
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            break
        text = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
        own = max(own, _kilobytes(text, "RssAnon"))
        resident = max(resident, _kilobytes(text, "VmHWM"))
        time.sleep(SAMPLE_SECONDS)
    seconds = time.perf_counter() - begun
    if status:
        raise RuntimeError(f"{command} ended with {os.waitstatus_to_exitcode(status)}")
    return Run(seconds, usage.ru_utime + usage.ru_stime, own * 1024, resident * 1024)


def _kilobytes(status: str, name: str) -> int:
    """A number of the kernel's; 0 of a process that has just ended."""
    return int(status.split(f"{name}:")[1].split(maxsplit=1)[0]) if name in status else 0


def open_in_chromium(file: Path) -> dict[str, float]:
    """Medians of Chromium's times, in ms."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - beside what is measured

    program = shutil.which("chromium")
    if program is None:
        raise RuntimeError("Chromium is not installed: apt-get install chromium")
    loads: list[dict[str, Any]] = []
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=arguments)
        for _ in range(LOADS):
            page = browser.new_page()
            page.add_init_script(WATCH)
            page.goto(file.as_uri())
            page.wait_for_selector("#pair-list [role=option]")
            loads.append(page.evaluate(TIMES) | {"slider": page.evaluate(SLIDE)})
            page.close()
        browser.close()
    if not all(load["pairs"] for load in loads):
        raise RuntimeError(f"{file} shows no pair: {json.dumps(loads)}")
    return {name: statistics.median(load[name] for load in loads) for name in loads[0]}


if __name__ == "__main__":
    main()
