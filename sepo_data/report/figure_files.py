"""Files of a figure: the picture, its numbers as CSV and its caption beside it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sepo_data.analysis.output_file import check_new_file, format_of, new_file
from sepo_data.errors import RefusedError
from sepo_data.report.figure import PICTURES, make_figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

NUMBERS, CAPTION = ".csv", ".txt"


@dataclass(frozen=True, slots=True)
class FigureFiles:
    """A figure that was written.

    Attributes:
        title: a line.
        caption: of the file `text` as well.
        rows: of the CSV file.
        picture: the file that was asked for.
        numbers: the CSV file.
        text: the file of the caption.
    """

    title: str
    caption: str
    rows: int
    picture: Path
    numbers: Path
    text: Path


def write_figure(
    kind: str, folders: Sequence[str | Path], out: Path, *, overwrite: bool = False, verify: bool = True
) -> FigureFiles:
    """Draw the figure `kind` of stage directories as the file `out`, and write its numbers and caption beside it.

    Each file is complete or absent, and the picture is written last: where it is new, so are the others. Pictures of
    one figure in two formats share the other files, which stay as they are.

    Args:
        kind: a name in `FIGURES`.
        folders: stage directories.
        out: a name that ends in .svg, .pdf or .png; the other files have its name with .csv and .txt.
        overwrite: replace files that exist and are others.
        verify: compare the hash of each shard with the manifest.

    Raises:
        RefusedError: without `overwrite`, the picture exists, or one of the others does with other content; or a file
            may not be written at all.
        SepoError: no format has the suffix of `out`, or as in `make_figure`.
    """
    form = format_of(out, PICTURES)
    numbers, text = out.with_suffix(NUMBERS), out.with_suffix(CAPTION)
    check_new_file(out, overwrite=overwrite)
    for path in (numbers, text):
        check_new_file(path, overwrite=True)  # what is there may be the same
    drawn = make_figure(kind, folders, verify=verify)
    picture = drawn.picture(form)
    beside = {numbers: _csv(drawn.table), text: f"{drawn.caption}\n".encode()}
    written = {path: content for path, content in beside.items() if not _holds(path, content)}
    if not overwrite and (other := next(filter(Path.exists, written), None)):
        raise RefusedError(
            f"{other} exists and is not of this figure", "choose another --out, or replace it with --overwrite"
        )
    for path, content in (written | {out: picture}).items():
        with new_file(path, overwrite=overwrite) as file:
            file.write(content)
    return FigureFiles(drawn.title, drawn.caption, drawn.table.height, out, numbers, text)


def _csv(table: pl.DataFrame) -> bytes:
    from sepo_data.analysis.table_output import write

    file = io.BytesIO()
    write(table.lazy(), file, "csv", csv_safe=True)
    return file.getvalue()


def _holds(path: Path, content: bytes) -> bool:
    """True if the file is there with exactly these bytes."""
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content
