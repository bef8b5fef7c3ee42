"""Faults of a stage dataset: its shards compared with their records in the manifest, before their bytes reach Arrow."""

from __future__ import annotations

import json
import re
import stat
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from sepo_data.errors import SepoError
from sepo_data.readers.arrow_stream import check_texts, map_stream, stream_errors
from sepo_data.schemas.folder import COMMANDS, MANIFEST, STATE, TOKENIZER, shard_name
from sepo_data.schemas.stages import SIDES, Stage
from sepo_data.schemas.validate import column_differences
from sepo_data.storage.cache import cache_folder, file_sha256, file_sha256s
from sepo_data.storage.download import fetched
from sepo_data.storage.location import is_remote, read_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pyarrow as pa

    from sepo_data.schemas.manifest import Manifest, ShardRecord

LISTED_FAULTS = 10
LOADED = (".json", ".jinja")
"""Suffixes of the files that decide what a tokenizer is, wherever in its folder they lie."""

_NAME = re.compile(r"data-\d{5,}-of-(\d{5,})\.arrow", re.ASCII)


@dataclass(frozen=True, slots=True)
class ShardFault:
    """A file of a stage dataset that is not what the manifest says."""

    file: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file} {self.reason}"


def listing_faults(folder: Path, manifest: Manifest) -> list[ShardFault]:
    """Compare what is in `folder` with `manifest`, by names and sizes alone; no file outside of `folder` is touched."""
    shards = manifest.shards
    faults = _name_faults(shards, complete=manifest.complete)
    misnamed = {fault.file for fault in faults}
    reasons = {shard.file: _size_fault(folder / shard.file, shard) for shard in shards if shard.file not in misnamed}
    faults += [ShardFault(file, reason) for file, reason in reasons.items() if reason]
    edited = plan_faults(folder, manifest)
    if not manifest.complete:
        return [*faults, *edited]
    faults += _state_faults(folder, [shard.file for shard in shards])
    return [*faults, *edited, *_tokenizer_faults(folder, manifest)]


def data_faults(folder: Path, manifest: Manifest, *, hashes: bool = True, again: bool = False) -> list[ShardFault]:
    """As `listing_faults`; of the shards without a fault, also compare rows, columns and tokens with `manifest`.

    A shard is opened only after its hash was compared. In a store, where that would download it, only with `again`.

    Args:
        folder: a complete or, where `manifest.complete` is false, an incomplete dataset.
        manifest: its manifest, with the shards that should be there.
        hashes: compare the SHA-256 of each shard and of each file of the tokenizer.
        again: hash each file now, whatever is remembered of it.
    """
    faults = listing_faults(folder, manifest)
    if is_remote(folder) and not again:
        return faults
    for compare in (_hash_faults, _table_faults) if hashes else (_table_faults,):
        known = {fault.file for fault in faults}
        whole = [shard for shard in manifest.shards if shard.file not in known]
        reasons = compare([_here(folder / shard.file) for shard in whole], whole, manifest, again=again)
        faults += [ShardFault(shard.file, reason) for shard, reason in zip(whole, reasons, strict=True) if reason]
    if hashes and manifest.complete:
        faults += _changed_files(folder, manifest, {fault.file for fault in faults}, again=again)
    order = {shard.file: place for place, shard in enumerate(manifest.shards)}
    return sorted(faults, key=lambda fault: order.get(fault.file, len(order)))


def file_fault(file: Path, record: ShardRecord, *, hashes: bool = True) -> str:
    """The difference of one shard from its record, as the end of a sentence about it; empty where there is none."""
    reason = _size_fault(file, record)
    if reason or not hashes or not record.sha256:
        return reason
    return _hash_fault(record, file_sha256(_here(file)), {})


