"""Data files of a stage dataset, each compared with its record before it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from sepo_data.errors import SepoError
from sepo_data.readers.arrow_stream import AGAIN, map_stream, stream_errors
from sepo_data.readers.shard_faults import damage_error, file_fault
from sepo_data.schemas.validate import check_table
from sepo_data.stages.verify import shard_faults

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

    from sepo_data.schemas.manifest import Manifest, ShardRecord
    from sepo_data.schemas.stages import Stage


@dataclass(frozen=True, slots=True)
class Shard:
    """A data file and its record. With `verify`, its bytes are compared with the hash; else, its values are checked."""

    file: Path
    record: ShardRecord
    stage: Stage
    verify: bool = True

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Map the file; the table's buffers point into it.

        Raises:
            SepoError: the file has changed since `read_shards`, or is damaged.
        """
        if fault := file_fault(self.file, self.record, hashes=self.verify):
            raise SepoError(f"{self.file} {fault}", AGAIN)
        if self.verify and self.record.sha256:
            return map_stream(self.file, columns=columns, validate=False)
        table = map_stream(self.file)
        with stream_errors(self.file):
            check_table(table, self.stage, str(self.file))
        return table if columns is None else table.select(list(columns))

    def schema(self) -> pa.Schema:
        """The columns of the file."""
        return map_stream(self.file, validate=False).schema

    def frame(self, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """As `table`, as a frame of Polars. Projecting before the conversion is what keeps other columns unread."""
        return to_frame(self.table(columns), self.file)


def to_frame(table: pa.Table, file: Path) -> pl.DataFrame:
    """`table`, which was read from `file`, as a frame of Polars: nothing is copied."""
    with stream_errors(file):
        if not table.num_columns:  # Polars would lose the number of rows
            return pl.DataFrame(height=table.num_rows)
        return pl.DataFrame(pl.from_arrow(table, rechunk=False))


def read_shards(folder: Path, manifest: Manifest, *, verify: bool = True) -> list[Shard]:
    """The data files of a complete dataset, in order.

    Args:
        folder: the dataset.
        manifest: of `folder`, from `read_stage`.
        verify: compare the hash of each file, once until it changes; names, sizes, rows and columns always are.

    Raises:
        SepoError: something differs from `manifest`.
    """
    if faults := shard_faults(folder, manifest, hashes=verify):
        raise damage_error(folder, manifest, faults)
    return [Shard(folder / record.file, record, manifest.stage, verify) for record in manifest.shards]
