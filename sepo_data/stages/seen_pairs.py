"""The pairs that an oracle was trained on, recorded so that scoring can mark them."""

from __future__ import annotations

import json
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

    from sepo_data.schemas.manifest import Manifest, ModelRecord, TokenizerRecord
    from sepo_data.shapes.pairs import Pair

SEEN = "seen_pairs.jsonl"


@dataclass(frozen=True, slots=True)
class OracleRecord:
    """An oracle's manifest, and the ids of the pairs it was trained on and of their prompts."""

    manifest: Manifest
    pair_ids: frozenset[str]
    prompt_ids: frozenset[str]

    def check(self, *, ref: ModelRecord, tokenizer: TokenizerRecord) -> None:
        """Raise where the oracle did not start from `ref`: its rewards would have no meaning."""
        start, template = self.manifest.models["ref"], self.manifest.tokenizer and self.manifest.tokenizer.chat_template
        if start.weights != ref.weights:
            raise SepoError(
                f"--ref {ref.name} is not the model that the oracle started from, which is {start.name}",
                f"score with --ref {start.name}",
            )
        if template != tokenizer.chat_template:
            raise SepoError(
                "the oracle was trained with another chat template", "give both commands the same --chat-template"
            )


def write_seen_pairs(folder: Path, pairs: Iterable[Pair]) -> None:
    """Write `seen_pairs.jsonl`: the source row of each pair, its id and that of its prompt, one line each."""
    rows = sorted((pair.source_row, pair.pair_id, pair.prompt_id) for pair in pairs)
    lines = (json.dumps(dict(zip(("source_row", "pair_id", "prompt_id"), row, strict=True))) + "\n" for row in rows)
    write_text(folder / SEEN, "".join(lines))


def read_oracle_record(name: str) -> OracleRecord | None:
    """The record in an oracle's folder; None where `sepo oracle` did not make it."""
    folder = Path(name)
    if not (folder / MANIFEST).exists():
        return None
    manifest = read_stage(folder, Stage.ORACLE, Stage.POLICY)
    if manifest.stage is not Stage.ORACLE:
        return None
    try:
        seen = [json.loads(line) for line in (folder / SEEN).read_text(encoding="utf-8").splitlines()]
        if len(seen) != manifest.results.get("pairs_seen", len(seen)):
            raise ValueError(f"it has {len(seen):,} pairs, not {manifest.results['pairs_seen']:,}")  # noqa: TRY301
        pair_ids, prompt_ids = (frozenset(pair[name] for pair in seen) for name in ("pair_id", "prompt_id"))
        return OracleRecord(manifest, pair_ids, prompt_ids)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SepoError(
            f"{folder / SEEN} cannot be read: {error}",
            "run the same `sepo oracle` again, which writes it again without training",
        ) from error
