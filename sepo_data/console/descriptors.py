"""Standard streams that were closed when the process started, or that nobody reads any more."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from typing import TextIO

    from typing_extensions import Buffer

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


class Unheard(io.RawIOBase):
    """Standard error, whose reader may be gone or whose disk may be full: that is no reason to stop the work."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def write(self, data: Buffer, /) -> int:
        with suppress(OSError):
            return os.write(self._descriptor, data)
        return len(bytes(data))

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    @property
    def name(self) -> str:
        return "<stderr>"


def open_closed_streams() -> None:
    """Open the null device for each standard stream that is closed.

    Otherwise the next file that is opened has its number, and what a library prints there becomes a part of that file.
    """
    for descriptor, (name, mode) in enumerate(_STREAMS):
        try:
            os.fstat(descriptor)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:  # `open` takes the lowest free number
                os.dup2(null, descriptor)
                os.close(null)
            setattr(sys, name, None)
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def outlive_stderr() -> None:
    """Let no error of standard error reach the command."""
    if sys.stderr is sys.__stderr__ and isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(cast("io.RawIOBase", Unheard(sys.stderr.fileno()))),
            encoding=sys.stderr.encoding,
            errors="backslashreplace",
            line_buffering=True,
        )


def flush_output() -> bool:
    """Write the rest of standard output. False where its reader has gone; the interpreter is not to try again.

    Raises:
        OSError: it cannot be written, for another reason.
    """
    stream: TextIO | None = sys.stdout
    try:
        if stream is not None:
            stream.flush()
    except OSError as error:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.close(null)
        if isinstance(error, BrokenPipeError):
            return False
        raise
    return True