def damage_error(folder: Path, manifest: Manifest, faults: Sequence[ShardFault]) -> SepoError:
    """The error of a reader that found `faults`, at least one."""
    others = len(faults) - LISTED_FAULTS
    more = [f"and {others:,} more"] if others > 0 else []
    command = f"sepo {COMMANDS[manifest.stage]}"
    maker = f"the same `{command}` makes what is damaged again"
    if not is_remote(folder) and folder.absolute().is_relative_to(cache_folder().absolute()):
        maker = "it is a copy of a directory in a store: delete it, and it is downloaded again"
    elif any(fault.file == MANIFEST for fault in faults):
        maker = f"`{command}` with --overwrite makes it anew; no repair trusts an edited {MANIFEST}"
    hint = f"`sepo info {folder} --verify` checks every file; {maker}"
    if len(faults) == 1:
        return SepoError(f"{folder} is damaged: {faults[0]}", hint)
    return SepoError(f"{folder} is damaged:", hint, details=[*map(str, faults[:LISTED_FAULTS]), *more])


def _name_faults(shards: Sequence[ShardRecord], *, complete: bool) -> list[ShardFault]:
    """Shards that the manifest lists under another name than their place has; of an incomplete dataset, any place."""
    if complete and not shards:
        return [ShardFault(MANIFEST, "lists no shard")]
    faults = []
    counts = Counter(shard.file for shard in shards)
    total = len(shards)
    totals = {match[1] for name in counts if (match := _NAME.fullmatch(name))}
    for index, name in enumerate(shard.file for shard in shards):
        place = f"is listed in {MANIFEST} as shard {index + 1} of {total}"
        if not _NAME.fullmatch(name):
            faults.append(ShardFault(name, f"{place}, but no shard has such a name"))
        elif counts[name] > 1:
            faults.append(ShardFault(name, f"is listed in {MANIFEST} {counts[name]} times"))
        elif complete and name != shard_name(index, total):
            faults.append(ShardFault(name, f"{place}, where {shard_name(index, total)} belongs"))
        elif len(totals) > 1:
            faults.append(ShardFault(name, f"{place}, beside shards of another number of shards"))
    return list(dict.fromkeys(faults))


def _size_fault(file: Path, record: ShardRecord) -> str:
    try:
        facts = file.stat()
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    if not stat.S_ISREG(facts.st_mode):
        return "is not a file"
    if facts.st_size == record.bytes:
        return ""
    return f"is {'cut' if facts.st_size < record.bytes else 'longer'}: {facts.st_size:,} bytes, not {record.bytes:,}"


def _hash_faults(files: Sequence[Path], shards: Sequence[ShardRecord], manifest: Manifest, *, again: bool) -> list[str]:
    found = file_sha256s(files, again=again)
    names = {shard.sha256: shard.file for shard in manifest.shards}
    return [
        _hash_fault(shard, sha256, names) if shard.sha256 else "" for shard, sha256 in zip(shards, found, strict=True)
    ]


def _hash_fault(record: ShardRecord, sha256: str, names: dict[str, str]) -> str:
    if sha256 == record.sha256:
        return ""
    if sha256 in names:
        return f"holds the bytes of {names[sha256]}"
    return f"is changed: its SHA-256 begins with {sha256[:12]}, not with {record.sha256[:12]}"


def _table_faults(
    files: Sequence[Path], shards: Sequence[ShardRecord], manifest: Manifest, *, again: bool
) -> list[str]:
    """Faults of the tables: their rows, their columns and their numbers of tokens."""
    reasons, first = [], None
    for file, shard in zip(files, shards, strict=True):
        try:
            table = map_stream(file, validate=again)
            first = table.schema if first is None else first
            with stream_errors(file):
                check_texts(table.schema)
                reasons.append(_table_fault(table, shard, manifest.stage, first))
        except SepoError as error:
            reasons.append(str(error).removeprefix(f"{file} "))
    return reasons


def _table_fault(table: pa.Table, record: ShardRecord, stage: Stage, first: pa.Schema) -> str:
    if table.num_rows != record.rows:
        return f"has {table.num_rows:,} rows, not {record.rows:,}"
    if wrong := column_differences(table.schema, stage):
        return f"is not a valid {stage} shard: {wrong[0]}"
    if not table.schema.equals(first):
        return "has other columns than the first shard"
    for part in dict.fromkeys(("prompt", *SIDES, *record.tokens)):
        if f"{part}_tokens" not in table.column_names:
            return f"has no {part} tokens, of which {MANIFEST} counts {record.tokens[part]:,}"
        found, count = pc.sum(table.column(f"{part}_tokens")).as_py() or 0, record.tokens.get(part, 0)
        if found != count:
            return f"has {found:,} {part} tokens, not {count:,}"
    return ""


