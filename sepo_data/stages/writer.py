"""Write a stage directory: one atomic Arrow shard at a time, resumable, a dataset only once it is complete.

rewards/
  data-00000-of-00012.arrow     one shard, an Arrow IPC stream
  sepo.json                     the manifest: written at the start, completed at the end
  skipped.jsonl                 one line a skipped input row
  tokenizer/                    decodes the ids into text
  state.json dataset_info.json  written last: a directory without them is incomplete
  .sepo/                        until the directory is complete: a record of each shard, and locks

Any number of processes may write one directory: each shard is locked while one of them works on it.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
import weakref
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sepo_data.errors import SepoError
from sepo_data.preferences.skipped import skipped_lines
from sepo_data.schemas.manifest import Manifest, ShardRecord
from sepo_data.schemas.validate import check_table
from sepo_data.stages.directory import (
    INFO,
    MANIFEST,
    RECORDS,
    SKIPPED,
    STATE,
    is_complete,
    read_manifest,
    shard_entries,
    shard_name,
)
from sepo_data.stages.hf_files import dataset_info, dataset_state
from sepo_data.stages.runs import directory_lock, drop_records, locked_run, writer_lock
from sepo_data.storage.atomic import atomic_write, disk_full, remove_leftovers, write_text
from sepo_data.storage.location import make_folder, read_text
from sepo_data.storage.locks import any_locked, try_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sepo_data.shapes.pairs import SkippedRow

BATCH_ROWS = 1000


@dataclass(eq=False)
class StageWriter:
    """Writes the `shards` data files of one stage dataset."""

    path: Path
    manifest: Manifest
    shards: int
    release: Callable[[], object] = field(default=lambda: None, repr=False)  # the writer lock of this process

    def pending(self) -> list[int]:
        """The shards that still have to be written, in order."""
        pending = [index for index in range(self.shards) if not self._is_present(index)]
        # Checked after the records: they vanish when another process finishes the dataset.
        return pending if pending and self._is_open() else []

    def done(self) -> int:
        """The number of recorded shards: lists one folder, where `pending` reads the record of every shard."""
        return sum(1 for _ in (self.path / RECORDS).glob("[0-9]*.json")) if self._is_open() else self.shards

    def lock_shards(self, order: Sequence[int]) -> Iterator[int]:
        """Yield pending shards in `order`, passing over those locked by other processes.

        Each stays locked until the next is asked for. Ends when every pending shard is locked by another process; the
        lock of a dead process is free again.
        """
        yielded: set[int] = set()
        watch = False
        while True:
            before = len(yielded)
            pending = frozenset(self.pending()) - yielded
            if watch:
                any_locked(map(self._lock_path, pending.intersection(order)))
            for index in order:
                if index in pending:
                    lock = try_lock(self._lock_path(index))
                    try:
                        # Another process may have finished it before the lock was acquired.
                        if lock is not None and not self._is_present(index) and self._is_open():
                            yielded.add(index)
                            yield index
                    finally:
                        if lock is not None:
                            lock.release()
            if watch and len(yielded) == before:
                return
            watch = len(yielded) == before

    def write_shard(
        self,
        index: int,
        table: pa.Table,
        *,
        skipped: Sequence[SkippedRow] = (),
        notes: dict[str, int] | None = None,
        seconds: float | None = None,
    ) -> ShardRecord:
        """Write shard `index` and its record; afterwards it is never written again.

        Args:
            index: of the shard; where several processes write, one that `lock_shards` yielded.
            table: its rows.
            skipped: the skipped input rows of the shard.
            notes: further counts, recorded in the manifest.
            seconds: time spent on the shard, from which `sepo info` computes the throughput of an incomplete directory.

        Raises:
            SepoError: the table is not valid, or the disk is full.
        """
        check_table(table, self.manifest.stage, f"shard {index} of {self.path}")
        name = self._file_name(index)
        with _full_disk_errors(f"shard {index + 1} of {self.shards} of {self.path}", f"from shard {index + 1}"):
            self._record_path(index).unlink(missing_ok=True)  # of a file that was lost: never a record without its file
            with atomic_write(self.path / name) as sink:
                with pa.ipc.new_stream(sink, table.schema) as writer:
                    writer.write_table(table, max_chunksize=BATCH_ROWS)
                size = sink.tell()
                sink.seek(0)
                digest = hashlib.file_digest(sink, "sha256").hexdigest()  # type: ignore[arg-type] # has readinto
            record = ShardRecord(
                file=name,
                rows=table.num_rows,
                bytes=size,
                sha256=digest,
                tokens={
                    part: sum(table.column(f"{part}_tokens").to_pylist()) for part in ("prompt", "chosen", "rejected")
                },
                skipped=_count(row.reason for row in skipped),
                notes=notes or {},
            )
            entry = {
                "record": record.model_dump(mode="json"),
                "skipped": [asdict(row) for row in skipped],
                "ended": time.time(),
                "seconds": seconds,
            }
            write_text(self._record_path(index), json.dumps(entry))
        return record

    def write_folder(self, name: str, save: Callable[[Path], object]) -> None:
        """Add the files that `save` writes into the folder it is given; equal files that are present are left alone."""
        with tempfile.TemporaryDirectory() as scratch:
            save(Path(scratch))
            with directory_lock(self.path):
                make_folder(self.path / name)
                for made in sorted(Path(scratch).iterdir()):
                    file, content = self.path / name / made.name, made.read_bytes()
                    if not file.exists() or file.read_bytes() != content:
                        with atomic_write(file) as sink:
                            sink.write(content)

    def finish_if_complete(self, *, seconds: float, results: dict[str, Any] | None = None) -> Manifest | None:
        """`finish`, in the first process that finds every shard written; later ones get the complete manifest.

        None while shards are pending.
        """
        if not is_complete(self.path) or (self.path / RECORDS).exists():
            with directory_lock(self.path):
                if not is_complete(self.path):
                    return None if self.pending() else self.finish(seconds=seconds, results=results)
                drop_records(self.path)
        self.manifest = read_manifest(self.path)
        return self.manifest

    def finish(self, *, seconds: float, results: dict[str, Any] | None = None) -> Manifest:
        """Complete the manifest and write the files that make the directory a dataset, those last."""
        parts = shard_entries(self.path)
        records = [ShardRecord.model_validate(part["record"]) for part in parts]
        skipped = [row for part in parts for row in part["skipped"]]
        self.manifest = self.manifest.model_copy(
            update={"complete": True, "seconds": round(seconds, 3), "shards": records, "results": results or {}}
        )
        with _full_disk_errors(f"the last files of {self.path}", "with these, as all shards are done"):
            write_text(self.path / SKIPPED, skipped_lines(skipped))
            write_text(self.path / MANIFEST, self.manifest.to_json())
            with (self.path / records[0].file).open("rb") as source, pa.ipc.open_stream(source) as reader:
                schema = reader.schema
            write_text(self.path / INFO, json.dumps(dataset_info(schema), indent=2))
            write_text(self.path / STATE, json.dumps(dataset_state(self.manifest), indent=2))
        self.release()
        remove_leftovers(self.path)
        drop_records(self.path)
        return self.manifest

    def _is_present(self, index: int) -> bool:
        try:
            size = json.loads(read_text(self._record_path(index)))["record"]["bytes"]
            return bool((self.path / self._file_name(index)).stat().st_size == size)
        except FileNotFoundError:
            return False

    def _is_open(self) -> bool:
        """True if the directory still belongs to this run and is incomplete."""
        return not is_complete(self.path) and read_manifest(self.path).created == self.manifest.created

    def _file_name(self, index: int) -> str:
        return shard_name(index, self.shards)

    def _record_path(self, index: int) -> Path:
        return self.path / RECORDS / f"{index:05d}.json"

    def _lock_path(self, index: int) -> Path:
        return self.path / RECORDS / f"{index:05d}.lock"


def open_stage(path: Path, manifest: Manifest, *, shards: int, overwrite: bool = False) -> StageWriter:
    """Start a stage dataset of `shards` files at `path`, or resume the one that the same plan began.

    As long as the returned writer is alive, no other process can replace the directory.
    """
    with locked_run(path, manifest, overwrite=overwrite) as started:
        stage = StageWriter(path, started, shards)
        if not started.complete and (lock := writer_lock(path)) is not None:
            stage.release = weakref.finalize(stage, lock.release)
    return stage


@contextmanager
def _full_disk_errors(what: str, resumes: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if not disk_full(error):
            raise
        raise SepoError(
            f"{error.strerror}: {what} could not be written",
            f"free some space and run the same command again; it resumes {resumes}",
        ) from error


def _count(reasons: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for reason in reasons:
        counts[reason] = counts.get(reason, 0) + 1
    return dict(sorted(counts.items()))
