"""Publish a complete policy or oracle on the Hub."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from sepo_data.console.progress import SILENT, Progress
from sepo_data.publishing.citation import PAPER
from sepo_data.publishing.public_manifest import base_name, public_manifest, without_folders
from sepo_data.publishing.upload import CARD, check_upload, open_repository, upload
from sepo_data.schemas.folder import MANIFEST, SKIPPED
from sepo_data.schemas.stages import Stage
from sepo_data.stages.directory import read_stage
from sepo_train.models.files import ADAPTER
from sepo_train.publishing.model_card import card_of

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import JsonValue

    from sepo_data.schemas.manifest import Manifest

SUFFIXES = frozenset({".safetensors", ".json", ".jsonl", ".jinja", ".model", ".txt", ".png", ".md"})
"""Of the published files: weights, configurations, the tokenizer, and the record of the training."""

TEMPLATES = "additional_chat_templates"
CONFIGS = frozenset({ADAPTER, "config.json", "generation_config.json", "tokenizer_config.json"})
WEIGHTS = (".safetensors", ".safetensors.index.json", ADAPTER)


def push(out: Path, repo_id: str, *, private: bool = True, progress: Progress = SILENT) -> str:
    """Publish the complete directory `out` as the model repository `repo_id`, in one commit.

    The uploaded files name no folder of this machine: `sepo.json` and the configurations have the base names of paths,
    and the card the name of the repository. Weights that the repository had before are deleted there.

    Args:
        out: a directory that `sepo train` or `sepo oracle` wrote.
        repo_id: USER/NAME, or NAME for the user of the token; created where it does not exist.
        private: visibility of a new repository; an existing one is never made public or private.
        progress: gets the number and size of the files.

    Returns:
        The address of the repository.

    Raises:
        SepoError: `out` is incomplete, or `repo_id` is no name.
        RefusedError: the repository holds other files, or is public while `private` was asked for.
        HubError: there is no token, it does not permit this, or the Hub cannot be reached.
    """
    manifest = read_stage(out, Stage.POLICY, Stage.ORACLE)
    check_upload(repo_id)
    repository = open_repository(repo_id, private=private)
    files = published_files(out, manifest, repository.repo_id)
    upload(
        repository,
        files,
        message=f"Upload {manifest.stage} {manifest.fingerprint}",
        delete={name for name in repository.files if name.endswith(WEIGHTS)} - files.keys(),
        progress=progress,
    )
    return repository.url


def published_files(out: Path, manifest: Manifest, repo_id: str) -> dict[str, Path | bytes]:
    """The files that `push` uploads: by name in the repository, each a file or, where it is changed, its bytes."""
    suffixes = SUFFIXES | {".py"} if manifest.options.get("trust_remote_code") else SUFFIXES
    found = [
        *(
            file for file in out.iterdir() if file.suffix in suffixes and file.name != SKIPPED
        ),  # those may quote the data
        *(out / TEMPLATES).glob("*.jinja"),
    ]
    files: dict[str, Path | bytes] = {
        file.relative_to(out).as_posix(): file
        for file in sorted(found)
        if file.is_file() and not file.name.startswith(".")
    }
    for name in CONFIGS & files.keys():
        files[name] = _public_config(out / name)
    files[CARD] = _card(out, manifest, repo_id).encode()
    files[MANIFEST] = public_manifest(manifest).to_json().encode()
    return files


def _public_config(file: Path) -> bytes:
    """A configuration with the base name of a model on this machine; unchanged where it names none."""
    text = file.read_bytes()
    config = json.loads(text)
    named = {name: _public_model(value) for name, value in config.items() if name.endswith("name_or_path")}
    return text if named.items() <= config.items() else (json.dumps(config | named, indent=2) + "\n").encode()


def _public_model(name: JsonValue) -> JsonValue:
    # A path from here to a base model goes through folders that are nobody's business.
    return base_name(name) if isinstance(name, str) and name.startswith("..") else without_folders(name)


def _card(out: Path, manifest: Manifest, repo_id: str) -> str:
    """The card in `out` if a person has edited it; otherwise a card under the name of the repository."""
    file = out / CARD
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    # peft puts a card of its own beside an adapter, with the path of the model in it.
    written = PAPER in text and text != card_of(out, manifest, name=out.resolve().name)
    return text if written else card_of(out, manifest, name=repo_id)
