"""Memory and time of this process, as the kernel counts them."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

BEYOND = 3
"""Exit status of a process that took more memory than it may."""


def status(name: str) -> int:
    """A number of bytes, such as VmRSS (memory now) or VmHWM (its peak)."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.split(f"{name}:")[1].split()[0]) * 1024


def end_beyond(limit: int) -> None:
    """From now on, end this process with `BEYOND` soon after its peak is more than `limit` bytes.

    Nothing is limited: an allocation that would not fit is not refused but seen, so that all ways are stopped alike.
    """

    def watch() -> None:
        while status("VmHWM") <= limit:
            time.sleep(0.05)
        os._exit(BEYOND)

    threading.Thread(target=watch, daemon=True).start()
