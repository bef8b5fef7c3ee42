"""Faults of a stage directory as `sepo info` reports them, and the command that makes its damaged files again."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_data.readers.shard_faults import ShardFault, listing_faults
from sepo_data.schemas.folder import DATASETS, INFO, MANIFEST, TOKENIZER
from sepo_data.schemas.stages import Stage
from sepo_data.stages.repair import damage
from sepo_data.stages.verify import shard_faults

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from sepo_data.schemas.manifest import Manifest


def read_faults(folder: Path, manifest: Manifest, *, verify: bool) -> list[ShardFault]:
    """Everything in `folder` that is not as `manifest` says; nothing of a model, whose files have no record.

    Args:
        folder: any stage directory.
        manifest: its manifest; of an incomplete dataset, with the shards written so far.
        verify: read each file now, and compare its hash; otherwise names and sizes.
    """
    if manifest.stage not in DATASETS:
        return []
    if not manifest.complete:
        return shard_faults(folder, manifest, again=True) if verify else listing_faults(folder, manifest)
    faults = damage(folder, manifest, again=True) if verify else listing_faults(folder, manifest)
    wanted = {INFO} if manifest.files else {INFO, TOKENIZER}
    missing = sorted(name for name in wanted - {fault.file for fault in faults} if not (folder / name).exists())
    return [*faults, *(ShardFault(name, "is missing") for name in missing)]


def fault_lines(folder: Path, manifest: Manifest, faults: Sequence[ShardFault]) -> Iterator[tuple[str, str]]:
    """Label and text of the lines below those of `sepo info`: each fault, and what to type next."""
    for fault in faults:
        yield "fault", str(fault)
    if any(fault.file == MANIFEST for fault in faults):
        yield "mend with", f"{_maker(folder, manifest)} --overwrite, with its options of then; nothing is kept"
    elif faults:
        yield "mend with", f"{_maker(folder, manifest)}, with the options above; files without a fault are kept"


def verified_line(manifest: Manifest) -> tuple[str, str]:
    """Label and text of the line about a directory in which `sepo info --verify` found no fault."""
    if manifest.stage not in DATASETS:
        return "verified", f"nothing: the files of a {manifest.stage} have no record"
    size = sum(shard.bytes for shard in manifest.shards)
    tokenizer = " and the tokenizer" if manifest.files else ""
    return "verified", f"{len(manifest.shards)} shards, {size:,} bytes{tokenizer}: each is what the manifest says"


def verification_error(folder: Path, faults: Sequence[ShardFault]) -> SepoError:
    """The error with which `sepo info --verify` ends after it printed the faults."""
    if edited := next((fault for fault in faults if fault.file == MANIFEST), None):
        return SepoError(
            f"{folder} is damaged: {edited}", "the command that made the directory makes it anew with --overwrite"
        )
    files = len({fault.file for fault in faults})
    return SepoError(
        f"{folder} is damaged: {files} {'file is' if files == 1 else 'files are'} not what the manifest says",
        f"the command that made the directory makes {'it' if files == 1 else 'them'} again",
    )


def _maker(folder: Path, manifest: Manifest) -> str:
    """The command that made the dataset, without its options."""
    source, out = quote(manifest.input.name), quote(str(folder))
    if manifest.stage is Stage.SELECTION:
        return f"sepo select {source} --out {out}"
    models = " ".join(f"--{role} {quote(model.name)}" for role, model in manifest.models.items())
    return f"sepo score {source} {models} --out {out}"
