"""Read a stage directory: its manifest, its shards, and whether it is complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_data.schemas.folder import COMMANDS, DATASETS, INFO, MANIFEST, STATE
from sepo_data.schemas.manifest import SCHEMA_VERSION, Manifest, SchemaVersionError
from sepo_data.stages.records import finished_shards
from sepo_data.storage.atomic import write_text
from sepo_data.storage.location import read_text

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import JsonValue

    from sepo_data.schemas.stages import Stage


def read_manifest(path: Path) -> Manifest:
    """The manifest in directory `path`, of any stage.

    Raises:
        SepoError: `path` is not a stage directory, or one of another schema version, or its manifest is damaged.
    """
    file = path / MANIFEST
    if not file.exists():
        state = "is a file, not a directory" if path.exists() else "does not exist"
        state = "is not a stage directory: it has no sepo.json" if path.is_dir() else state
        raise SepoError(f"{path} {state}", "give a directory that `sepo score` or `sepo select` wrote")
    try:
        return Manifest.from_json(read_text(file))
    except SchemaVersionError as error:
        raise _other_version(path, error) from error
    except ValueError as error:
        # The first line of pydantic's text has the number of problems, the next two the place and cause of the first.
        reason = " ".join(line.strip() for line in str(error).splitlines()[:3])
        raise SepoError(f"{file} cannot be read: {reason}", "it was changed by hand or by another version") from error


def _other_version(path: Path, error: SchemaVersionError) -> SepoError:
    commands = {str(stage): f"`sepo {command}`" for stage, command in COMMANDS.items()}
    again = f"delete the directory and write it again with {commands.get(str(error.stage), 'the command that made it')}"
    return SepoError(
        f"{path} has schema version {error.version}; this version of sepo reads version {SCHEMA_VERSION} alone",
        again if error.version < SCHEMA_VERSION else f"upgrade sepo, or {again}",
    )


def read_stage(path: Path, *stages: Stage) -> Manifest:
    """The manifest of a complete directory of one of `stages`.

    Raises:
        SepoError: as in `read_manifest`, or `path` holds another stage, or it is incomplete.
    """
    manifest = read_manifest(path)
    command = COMMANDS[stages[0]]
    if manifest.stage not in stages:
        expected = " or ".join(stages)
        raise SepoError(
            f"{path} holds {manifest.stage}, not {expected}", f"`sepo {command} --help` shows how to make it"
        )
    if not is_complete(path):
        again = f"run the same `sepo {COMMANDS[manifest.stage]}` again to"
        if manifest.complete:
            lost = " and ".join(name for name in (STATE, INFO) if not (path / name).exists())
            raise SepoError(f"{path} is incomplete: {lost} is missing", f"{again} write it")
        shards = f" ({len(finished_shards(path))} shards so far)" if manifest.stage in DATASETS else ""
        raise SepoError(f"{path} is incomplete{shards}", f"{again} resume it")
    return manifest


def is_complete(path: Path) -> bool:
    """True if `path` is a complete stage directory; the files of `datasets` are written last, so they decide."""
    if not (path / MANIFEST).exists():
        return False
    manifest = read_manifest(path)
    return manifest.complete and (
        manifest.stage not in DATASETS or all((path / name).exists() for name in (STATE, INFO))
    )


def record_results(path: Path, results: dict[str, JsonValue]) -> Manifest:
    """Replace the `results` of the manifest in `path`; nothing else changes."""
    manifest = read_manifest(path).model_copy(update={"results": results})
    write_text(path / MANIFEST, manifest.to_json())
    return manifest
