"""What an oracle remembers of its training: the pairs it has seen, so that scoring can mark them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.errors import SepoError
from schemas.stages import Stage
from sepo_data.atomic import write_text
from sepo_data.directory import MANIFEST, read_stage

if TYPE_CHECKING:
    from schemas.manifest import Manifest, ModelRecord, TokenizerRecord

SEEN = "seen_pairs.jsonl"


@dataclass(frozen=True, slots=True)
class OracleRecord:
    """What an oracle's manifest says and the ids of the pairs it was trained on."""

    manifest: Manifest
    pair_ids: frozenset[str]

    def check(self, *, ref: ModelRecord, tokenizer: TokenizerRecord) -> None:
        """Raise where the oracle started elsewhere than at `ref`: its rewards would mean nothing."""
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


def write_seen_pairs(folder: Path, pairs: list[tuple[int, str]]) -> None:
    """Write `seen_pairs.jsonl`: (source row, pair id), one line each."""
    lines = (json.dumps({"source_row": row, "pair_id": pair_id}) + "\n" for row, pair_id in sorted(pairs))
    write_text(folder / SEEN, "".join(lines))


def read_oracle_record(name: str) -> OracleRecord | None:
    """The record in an oracle's folder; None where it was not made by `sepo oracle`."""
    folder = Path(name)
    if not (folder / MANIFEST).exists():
        return None
    manifest = read_stage(folder, Stage.ORACLE, Stage.POLICY)
    if manifest.stage is not Stage.ORACLE:
        return None
    try:
        lines = (folder / SEEN).read_text(encoding="utf-8").splitlines()
        return OracleRecord(manifest, frozenset(json.loads(line)["pair_id"] for line in lines))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SepoError(
            f"{folder / SEEN} cannot be read: {error}", "train the oracle again with --overwrite"
        ) from error
