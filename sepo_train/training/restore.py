"""Restore the directory of a trained model as far as no training is needed; of the rest, say what is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_data.schemas.folder import SKIPPED
from sepo_data.stages.folder_files import saved_files
from sepo_data.stages.runs import open_run
from sepo_data.stages.seen_pairs import read_oracle_record
from sepo_data.storage.atomic import atomic_write
from sepo_data.storage.location import make_folder
from sepo_train.models.files import ADAPTER
from sepo_train.models.load import adapter_weights, count_parameters
from sepo_train.models.tokenizers import load_tokenizer, template_hash
from sepo_train.training.checkpoint import remove_checkpoints
from sepo_train.training.processes import is_main_process

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from sepo_data.console.progress import Progress
    from sepo_data.schemas.manifest import Manifest


def restored(
    out: Path,
    manifest: Manifest,
    tokenizer: PreTrainedTokenizerBase,
    progress: Progress,
    *,
    trust_remote_code: bool = False,
    write_records: Callable[[Path], None] | None = None,
) -> Manifest:
    """The manifest of the complete model in `out`, whose lost tokenizer files and records are written again.

    Args:
        out: the directory of the run.
        manifest: in `out`.
        tokenizer: as it was saved there.
        progress: receives a note of what was written again, or that nothing was.
        trust_remote_code: run the code that comes with the model.
        write_records: writes the records of an oracle.

    Raises:
        SepoError: the weights or the configuration are lost or damaged, which only training makes again.
    """
    try:
        check = adapter_weights if (out / ADAPTER).exists() else count_parameters
        check(str(out), trust_remote_code=trust_remote_code)
    except SepoError as error:
        raise SepoError(
            f"{out} was complete and is damaged: {error}", "restore the file, or train again with --overwrite"
        ) from error
    made = []
    if is_main_process():
        open_run(out, manifest)  # removes what a kill at the very end has left
        remove_checkpoints(out)
        made = _restore_tokenizer(out, tokenizer, trust_remote_code=trust_remote_code)
        if write_records is not None and not _has_records(out, manifest):
            write_records(out)
            made.append("the records of its pairs")
    progress.note(f"{out}: made again: {', '.join(made)}" if made else f"{out} is complete; nothing to do")
    return manifest


def _restore_tokenizer(out: Path, tokenizer: PreTrainedTokenizerBase, *, trust_remote_code: bool) -> list[str]:
    """Write the files of `tokenizer` that `out` lacks, or all where those there are no longer of this tokenizer."""
    files = saved_files(tokenizer.save_pretrained)
    usable = _is_usable(out, tokenizer, trust_remote_code=trust_remote_code)
    missing = [name for name in files if not (out / name).exists()]
    for name in (wanted := missing if missing or usable else list(files)):
        make_folder((out / name).parent)
        with atomic_write(out / name) as file:
            file.write(files[name])
    return wanted


def _is_usable(out: Path, tokenizer: PreTrainedTokenizerBase, *, trust_remote_code: bool) -> bool:
    try:
        found = load_tokenizer(str(out), trust_remote_code=trust_remote_code)
    except SepoError:
        return False
    return found.get_vocab() == tokenizer.get_vocab() and template_hash(found) == template_hash(tokenizer)


def _has_records(out: Path, manifest: Manifest) -> bool:
    """True if the record of the pairs an oracle was trained on is there, and that of the skipped rows."""
    try:
        record = read_oracle_record(str(out))
        skipped = (out / SKIPPED).read_text(encoding="utf-8").count("\n")
    except (SepoError, OSError, UnicodeDecodeError):
        return False
    counts = manifest.results.get("skipped")
    return record is not None and (not isinstance(counts, dict) or skipped == sum(map(int, map(str, counts.values()))))
