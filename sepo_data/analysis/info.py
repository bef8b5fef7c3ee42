"""`sepo info`: a stage directory as lines for people and as an object for programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sepo_data.analysis.throughput import read_throughput, throughput_text
from sepo_data.schemas.folder import DATASETS
from sepo_data.schemas.stages import Stage
from sepo_data.stages.directory import read_manifest
from sepo_data.stages.records import finished_shards

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sepo_data.readers.shard_faults import ShardFault
    from sepo_data.schemas.manifest import Manifest


def read_info(folder: Path) -> Manifest:
    """The manifest of `folder`; of an incomplete dataset, with the shards written so far."""
    manifest = read_manifest(folder)
    if manifest.complete:
        return manifest
    return manifest.model_copy(update={"complete": False, "shards": finished_shards(folder)})


def summary(folder: Path, manifest: Manifest, faults: Sequence[ShardFault] | None = None) -> dict[str, Any]:
    """The machine-readable answer of a command that wrote or read `folder`, with the `faults` that were looked for."""
    answer: dict[str, Any] = {
        "path": str(folder),
        "stage": manifest.stage,
        "complete": manifest.complete and not faults,
        "fingerprint": manifest.fingerprint,
        "seconds": manifest.seconds,
    }
    if manifest.stage in DATASETS:
        answer |= {
            "rows": manifest.rows,
            "shards": len(manifest.shards),
            "tokens": manifest.total("tokens"),
            "skipped": manifest.total("skipped"),
            "notes": manifest.total("notes"),
        }
        if not manifest.complete:
            answer["throughput"] = asdict(read_throughput(folder, manifest))
    if faults is not None:
        answer["faults"] = [asdict(fault) for fault in faults]
    return answer | {"results": manifest.results}


def planned(folder: Path, manifest: Manifest) -> dict[str, Any]:
    """The machine-readable answer of a dry run: the plan of `folder`."""
    return {
        "path": str(folder),
        "stage": manifest.stage,
        "dry_run": True,
        "fingerprint": manifest.fingerprint,
        **manifest.results,
    }


def lines(
    manifest: Manifest, folder: Path | None = None, faults: Sequence[ShardFault] = ()
) -> Iterator[tuple[str, str]]:
    """Label and text of each line that `sepo info` prints; with the progress, where `folder` is being written."""
    resumes = "where it stopped" if manifest.stage in DATASETS else "from its last checkpoint with --resume"
    state = "complete" if manifest.complete else f"incomplete; the same command resumes {resumes}"
    state = "damaged; the faults are listed below" if faults else state
    yield "stage", f"{manifest.stage} ({state})"
    yield "fingerprint", manifest.fingerprint
    if manifest.stage in DATASETS:
        if folder is not None and not manifest.complete:
            yield "progress", throughput_text(read_throughput(folder, manifest))
        yield "rows", f"{manifest.rows:,} in {len(manifest.shards)} shards"
        yield "tokens", _counts(manifest.total("tokens"))
        yield "skipped", _counts(manifest.total("skipped"))
        yield "notes", _counts(manifest.total("notes"))
    source = manifest.input
    split = f", split {source.split}" if source.split else ""
    shape = f", {source.shape}" if source.shape else ""
    yield "from", f"{source.name} ({source.rows:,} rows{split}{shape}, content {source.fingerprint[:16]})"
    for role, model in manifest.models.items():
        yield role, f"{model.name} ({model.parameters:,} parameters, weights {model.weights[:16]})"
    if tokenizer := manifest.tokenizer:
        template = f", chat template {tokenizer.chat_template[:16]}" if tokenizer.chat_template else ""
        yield "tokenizer", f"{tokenizer.name} ({tokenizer.vocabulary:,} tokens{template})"
    if manifest.parent:
        yield "parent", f"{_PARENTS.get(manifest.stage, 'stage')} {manifest.parent}"
    yield "options", "  ".join(f"{name}={value}" for name, value in manifest.options.items() if value is not None)
    for name, value in manifest.results.items():
        yield name.replace("_", " "), str(value)
    yield "made", f"{manifest.created}" + (f", {manifest.seconds:,.1f} s" if manifest.seconds is not None else "")
    yield "versions", "  ".join(f"{name} {version}" for name, version in manifest.versions.items())


_PARENTS = {Stage.REWARDS: "oracle", Stage.SELECTION: "rewards", Stage.POLICY: "selection"}


def _counts(counts: dict[str, int]) -> str:
    return "  ".join(f"{name} {count:,}" for name, count in counts.items()) or "none"
