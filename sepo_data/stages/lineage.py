"""The ancestors of a stage directory, found through the manifests."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_data.schemas.stages import Stage
from sepo_data.stages.directory import read_manifest
from sepo_data.storage.location import location

if TYPE_CHECKING:
    from sepo_data.schemas.manifest import Manifest


def read_ancestors(manifest: Manifest) -> dict[Stage, Manifest]:
    """The manifests of the stages that `manifest` was made from, as far as they are unchanged at the recorded place."""
    found: dict[Stage, Manifest] = {}
    child = manifest
    while child.parent is not None:
        place = child.models["oracle"].name if child.stage is Stage.REWARDS else child.input.name
        parent = None
        with suppress(SepoError, OSError):
            parent = read_manifest(location(place))
        if parent is None or parent.fingerprint != child.parent or parent.stage in found:
            break
        found[parent.stage] = child = parent
    return found
