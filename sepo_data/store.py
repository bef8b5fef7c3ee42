"""Write a stage directory: one atomic Arrow shard at a time, resumable, finished only when all of it is there.

rewards/
  data-00000-of-00012.arrow     one shard, an Arrow IPC stream
  sepo.json                     the manifest: written at the start, completed at the end
  skipped.jsonl                 one line per input row that was set aside
  tokenizer/                    what turns the ids back into text
  state.json dataset_info.json  written last: a directory without them is unfinished
  .sepo/                        a record of each finished shard, until the directory is finished
"""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from schemas.check import check_table
from schemas.manifest import Manifest, ShardRecord
from sepo_data.atomic import atomic_write, write_text
from sepo_data.directory import INFO, MANIFEST, RECORDS, SKIPPED, STATE, claim, finished_shards
from sepo_data.hf_files import dataset_info, dataset_state

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from sepo_data.pairs import SkippedRow

BATCH_ROWS = 1000


@dataclass
class StageDirectory:
    """A stage dataset on its way to the disk."""

    path: Path
    manifest: Manifest
    shards: int

    def missing(self) -> list[int]:
        """The shards that still have to be written, in order."""
        there = {
            record.file
            for record in finished_shards(self.path)
            if (file := self.path / record.file).exists() and file.stat().st_size == record.bytes
        }
        return [index for index in range(self.shards) if self._file_name(index) not in there]

    def write_shard(
        self,
        index: int,
        table: pa.Table,
        *,
        skipped: Sequence[SkippedRow] = (),
        notes: dict[str, int] | None = None,
    ) -> ShardRecord:
        """Write shard `index` and its record; afterwards it is never written again."""
        check_table(table, self.manifest.stage, f"shard {index} of {self.path}")
        file = self.path / self._file_name(index)
        with atomic_write(file) as sink, pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table, max_chunksize=BATCH_ROWS)
        record = ShardRecord(
            file=file.name,
            rows=table.num_rows,
            bytes=file.stat().st_size,
            sha256=_sha256(file),
            tokens={part: sum(table.column(f"{part}_tokens").to_pylist()) for part in ("prompt", "chosen", "rejected")},
            skipped=_count(row.reason for row in skipped),
            notes=notes or {},
        )
        lines = {"record": record.model_dump(mode="json"), "skipped": [asdict(row) for row in skipped]}
        write_text(self._record_path(index), json.dumps(lines))
        return record

    def finish(self, *, seconds: float, results: dict[str, Any] | None = None) -> Manifest:
        """Complete the manifest and write the files that make the directory a dataset, those last."""
        parts = [json.loads(self._record_path(index).read_text(encoding="utf-8")) for index in range(self.shards)]
        records = [ShardRecord.model_validate(part["record"]) for part in parts]
        skipped = [row for part in parts for row in part["skipped"]]
        self.manifest = self.manifest.model_copy(
            update={"finished": True, "seconds": round(seconds, 3), "shards": records, "results": results or {}}
        )
        write_text(self.path / SKIPPED, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in skipped))
        write_text(self.path / MANIFEST, self.manifest.to_json())
        with pa.memory_map(str(self.path / records[0].file)) as source, pa.ipc.open_stream(source) as reader:
            schema = reader.schema
        write_text(self.path / INFO, json.dumps(dataset_info(schema), indent=2))
        write_text(self.path / STATE, json.dumps(dataset_state(self.manifest), indent=2))
        shutil.rmtree(self.path / RECORDS)
        return self.manifest

    def _file_name(self, index: int) -> str:
        return f"data-{index:05d}-of-{self.shards:05d}.arrow"

    def _record_path(self, index: int) -> Path:
        return self.path / RECORDS / f"{index:05d}.json"


def open_stage(path: Path, manifest: Manifest, *, shards: int, overwrite: bool = False) -> StageDirectory:
    """Start a stage dataset of `shards` files at `path`, or go on with the one that the same plan began."""
    stage = StageDirectory(path, claim(path, manifest, overwrite=overwrite), shards)
    if not stage.manifest.finished:
        (path / RECORDS).mkdir(exist_ok=True)
    return stage


def _count(reasons: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for reason in reasons:
        counts[reason] = counts.get(reason, 0) + 1
    return dict(sorted(counts.items()))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
