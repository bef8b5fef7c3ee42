"""Records of a model that sepo trained: the model it started from, and how its pairs were tokenized."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_data.schemas.folder import MANIFEST
from sepo_data.schemas.stages import Stage
from sepo_data.stages.directory import read_manifest
from sepo_data.stages.lineage import read_ancestors

if TYPE_CHECKING:
    from pydantic import JsonValue

    from sepo_data.console.progress import Progress
    from sepo_data.schemas.manifest import Manifest, ModelRecord

STARTS = {Stage.ORACLE: "ref", Stage.POLICY: "policy"}
"""The stages whose directory is a model, and the role of the model that training started from."""

TOKEN_OPTIONS = ("max_length", "truncate", "template_date")
"""The options of a manifest that decide token ids, beside the chat template, which is in the model's folder."""


def trained_manifest(model: str) -> Manifest | None:
    """The manifest of `model`, where that is the folder of a model that sepo trained; a damaged one counts as none."""
    folder = Path(model)
    manifest = None
    with suppress(SepoError, OSError, ValueError):
        manifest = read_manifest(folder) if (folder / MANIFEST).is_file() else None
    return manifest if manifest is not None and manifest.stage in STARTS else None


def start_of(model: str) -> ModelRecord | None:
    """The model that `model`, a folder, was trained from; None where sepo did not train it."""
    manifest = trained_manifest(model)
    return None if manifest is None else manifest.models.get(STARTS[manifest.stage])


def note_oracle(policy: ModelRecord, selection: Manifest, progress: Progress) -> None:
    """Warn where `policy`, the model to train, is the oracle whose rewards `selection` was made from."""
    oracle, ref = selection.models.get("oracle"), selection.models.get("ref")
    if oracle is not None and ref is not None and policy.weights == oracle.weights != ref.weights:
        progress.note(
            f"warning: --policy {policy.name} is the oracle, which was trained on these preferences before; SePO "
            f"trains a policy that was not, such as the reference {ref.name}"
        )


def begun_on(out: Path) -> str | None:
    """The template date of the run in `out`, so that the same command goes on another day; None where it has none."""
    with suppress(SepoError, OSError, ValueError):
        found = read_manifest(out).options.get("template_date")
        return found if isinstance(found, str) else None
    return None


def token_options(manifest: Manifest | None) -> dict[str, JsonValue]:
    """The `TOKEN_OPTIONS` of the pairs that the model of `manifest` was trained on; none where they are unknown."""
    if manifest is not None and manifest.stage is Stage.POLICY:
        manifest = read_ancestors(manifest).get(Stage.REWARDS)
    options = {} if manifest is None else manifest.options
    return {name: options[name] for name in TOKEN_OPTIONS if name in options}
