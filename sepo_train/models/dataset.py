"""What oracle and scoring share: a preference dataset, a tokenizer, and the pairs that come out of the two."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.console.progress import SILENT, Progress
from sepo_data.preferences.preferences import read_preferences
from sepo_data.tokenization.tokenized_dataset import Prepared
from sepo_train.models.files import fitting_length, load_config, load_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from sepo_data.preferences.reading import Reading
    from sepo_data.tokenization.tokenize import TokenizedPair, Truncate

__all__ = ["Prepared", "first_pair_text", "prepare"]


def prepare(
    reading: Reading | str,
    model: str,
    *,
    other: str | None = None,
    max_length: int | None = None,
    truncate: Truncate | None = None,
    chat_template: Path | None = None,
    progress: Progress = SILENT,
) -> Prepared:
    """Open a dataset for the tokenizer of `model`, and tell how its first pair will be tokenized.

    Rows have to fit the context of `model`, and of the `other` model where there is one.
    """
    preferences = read_preferences(reading)
    configs = {name: load_config(name).get_text_config() for name in (model, other) if name is not None}
    prepared = Prepared(
        preferences,
        load_tokenizer(model, chat_template=chat_template),
        fitting_length(configs, max_length),
        truncate,
        embeddings=min(config.vocab_size for config in configs.values()),
    )
    progress.note(f"{preferences.source.name}: {preferences.rows:,} rows, {preferences.description}")
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
