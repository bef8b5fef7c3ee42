"""Open a preference dataset with the tokenizer of a model; for the oracle, scoring and evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.console.progress import SILENT, Progress
from sepo_data.preferences.preferences import read_preferences
from sepo_data.tokenization.tokenized_dataset import TokenizedDataset
from sepo_train.models.files import fitting_length, load_config
from sepo_train.models.tokenizers import load_tokenizer

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from sepo_data.preferences.reading import Reading
    from sepo_data.preferences.skipped import Truncate
    from sepo_data.tokenization.tokenize import TokenizedPair


def open_tokenized(
    reading: Reading | str,
    model: str,
    *,
    other: str | None = None,
    max_length: int | None = None,
    truncate: Truncate | None = None,
    chat_template: Path | None = None,
    progress: Progress = SILENT,
) -> TokenizedDataset:
    """Open a dataset for the tokenizer of `model`, and print its description and its first pair.

    Args:
        reading: the dataset.
        model: folder, GGUF file or Hub name of a model.
        other: a second model whose context has to hold the pairs, and whose embeddings their ids.
        max_length: tokens of prompt and one response; by default what the contexts hold, at most.
        truncate: cut longer pairs instead of skipping them.
        chat_template: file with another chat template.
        progress: where the notes go.
    """
    preferences = read_preferences(reading)
    configs = {name: load_config(name).get_text_config() for name in (model, other) if name is not None}
    dataset = TokenizedDataset(
        preferences,
        load_tokenizer(model, chat_template=chat_template),
        fitting_length(configs, max_length),
        truncate,
        embeddings=min(config.vocab_size for config in configs.values()),
    )
    progress.note(f"{preferences.source.name}: {preferences.rows:,} rows, {preferences.description}")
    first = dataset.sample(1)[0]
    progress.note("first pair: " + pair_text(first, dataset.tokenizer))
    return dataset


def pair_text(item: TokenizedPair, tokenizer: PreTrainedTokenizerBase) -> str:
    """A tokenized pair as text: the token counts, then prompt and responses, decoded."""
    prompt, chosen, rejected = (tokenizer.decode(ids) for ids in (item.prompt_ids, item.chosen_ids, item.rejected_ids))
    return (
        f"prompt {len(item.prompt_ids)}, chosen {len(item.chosen_ids)}, rejected {len(item.rejected_ids)} tokens\n"
        f"  prompt   {prompt!r}\n  chosen   {chosen!r}\n  rejected {rejected!r}"
    )
