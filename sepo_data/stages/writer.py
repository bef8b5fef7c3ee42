"""Write a stage directory: one atomic Arrow shard at a time, resumable, finished only when all of it is there.

rewards/
  data-00000-of-00012.arrow     one shard, an Arrow IPC stream
  sepo.json                     the manifest: written at the start, completed at the end
  skipped.jsonl                 one line per input row that was set aside
  tokenizer/                    what turns the ids back into text
  state.json dataset_info.json  written last: a directory without them is unfinished
  .sepo/                        until the directory is finished: a record of each shard, and locks

Any number of processes may write one directory: each shard is claimed before it is worked on.
"""

from __future__ import annotations

import errno
import hashlib
import json
import tempfile
import time
import weakref
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

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
    alone,
    at_work,
    claiming,
    drop_records,
    is_finished,
    read_manifest,
    shard_entries,
    shard_name,
)
from sepo_data.stages.hf_files import dataset_info, dataset_state
from sepo_data.storage.atomic import atomic_write, remove_leftovers, write_text
from sepo_data.storage.location import make_folder, read_text
from sepo_data.storage.locks import any_held, try_claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from sepo_data.shapes.pairs import SkippedRow

BATCH_ROWS = 1000
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(eq=False)
class StageDirectory:
    """A stage dataset on its way to the disk."""

    path: Path
    manifest: Manifest
    shards: int
    leave: Callable[[], object] = field(default=lambda: None, repr=False)  # say that this process is at work no more

    def missing(self) -> list[int]:
        """The shards that still have to be written, in order."""
        missing = [index for index in range(self.shards) if not self._is_there(index)]
        # Looked at after the records: they vanish when another process finishes the dataset.
        return missing if missing and self._is_open() else []

    def done(self) -> int:
        """How many shards are recorded: one look at the folder, where `missing` looks at every shard."""
        return sum(1 for _ in (self.path / RECORDS).glob("[0-9]*.json")) if self._is_open() else self.shards

    def claim_shards(self, order: Sequence[int]) -> Iterator[int]:
        """Shards that are missing and nobody else's, as near to `order` as others leave it; each is held while yielded.

        Ends when all that is missing is being written by others. What a dead process held is free again.
        """
        claimed: set[int] = set()
        patient = False
        while True:
            before = len(claimed)
            missing = frozenset(self.missing()) - claimed
            if patient:
                any_held(map(self._lock_path, missing.intersection(order)))
            for index in order:
                if index in missing:
                    claim = try_claim(self._lock_path(index))
                    try:
                        # It may have been finished between the look and the claim.
                        if claim is not None and not self._is_there(index) and self._is_open():
                            claimed.add(index)
                            yield index
                    finally:
                        if claim is not None:
                            claim.release()
            if patient and len(claimed) == before:
                return
            patient = len(claimed) == before

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
            index: of the shard; where other processes are at work, one that `claim_shards` gave.
            table: its rows.
            skipped: the rows that were set aside.
            notes: counts worth telling.
            seconds: what it took to make it, for whoever looks at the unfinished directory.

        Raises:
            SepoError: the table is not valid, or the disk is full.
        """
        check_table(table, self.manifest.stage, f"shard {index} of {self.path}")
        name = self._file_name(index)
        with _full_disk_told(f"shard {index + 1} of {self.shards} of {self.path}", f"with shard {index + 1}"):
            self._record_path(index).unlink(missing_ok=True)  # of a file that was lost: never a record without its file
            with atomic_write(self.path / name) as sink:
                with pa.ipc.new_stream(sink, table.schema) as writer:
                    writer.write_table(table, max_chunksize=BATCH_ROWS)
                size = sink.tell()
                digest = _sha256(sink)
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
        """Add the files that `save` puts into the folder it is given; those that are there already are left alone."""
        with tempfile.TemporaryDirectory() as scratch:
            save(Path(scratch))
            with alone(self.path):
                make_folder(self.path / name)
                for made in sorted(Path(scratch).iterdir()):
                    file, content = self.path / name / made.name, made.read_bytes()
                    if not file.exists() or file.read_bytes() != content:
                        with atomic_write(file) as sink:
                            sink.write(content)

    def finish_if_whole(self, *, seconds: float, results: dict[str, Any] | None = None) -> Manifest | None:
        """`finish`, in the one process that comes when the last shard is there; None while others are at work.

        Who comes later gets the finished manifest.
        """
        if not is_finished(self.path) or (self.path / RECORDS).exists():
            with alone(self.path):
                if not is_finished(self.path):
                    return None if self.missing() else self.finish(seconds=seconds, results=results)
                drop_records(self.path)
        self.manifest = read_manifest(self.path)
        return self.manifest

    def finish(self, *, seconds: float, results: dict[str, Any] | None = None) -> Manifest:
        """Complete the manifest and write the files that make the directory a dataset, those last."""
        parts = shard_entries(self.path)
        records = [ShardRecord.model_validate(part["record"]) for part in parts]
        skipped = [row for part in parts for row in part["skipped"]]
        self.manifest = self.manifest.model_copy(
            update={"finished": True, "seconds": round(seconds, 3), "shards": records, "results": results or {}}
        )
        with _full_disk_told(f"the last files of {self.path}", "with these, all shards are there"):
            write_text(self.path / SKIPPED, skipped_lines(skipped))
            write_text(self.path / MANIFEST, self.manifest.to_json())
            with (self.path / records[0].file).open("rb") as source, pa.ipc.open_stream(source) as reader:
                schema = reader.schema
            write_text(self.path / INFO, json.dumps(dataset_info(schema), indent=2))
            write_text(self.path / STATE, json.dumps(dataset_state(self.manifest), indent=2))
        self.leave()
        remove_leftovers(self.path)
        drop_records(self.path)
        return self.manifest

    def _is_there(self, index: int) -> bool:
        try:
            size = json.loads(read_text(self._record_path(index)))["record"]["bytes"]
            return bool((self.path / self._file_name(index)).stat().st_size == size)
        except FileNotFoundError:
            return False

    def _is_open(self) -> bool:
        """Whether the directory is still that of this run, and unfinished."""
        return not is_finished(self.path) and read_manifest(self.path).created == self.manifest.created

    def _file_name(self, index: int) -> str:
        return shard_name(index, self.shards)

    def _record_path(self, index: int) -> Path:
        return self.path / RECORDS / f"{index:05d}.json"

    def _lock_path(self, index: int) -> Path:
        return self.path / RECORDS / f"{index:05d}.lock"


def open_stage(path: Path, manifest: Manifest, *, shards: int, overwrite: bool = False) -> StageDirectory:
    """Start a stage dataset of `shards` files at `path`, or go on with the one that the same plan began.

    As long as what it returns is alive, no other process can replace the directory.
    """
    with claiming(path, manifest, overwrite=overwrite) as started:
        stage = StageDirectory(path, started, shards)
        if not started.finished and (worker := at_work(path)) is not None:
            stage.leave = weakref.finalize(stage, worker.release)
    return stage


@contextmanager
def _full_disk_told(what: str, goes_on: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise SepoError(
            f"{error.strerror}: {what} could not be written",
            f"free some space and run the same command again; it goes on {goes_on}",
        ) from error


def _count(reasons: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for reason in reasons:
        counts[reason] = counts.get(reason, 0) + 1
    return dict(sorted(counts.items()))


def _sha256(file: BinaryIO) -> str:
    file.seek(0)
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()
