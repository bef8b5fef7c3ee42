"""The public form of a manifest: without the folders of the machine that made it."""

from __future__ import annotations

import re
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from sepo_data.schemas.stages import Stage
from sepo_data.storage.location import public_name

if TYPE_CHECKING:
    from pydantic import JsonValue

    from sepo_data.schemas.manifest import InputRecord, Manifest

_HUB_ID = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*", re.ASCII)
_HUB_URL = re.compile(rf"hf://datasets/({_HUB_ID.pattern})(?:[@/].*)?", re.ASCII)
_PART = re.compile(r"(\S+)=([\d.e+-]+)")
_MIXTURE = re.compile(rf"{_PART.pattern}(?: {_PART.pattern})+")
_DATA_FILE = re.compile(r".*\.(?:jsonl?|csv|tsv|txt|parquet|arrow|sqlite|db|duckdb|gz|zst|xz|bz2|zip)", re.IGNORECASE)
_PLACES = {Stage.SELECTION, Stage.POLICY}
"""The stages whose input is a stage directory, even where its name looks like a Hub id."""


def public_manifest(manifest: Manifest) -> Manifest:
    """`manifest` with the base name of every path of this machine.

    Names are not part of the plan, so the fingerprint is the same.
    """
    on_hub = {record.name for record in manifest.models.values() if record.revision is not None}

    def public_model(name: str) -> str:
        return name if name in on_hub else base_name(name)

    models = {
        role: record.model_copy(update={"name": public_model(record.name)}) for role, record in manifest.models.items()
    }
    tokenizer = manifest.tokenizer
    if tokenizer is not None:
        tokenizer = tokenizer.model_copy(update={"name": public_model(tokenizer.name)})
    source = manifest.input
    named = base_name(source.name) if manifest.stage in _PLACES else _public_dataset(source)
    return manifest.model_copy(
        update={
            "models": models,
            "tokenizer": tokenizer,
            "input": source.model_copy(update={"name": named}),
            "runtime": {name: without_folders(value) for name, value in manifest.runtime.items()},
            "results": {name: without_folders(value) for name, value in manifest.results.items()},
        }
    )


def hub_datasets(source: InputRecord) -> list[str]:
    """The Hub ids among the datasets of `source`; a name that could also be a folder here is left out."""
    found = []
    for name in _parts(source.name):
        if url := _HUB_URL.fullmatch(name):
            found.append(url[1])
        elif (
            # A dataset of the Hub has a split, and its name is not that of a file.
            source.split is not None
            and _HUB_ID.fullmatch(name)
            and not _DATA_FILE.fullmatch(name)
            and not Path(name).exists()
        ):
            found.append(name)
    return found


def base_name(name: str) -> str:
    """The last part of a path; a URL as it is, without a password or a signature."""
    if "://" in name and not name.startswith("file:") and not re.search(r"\s", name):
        return public_name(name)
    last = PurePath(name.replace("\\", "/")).name
    return last if last.strip(". ") else "a folder"


def without_folders(value: JsonValue) -> JsonValue:
    """`value` with the base name of every text in it that is an absolute path."""
    if isinstance(value, str):
        return base_name(value) if re.match(r"[~/\\]|[A-Za-z]:[\\/]|file:", value) else value
    if isinstance(value, list):
        return [without_folders(inner) for inner in value]
    if isinstance(value, dict):
        return {name: without_folders(inner) for name, inner in value.items()}
    return value


def _public_dataset(source: InputRecord) -> str:
    if source.name == "-":
        return "standard input"
    known = hub_datasets(source)
    if not _MIXTURE.fullmatch(source.name):
        return source.name if source.name in known else base_name(source.name)
    parts = _PART.findall(source.name)
    return " ".join(f"{name if name in known else base_name(name)}={weight}" for name, weight in parts)


def _parts(name: str) -> list[str]:
    """The datasets of a mixture; of anything else, its name."""
    return [part for part, _ in _PART.findall(name)] if _MIXTURE.fullmatch(name) else [name]
