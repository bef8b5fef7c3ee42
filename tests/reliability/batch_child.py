"""Tasks that a forked `sepo` process does one after the other: commands, and readings of a file.

`workshop.batch` executes this file with TASKS and LOG; each task leaves a line in LOG. What ends the process, a crash
or the alarm, is due to the task after the last line.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from sepo_data.errors import SepoError
from sepo_data.readers.source import open_source
from sepo_data.shapes.skip_reasons import READING_REASONS
from sepo_train.entry import load_cli

SECONDS = 20
"""After which a task counts as one that hangs."""
MORE_BYTES = 2 << 30
"""Memory beyond what the process has mapped when it begins."""


def read(path: str) -> tuple[int, str, str]:
    """Read a file as `check` does: as many rows as it reports, each a value or a reason, also from the middle on."""
    try:
        source = open_source(path)
        rows = list(source)
        middle = list(source.slice(source.rows // 2, source.rows))
    except SepoError as error:
        named = Path(path).name in str(error)
        return 1 if named else 70, "", f"Error: {error}" if named else f"an error that does not name the file: {error}"
    right = (
        [row.number for row in rows] == list(range(source.rows))
        and repr(middle) == repr(rows[source.rows // 2 :])  # NaN is not equal to itself
        and all((row.value is None) == bool(row.problem) for row in rows)
        and {row.problem for row in rows} <= {"", *READING_REASONS}
    )
    return 0 if right else 70, "", "" if right else "rows that contradict one another"


def run(arguments: list[str]) -> tuple[int, str, str]:
    """Run a command: its exit code, standard output and standard error."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8") for _ in range(2))
    sys.argv = ["sepo", *arguments]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            load_cli().main()
        except SystemExit as end:
            code = int(end.code or 0)
        out.flush(), err.flush()
    return code, *(stream.buffer.getvalue().decode() for stream in (out, err))


def main(tasks: list[list[str]], log: str) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = pages * resource.getpagesize() + MORE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    with Path(log).open("w", encoding="utf-8", buffering=1) as file:
        for task in tasks:
            signal.alarm(SECONDS)
            found: Any
            try:
                found = read(task[1]) if task[0] == "read" else run(task)
            except BaseException:  # noqa: BLE001 - whatever it is, it is what is looked for
                found = (70, "", traceback.format_exc())
            file.write(json.dumps(found) + "\n")
    os._exit(0)


main(TASKS, LOG)  # type: ignore[name-defined] # noqa: F821 - given by the workshop
