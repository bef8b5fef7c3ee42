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
import time
import weakref
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sepo_data.errors import SepoError
from sepo_data.preferences.skipped import skipped_lines
from sepo_data.schemas.folder import MANIFEST, RECORDS, SKIPPED, shard_index, shard_name
from sepo_data.schemas.manifest import Manifest, ShardRecord
from sepo_data.schemas.validate import check_table
from sepo_data.stages.directory import is_complete, read_manifest
from sepo_data.stages.folder_files import file_hashes, recorded_files, saved_files, write_files
from sepo_data.stages.records import is_false, is_recorded, lock_path, read_entry, record_path, write_entry
from sepo_data.stages.repair import count_reasons, last_files
from sepo_data.stages.runs import directory_lock, drop_records, locked_run, writer_lock
from sepo_data.stages.verify import shard_faults
from sepo_data.storage.atomic import atomic_write, disk_full, remove_leftovers, write_text
from sepo_data.storage.locks import any_locked, try_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from sepo_data.shapes.pairs import SkippedRow

BATCH_ROWS = 1000


@dataclass(eq=False)
class StageWriter:
    """Writes the `shards` data files of one stage dataset."""

    path: Path
    manifest: Manifest
    shards: int
    files: dict[str, str] = field(default_factory=dict)  # hashes of those that `write_folder` found or wrote
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
                self.free_of_dead(pending.intersection(order))
            for index in order:
                if index in pending:
                    with self.claimed(index) as mine:
                        if mine:
                            yielded.add(index)
                            yield index
            if watch and len(yielded) == before:
                return
            watch = len(yielded) == before

    @contextmanager
    def claimed(self, index: int) -> Iterator[bool]:
        """Lock shard `index` while the block runs; False where another process holds it, or it is not pending."""
        with self._locked(index) as mine:
            # Another process may have finished it before the lock was acquired.
            yield mine and not self._is_present(index) and self._is_open()

    def free_of_dead(self, indices: Iterable[int]) -> None:
        """Free the shards that dead processes hold; in a store, that takes as long as a lease lasts."""
        any_locked(lock_path(self.path, index) for index in indices)

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
            record_path(self.path, index).unlink(missing_ok=True)  # never a record without its file
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
                skipped=count_reasons(row.reason for row in skipped),
                notes=notes or {},
            )
            write_entry(self.path, index, record, list(map(asdict, skipped)), ended=time.time(), seconds=seconds)
        return record

    def unlisted(self) -> list[int]:
        """The pending shards that are whole, as the run that was complete wrote them: only their record is lost."""
        written = {shard_index(shard.file): shard for shard in self.manifest.shards}
        lost = [index for index in self.pending() if index in written]
        listed = {"complete": False, "shards": [written[index] for index in lost]}
        faulty = {fault.file for fault in shard_faults(self.path, self.manifest.model_copy(update=listed))}
        return [index for index in lost if self._file_name(index) not in faulty]

    def keep_shard(self, index: int, skipped: Sequence[SkippedRow]) -> bool:
        """Record one of the `unlisted` shards, if `skipped` has as many rows as were skipped when it was written."""
        [shard] = (shard for shard in self.manifest.shards if shard_index(shard.file) == index)
        if count_reasons(row.reason for row in skipped) != shard.skipped:
            return False
        write_entry(self.path, index, shard, list(map(asdict, skipped)))
        return True

    def drop_false_records(self) -> list[int]:
        """Make each shard pending whose file is no longer the one that its record was written for; returns these.

        Of an unchanged file, only the version is read, not the content.
        """
        names = [(index, self._file_name(index)) for index in range(self.shards)]
        return [index for index, name in names if is_false(self.path, index, name) and self._drop_if_false(index)]

    def write_folder(self, name: str, save: Callable[[Path], object]) -> list[str]:
        """Add the files that `save` writes into the folder it is given; those that have their recorded hash are kept.

        Returns:
            The names of the files that were added or replaced.
        """
        if recorded := recorded_files(self.path, self.manifest):
            self.files = recorded
            return []
        made = {f"{name}/{file}": content for file, content in saved_files(save).items()}
        self.files = file_hashes(made)
        return write_files(self.path, self.manifest, made)

    def finish_if_complete(self, *, seconds: float, results: dict[str, Any] | None = None) -> Manifest | None:
        """`finish`, in the first process that finds every shard written; later ones get the complete manifest.

        None while shards are pending.
        """
        if not is_complete(self.path) or (self.path / RECORDS).exists():
            with directory_lock(self.path):
                if not is_complete(self.path):
                    return None if self.pending() else self.finish(seconds=seconds, results=results)
                self.release()
                drop_records(self.path)
        self.manifest = read_manifest(self.path)
        return self.manifest

    def finish(self, *, seconds: float, results: dict[str, Any] | None = None) -> Manifest:
        """Complete the manifest and write the files that make the directory a dataset, those last.

        A dataset that was repaired to the bytes it had keeps its time and its results.

        Raises:
            SepoError: a shard was changed after it was written, or the disk is full.
        """
        if false := self.drop_false_records():
            raise SepoError(
                f"{', '.join(map(self._file_name, false))} of {self.path} changed after it was written",
                "run the same command again, which makes it again, with nothing else writing there",
            )
        entries = [entry for each in range(self.shards) if (entry := read_entry(record_path(self.path, each)))]
        records = [ShardRecord.model_validate(entry["record"]) for entry in entries]
        skipped = [row for entry in entries for row in entry["skipped"]]
        done: dict[str, Any] = {"complete": True, "shards": records, "files": self.files or self.manifest.files}
        if [record.sha256 for record in records] != [shard.sha256 for shard in self.manifest.shards]:
            done |= {"seconds": round(seconds, 3), "results": results or {}}
        self.manifest = self.manifest.model_copy(update=done)
        with _full_disk_errors(f"the last files of {self.path}", "with these, as all shards are done"):
            write_text(self.path / SKIPPED, skipped_lines(skipped))
            write_text(self.path / MANIFEST, self.manifest.to_json())
            for name, content in last_files(self.path, self.manifest).items():
                write_text(self.path / name, json.dumps(content, indent=2))
        self.release()
        remove_leftovers(self.path)
        drop_records(self.path)
        return self.manifest

    def _is_present(self, index: int) -> bool:
        return is_recorded(self.path, index, self._file_name(index))

    def _drop_if_false(self, index: int) -> bool:
        """Delete a record, unless another process is writing the shard at this moment."""
        with self._locked(index) as mine:
            if false := mine and is_false(self.path, index, self._file_name(index)):
                record_path(self.path, index).unlink(missing_ok=True)
            return false

    @contextmanager
    def _locked(self, index: int) -> Iterator[bool]:
        """Hold the lock of shard `index` while the block runs; False where another process does."""
        lock = try_lock(lock_path(self.path, index))
        try:
            yield lock is not None
        finally:
            if lock is not None:
                lock.release()

    def _is_open(self) -> bool:
        """True if the directory still belongs to this run and is incomplete."""
        return not is_complete(self.path) and read_manifest(self.path).created == self.manifest.created

    def _file_name(self, index: int) -> str:
        return shard_name(index, self.shards)


def open_stage(path: Path, manifest: Manifest, *, shards: int, overwrite: bool = False) -> StageWriter:
    """Start a stage dataset of `shards` files at `path`, or resume the one that the same plan began.

    As long as the returned writer is alive, no other process can replace the directory.
    """
    with locked_run(path, manifest, overwrite=overwrite) as started:
        stage = StageWriter(path, started, shards)
        if not started.complete and (lock := writer_lock(path)) is not None:
            stage.release = weakref.finalize(stage, lock.release)
    if not started.complete:
        stage.drop_false_records()
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
