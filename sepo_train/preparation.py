"""What oracle and scoring share: a preference dataset, a tokenizer, and the pairs that come out of the two."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.errors import SepoError
from schemas.manifest import InputRecord
from sepo_data.pairs import Pair, SkippedRow
from sepo_data.preferences import Preferences, read_preferences
from sepo_data.tokenization import TokenizedPair, Truncate, tokenize_pairs
from sepo_train.models import context_length, load_config, load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from transformers import PretrainedConfig, PreTrainedTokenizerBase

    from sepo_data.progress import Progress

MAX_LENGTH = 2048
CHUNK = 1000


@dataclass(frozen=True, slots=True)
class Prepared:
    """A dataset with the tokenizer and the limits that turn its rows into token ids."""

    preferences: Preferences
    tokenizer: PreTrainedTokenizerBase
    max_length: int
    truncate: Truncate | None
    embeddings: int

    @property
    def input(self) -> InputRecord:
        source = self.preferences.source
        return InputRecord(
            name=source.name,
            fingerprint=source.fingerprint,
            split=source.split,
            shape=self.preferences.shape.name,
            rows=self.preferences.rows,
        )

    def pairs(
        self, start: int, stop: int, *, only: frozenset[int] | None = None
    ) -> tuple[list[TokenizedPair], list[SkippedRow]]:
        """The usable pairs among the input rows `start` to `stop` (those in `only`), and the rows set aside."""
        rows = self.preferences.slice(start, min(stop, self.preferences.rows))
        wanted = [row for row in rows if only is None or _number(row) in only]
        tokenized = tokenize_pairs(
            [row for row in wanted if isinstance(row, Pair)],
            self.tokenizer,
            max_length=self.max_length,
            truncate=self.truncate,
        )
        skipped = [row for row in (*wanted, *tokenized) if isinstance(row, SkippedRow)]
        pairs = [item for item in tokenized if isinstance(item, TokenizedPair)]
        for item in pairs:
            self._check_embedded(item)
        return pairs, sorted(skipped, key=_number)

    def _check_embedded(self, item: TokenizedPair) -> None:
        highest = max(map(max, (item.prompt_ids, item.chosen_ids, item.rejected_ids)))
        if highest >= self.embeddings:
            token = self.tokenizer.convert_ids_to_tokens(highest)
            raise SepoError(
                f"row {item.pair.source_row} has the token {token!r} with id {highest}, but the model embeds only "
                f"{self.embeddings:,} tokens",
                "the tokenizer was extended, the model was not: resize_token_embeddings(len(tokenizer)) and save it",
            )

    def sample(self, count: int | None = None, *, only: frozenset[int] | None = None) -> list[TokenizedPair]:
        """The first `count` usable pairs among the rows in `only`, or all of them; raises where there is none."""
        found: list[TokenizedPair] = []
        reasons: Counter[str] = Counter()
        start, step = 0, CHUNK if count is None else min(count, CHUNK)
        while start < self.preferences.rows and (count is None or len(found) < count):
            pairs, skipped = self.pairs(start, start + step, only=only)
            found += pairs
            reasons.update(row.reason for row in skipped)
            # Growing, so that a few pairs cost no chunk, and many bad rows before them no slice each.
            start, step = start + step, min(2 * step, CHUNK)
        if not found:
            counted = ", ".join(f"{number} {reason}" for reason, number in reasons.most_common())
            name, rows = self.preferences.source.name, self.preferences.rows if only is None else len(only)
            raise SepoError(
                f"no pair of {rows:,} rows of {name} can be used: {counted}",
                "docs/datasets.md explains the reasons; --max-length and --truncate decide about long ones",
            )
        return found[:count]


def _number(row: Pair | SkippedRow) -> int:
    return row.source_row if isinstance(row, Pair) else row.row


def prepare(
    dataset: str,
    model: str,
    *,
    other: str | None = None,
    split: str | None,
    subset: str | None = None,
    limit: int | None,
    keep: Sequence[str] = (),
    max_length: int | None,
    truncate: Truncate | None,
    chat_template: Path | None,
    progress: Progress,
) -> Prepared:
    """Open `dataset` for the tokenizer of `model`, and tell how its first pair will be tokenized.

    Rows have to fit the context of `model`, and of the `other` model where there is one.
    """
    preferences = read_preferences(dataset, split=split, config=subset, keep=tuple(keep), limit=limit)
    configs = {name: load_config(name).get_text_config() for name in (model, other) if name is not None}
    prepared = Prepared(
        preferences,
        load_tokenizer(model, chat_template=chat_template),
        _fitting_length(configs, max_length),
        truncate,
        embeddings=min(config.vocab_size for config in configs.values()),
    )
    progress.note(f"{dataset}: {preferences.rows:,} rows, {preferences.shape.description}")
    first = prepared.sample(1)[0]
    progress.note("first pair: " + first_pair_text(first, prepared.tokenizer))
    return prepared


def first_pair_text(item: TokenizedPair, tokenizer: PreTrainedTokenizerBase) -> str:
    """A tokenized pair as text: the prompt, then each response between bars where its tokens begin and end."""
    prompt, chosen, rejected = (tokenizer.decode(ids) for ids in (item.prompt_ids, item.chosen_ids, item.rejected_ids))
    return (
        f"{len(item.prompt_ids)} + {len(item.chosen_ids)} | {len(item.rejected_ids)} tokens\n"
        f"  prompt   {prompt!r}\n  chosen   {chosen!r}\n  rejected {rejected!r}"
    )


def _fitting_length(configs: Mapping[str, PretrainedConfig], asked: int | None) -> int:
    contexts = {model: length for model, config in configs.items() if (length := context_length(config)) is not None}
    if asked is None:
        return min([MAX_LENGTH, *contexts.values()])
    for model, context in contexts.items():
        if asked > context:
            raise SepoError(
                f"--max-length {asked} exceeds the context of {model}, {context}",
                f"use at most {min(contexts.values())}",
            )
    return asked