def _state_faults(folder: Path, names: list[str]) -> list[ShardFault]:
    """Differences of the list of data files in `state.json` from `names`."""
    try:
        listed = [entry["filename"] for entry in json.loads(read_text(folder / STATE))["_data_files"]]
    except FileNotFoundError:
        return [ShardFault(STATE, "is missing")]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return [ShardFault(STATE, f"cannot be read: {type(error).__name__}: {error}")]
    if listed == names:
        return []
    foreign = [name for name in listed if name not in names]
    counts = Counter(map(str, listed))
    if foreign:
        reason = f"names {foreign[0]}, which is no shard of this directory"
    elif missing := [name for name in names if name not in counts]:
        reason = f"names {len(counts)} of {len(names)} shards; {missing[0]} is left out"
    elif repeated := [name for name, count in counts.items() if count > 1]:
        reason = f"names {repeated[0]} {counts[repeated[0]]} times"
    else:
        reason = "names the shards in another order"
    return [ShardFault(STATE, reason)]


def plan_faults(folder: Path, manifest: Manifest) -> list[ShardFault]:
    """The difference of the plan in `manifest` from the fingerprints that were written with it, where there is one."""
    plan = manifest.fingerprint
    written = _fingerprint(folder / MANIFEST, "fingerprint")
    if written not in (None, plan):
        return [ShardFault(MANIFEST, f"is edited: its plan has the fingerprint {plan}, not {written}, as it says")]
    if (other := _fingerprint(folder / STATE, "_fingerprint")) not in (None, plan):
        return [ShardFault(MANIFEST, f"and {STATE} name different plans ({plan} and {other}): one was edited")]
    return []


def _fingerprint(file: Path, key: str) -> str | None:
    """The text under `key` in a JSON file; None where it cannot be read."""
    try:
        found = json.loads(read_text(file))[key]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if isinstance(found, str) else None


def _tokenizer_faults(folder: Path, manifest: Manifest) -> list[ShardFault]:
    """Files of the tokenizer that are lost; none where `manifest` has no record of them."""
    faults = []
    for name in manifest.files:
        parts = PurePosixPath(name).parts
        if parts[:1] != (TOKENIZER,) or len(parts) == 1 or ".." in parts or "\0" in name:
            faults.append(ShardFault(MANIFEST, f"lists {name}, which is no file of a tokenizer"))
        elif reason := _absence(folder / name):
            faults.append(ShardFault(name, reason))
    return faults


def foreign_files(folder: Path, manifest: Manifest) -> list[str]:
    """Names of files in `folder`, of this machine, that would change its tokenizer and have no record."""
    if not manifest.files or is_remote(folder):
        return []
    found = (file.relative_to(folder).as_posix() for file in (folder / TOKENIZER).rglob("*") if file.suffix in LOADED)
    return sorted(set(found) - manifest.files.keys())


def _absence(file: Path) -> str:
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    return "" if stat.S_ISREG(mode) else "is not a file"


def _changed_files(folder: Path, manifest: Manifest, known: set[str], *, again: bool) -> list[ShardFault]:
    """Files of the tokenizer with another hash than `manifest` has, apart from the `known`, and those it has not."""
    names = [] if MANIFEST in known else [name for name in manifest.files if name not in known]
    found = file_sha256s([_here(folder / name) for name in names], again=again)
    recorded = [manifest.files[name] for name in names]
    added = [ShardFault(name, "is no file of this tokenizer") for name in foreign_files(folder, manifest)]
    return added + [
        ShardFault(name, f"is changed: its SHA-256 begins with {sha256[:12]}, not with {record[:12]}")
        for name, sha256, record in zip(names, found, recorded, strict=True)
        if sha256 != record
    ]


def _here(file: Path) -> Path:
    return fetched(file) if is_remote(file) else file
