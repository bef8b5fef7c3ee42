"""Streams of the command: nothing that is written to a terminal reaches it raw, whoever writes it.

Standard error is for people, so all of it is escaped; standard output is escaped on a terminal, and exact in a pipe or
a file. Only text with colours of our own, which is escaped where it is made, goes to the stream below.
"""

from __future__ import annotations

import codecs
import io
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from sepo_data.console.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import Buffer


class Escaping(io.BufferedIOBase):
    """A binary stream: what it gets is text, which it escapes and hands on to `sink`."""

    def __init__(self, sink: TextIO, escape: Callable[[str], str], encoding: str = "utf-8") -> None:
        self.sink = sink
        self._escape = escape
        # A character may come in two pieces.
        self._decoder = codecs.getincrementaldecoder(encoding)("backslashreplace")

    def write(self, data: Buffer, /) -> int:
        whole = bytes(data)
        self.sink.write(self._escape(self._decoder.decode(whole)))
        return len(whole)

    def flush(self) -> None:
        self.sink.flush()

    def close(self) -> None:
        """Close this stream alone: the one below belongs to the process."""
        with suppress(OSError, ValueError):
            self.flush()

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.sink.isatty()

    def fileno(self) -> int:
        return self.sink.fileno()

    @property
    def name(self) -> str:
        return self.sink.name


def guard_streams() -> None:
    """Guard standard error, and standard output where it is a terminal; once is enough."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, io.TextIOWrapper) or below(stream) is not stream:
            continue
        stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot encode is no reason to stop
        if name == "stderr" or stream.isatty():
            setattr(sys, name, _guarded(stream))


def _guarded(stream: io.TextIOWrapper) -> TextIO:
    return io.TextIOWrapper(
        Escaping(stream, printable, stream.encoding),
        encoding=stream.encoding,
        errors="backslashreplace",
        newline="\n",
        line_buffering=True,
        write_through=True,
    )


def below(stream: TextIO) -> TextIO:
    """The stream that `stream` guards, for text that is escaped already and has colours; else `stream` itself."""
    guard = getattr(stream, "buffer", None)
    return guard.sink if isinstance(guard, Escaping) else stream
