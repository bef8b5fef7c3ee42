"""The answer of a command on standard output: lines for people, values, JSON and tables for programs.

For people, what steers a terminal is escaped, and a line is a line: the names and texts that it quotes begin no other
one. Programs get the exact text, unless a terminal takes their place.
"""

from __future__ import annotations

import re
import sys
from json import dumps
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from sepo_data.console.machine_text import visible_csv, visible_json
from sepo_data.console.streams import Escaping
from sepo_data.console.text import printable, spelt_out

if TYPE_CHECKING:
    from collections.abc import Iterable


def on_terminal() -> bool:
    """True if somebody looks at standard output; it is None in a process that was started without one."""
    return sys.stdout is not None and sys.stdout.isatty()


def print_lines(lines: Iterable[str]) -> None:
    """Print lines for people."""
    for line in lines:
        print(spelt_out(line))


def print_values(values: Iterable[object]) -> None:
    """Print values that a script reads, such as paths, one a line."""
    for value in map(str, values):
        if on_terminal():
            print(spelt_out(value))
        else:
            _print_exact(value)


def _print_exact(value: str) -> None:
    """Print a value with the bytes that it has in the file system, which need not be text."""
    try:
        data = f"{value}\n".encode(sys.stdout.encoding or "", "surrogateescape")
    except (UnicodeEncodeError, LookupError):  # or a stream of text alone
        print(value)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(data)


def print_json(value: Any, indent: int | None = None) -> None:  # noqa: ANN401 - whatever JSON can hold
    """Print a JSON value in one line, or indented for people."""
    text = dumps(value, indent=indent)
    print(visible_json(text) if on_terminal() else text)


def print_notes(lines: Iterable[str]) -> None:
    """Print lines beside the answer, on standard error."""
    for line in lines:
        print(spelt_out(line), file=sys.stderr)


def print_traceback() -> None:
    """Print the traceback of the error that is handled, on standard error; its message begins no line of its own."""
    import traceback

    for part in traceback.format_exception(sys.exception()):
        between = part.startswith("\n")  # two tracebacks, a sentence of Python's
        print(part if between else re.sub(r"\n(?![ \n]|\Z)", r"\\n", part), end="", file=sys.stderr)


def table_output(form: str) -> BinaryIO:
    """Standard output for the bytes of a table in the format `form`."""
    if not on_terminal():
        return sys.stdout.buffer
    escape = visible_csv() if form == "csv" else visible_json if form in {"json", "ndjson"} else printable
    return cast("BinaryIO", Escaping(sys.stdout, escape))
