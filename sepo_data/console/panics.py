"""Panics of code in Rust: their report goes to standard error by itself, past every handler, with its stack."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from sepo_data.errors import causes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO

STDERR = 2


@contextmanager
def without_panics() -> Iterator[None]:
    """Keep back what is written to standard error; write it afterwards, unless a panic has ended the work.

    Standard error is that of the whole process, so this is for a command, where no other thread writes to it. Without
    standard error, or without room for a file, nothing is kept back.
    """
    with ExitStack() as files:
        try:
            kept = files.enter_context(tempfile.TemporaryFile())
            saved = os.dup(STDERR)
        except OSError:
            yield
            return
        files.callback(os.close, saved)
        _point_to(kept.fileno())
        panicked = False
        try:
            yield
        except BaseException as error:
            panicked = any(type(cause).__name__ == "PanicException" for cause in causes(error))
            raise
        finally:
            _point_to(saved)
            if not panicked:
                _write_again(kept)


def _point_to(descriptor: int) -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
    os.dup2(descriptor, STDERR)


def _write_again(kept: IO[bytes]) -> None:
    kept.seek(0)
    with open(STDERR, "wb", closefd=False) as stderr:
        shutil.copyfileobj(kept, stderr)
