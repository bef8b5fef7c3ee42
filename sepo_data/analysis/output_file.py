"""A single file that a command writes: its format by its suffix, complete or absent, replaced only when asked."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from sepo_data.errors import RefusedError, SepoError
from sepo_data.schemas.folder import MANIFEST
from sepo_data.storage.atomic import atomic_write, remove_leftovers

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Format = TypeVar("Format")


def format_of(out: Path, formats: Mapping[str, Format], hint: str = "") -> Format:
    """The format that the suffix of `out` stands for; `hint` names another way to choose one.

    Raises:
        SepoError: no format has that suffix.
    """
    if (suffix := out.suffix.lower()) not in formats:
        raise SepoError(f"{out}: no format has the suffix {out.suffix!r}", f"end it in {', '.join(formats)}{hint}")
    return formats[suffix]


@contextmanager
def new_file(out: Path, *, overwrite: bool, option: str = "--out") -> Iterator[BinaryIO]:
    """Write the file `out` atomically; `option` is the one that named it.

    Raises:
        SepoError: as in `check_new_file`.
    """
    check_new_file(out, overwrite=overwrite, option=option)
    remove_leftovers(out.parent, deep=False)
    with atomic_write(out) as file:
        yield file


def check_new_file(out: Path, *, overwrite: bool, option: str = "--out") -> None:
    """Raise where the file `out` may not be written.

    Raises:
        RefusedError: it exists and `overwrite` is not given, it is a folder or a device, or in a stage directory.
        SepoError: its folder does not exist.
    """
    exists = out.exists() or out.is_symlink()
    if exists and not out.is_file():
        raise RefusedError(f"{out} is not a file", f"choose another {option}")
    if dataset := next((folder for folder in out.resolve().parents if (folder / MANIFEST).exists()), None):
        raise RefusedError(f"{out} is inside {dataset}, a stage directory", f"choose another {option}")
    if exists and not overwrite:
        raise RefusedError(f"{out} exists", f"choose another {option}, or replace it with --overwrite")
    if not out.parent.is_dir():
        raise SepoError(f"{out.parent} is no directory", f"make it first, or choose another {option}")
