"""Pairs as the script of the page reads them: columns of arrays, each distinct token once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from sepo_data.report.pairs.arrays import packed, packed_bits, packed_codes, packed_logps
from sepo_data.report.pairs.preview import preview
from sepo_data.report.pairs.seen_text import seen, seen_tokens
from sepo_data.report.pairs.side_columns import filter_columns, plain, side_columns
from sepo_data.report.shared_rewards import holders
from sepo_data.schemas.stages import SIDES, Stage
from sepo_data.selection.ragged import ragged
from sepo_data.stages.token_text import load_tokenizer_file, single_texts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

    from sepo_data.report.pairs.sample import Places
    from sepo_data.report.source import Source

LOGPS = ("oracle_logps", "ref_logps")


@dataclass(slots=True)
class _Vocabulary:
    """Codes of the distinct tokens, (id, shown text), in the order in which they were met."""

    codes: dict[tuple[int, str], int] = field(default_factory=dict)

    def code(self, token: int, text: str) -> int:
        return self.codes.setdefault((token, text), len(self.codes))


class Encoder:
    """Encodes pairs of the same sources; the tokenizer is loaded once."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self.tokenizer: Tokenizer = load_tokenizer_file(sources[0].folder)
        self.singles = single_texts(self.tokenizer)

    def encode(self, places: Places) -> dict[str, Any]:
        """The pairs at `places`: what the script calls `data.pairs`."""
        frames = places.frames([_columns(source) for source in places.sources])
        first, vocabulary = frames[0], _Vocabulary()
        prompts = first["prompt_ids"].to_list()
        sides = {side: self._side(first[f"{side}_ids"], prompts, vocabulary) for side in SIDES}
        count = len(vocabulary.codes)
        return {
            "ids": list(map(plain, first["pair_id"].to_list())),
            "prompts": [seen(self.tokenizer.decode(prompt, skip_special_tokens=False)) for prompt in prompts],
            "previews": [preview(prompt) for prompt in first["prompt"].to_list()],
            "tokens": {
                "ids": packed([token for token, _ in vocabulary.codes], "int32"),
                "texts": [text for _, text in vocabulary.codes],
            },
            "sides": {
                side: {"lengths": packed(lengths, "int32"), "codes": packed_codes(codes, count)}
                for side, (lengths, codes) in sides.items()
            },
            "tracks": [
                {"holder": holder} | _track(source, frame, places.rows(number))
                for number, (source, frame, holder) in enumerate(
                    zip(places.sources, frames, holders(places.sources), strict=True)
                )
            ],
            "columns": filter_columns(places.sources, frames),
        }

    def _side(
        self, ids: pl.Series, prompts: Sequence[Sequence[int]], vocabulary: _Vocabulary
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Lengths of the responses, and the codes of their tokens."""
        codes = [
            vocabulary.code(token, text)
            for response, prompt in zip(ids.to_list(), prompts, strict=True)
            for token, text in zip(response, seen_tokens(self.tokenizer, self.singles, response, prompt), strict=True)
        ]
        return ids.list.len().to_numpy().astype(np.int64), np.array(codes, np.int64)


def _columns(source: Source) -> list[str]:
    lists = ("ids", "rewards", "mask") if source.is_selection else ("ids", "rewards", *LOGPS)
    of_sides = [f"{side}_{name}" for side in SIDES for name in lists]
    weights = {f"{side}_weights" for side in SIDES} if source.is_selection else set()
    stored = set(source.shards[0].schema().names)
    scalars = ["pair_id", "prompt", "prompt_ids", "margin", "oracle_seen"]
    return [*scalars, *of_sides, *sorted(weights & stored), *side_columns(source)]


def _track(source: Source, frame: pl.DataFrame, rows: pl.Series) -> dict[str, Any]:
    """The rewards of one directory, and what else it has of every token."""
    track: dict[str, Any] = {
        "rows": packed(rows.to_numpy(), "int32"),
        "margin": packed(frame["margin"].to_numpy(), "float32"),
    }
    for side in SIDES:
        values: dict[str, Any] = {"rewards": packed(ragged(frame[f"{side}_rewards"]).values, "float32")}
        if source.manifest.stage is Stage.REWARDS:
            for name in LOGPS:
                values[name] = packed_logps(ragged(frame[f"{side}_{name}"]).values)
        else:
            values["mask"] = packed_bits(ragged(frame[f"{side}_mask"]).values)
        if f"{side}_weights" in frame.columns:
            values["weights"] = packed(ragged(frame[f"{side}_weights"]).values, "float32")
        track[side] = values
    return track
