"""The folder with the record of a model's training, also of a model on the Hub that sepo pushed there."""

from __future__ import annotations

from pathlib import Path

from sepo_data.schemas.folder import MANIFEST
from sepo_data.stages.seen_pairs import SEEN
from sepo_data.stages.trained_models import trained_manifest
from sepo_train.models.files import find_file, resolve


def record_folder(name: str) -> str:
    """The folder that holds what sepo recorded of the training of the model `name`, if it trained it.

    That is `name` itself; of a model on the Hub, it is the snapshot of its commit in the cache, with the manifest and
    the record of its pairs.

    Raises:
        HubError: the Hub cannot be reached, and the cache does not have the model.
    """
    if Path(resolve(name)).is_dir() or (manifest := find_file(name, MANIFEST)) is None:
        return name
    snapshot = str(manifest.parent)
    if trained_manifest(snapshot) is None or find_file(name, SEEN) is None:
        return name  # anybody's, or of another version of sepo
    return snapshot
