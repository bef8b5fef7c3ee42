"""The pairs that a model was trained on, recorded so that scoring can mark them and evaluation can leave them out."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_data.schemas.folder import MANIFEST
from sepo_data.schemas.stages import Stage
from sepo_data.stages.directory import read_stage
from sepo_data.storage.atomic import write_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sepo_data.schemas.manifest import Manifest
    from sepo_data.shapes.pairs import Pair

SEEN = "seen_pairs.jsonl"


@dataclass(frozen=True, slots=True)
class OracleRecord:
    """An oracle's manifest, and the ids of the pairs it was trained on and of their prompts."""

    manifest: Manifest
    pair_ids: frozenset[str]
    prompt_ids: frozenset[str]


def write_seen_pairs(folder: Path, pairs: Iterable[Pair]) -> None:
    """Write `seen_pairs.jsonl`: the source row of each pair, its id and that of its prompt, one line each."""
    rows = sorted((pair.source_row, pair.pair_id, pair.prompt_id) for pair in pairs)
    lines = (json.dumps(dict(zip(("source_row", "pair_id", "prompt_id"), row, strict=True))) + "\n" for row in rows)
    write_text(folder / SEEN, "".join(lines))


def write_trained_pairs(folder: Path, pair_ids: frozenset[str], *, start: Path) -> None:
    """Write `seen_pairs.jsonl` of a policy: the id of each pair that it or the model `start` was trained on."""
    ids = pair_ids | (read_trained_pairs(start) or frozenset())
    write_text(folder / SEEN, "".join(json.dumps({"pair_id": pair_id}) + "\n" for pair_id in sorted(ids)))


def read_trained_pairs(folder: Path) -> frozenset[str] | None:
    """The ids of the pairs that the model in `folder` was trained on; None where its record is lost or damaged."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        return frozenset(pair["pair_id"] for pair in _lines(folder))
    return None


def read_oracle_record(name: str) -> OracleRecord | None:
    """The record in an oracle's folder; None where `sepo oracle` did not make it."""
    folder = Path(name)
    if not (folder / MANIFEST).exists():
        return None
    manifest = read_stage(folder, Stage.ORACLE, Stage.POLICY)
    if manifest.stage is not Stage.ORACLE:
        return None
    try:
        seen = _lines(folder)
        if len(seen) != manifest.results.get("pairs_seen", len(seen)):
            raise ValueError(f"it has {len(seen):,} pairs, not {manifest.results['pairs_seen']:,}")  # noqa: TRY301
        pair_ids, prompt_ids = (frozenset(pair[name] for pair in seen) for name in ("pair_id", "prompt_id"))
        return OracleRecord(manifest, pair_ids, prompt_ids)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SepoError(
            f"{folder / SEEN} cannot be read: {error}",
            "run the same `sepo oracle` again, which writes it again without training",
        ) from error


def _lines(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / SEEN).read_text(encoding="utf-8").splitlines()]
