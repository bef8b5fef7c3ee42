"""Open a preference dataset with the tokenizer of a model; for the oracle, scoring and evaluation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sepo_data.console.progress import SILENT, Progress
from sepo_data.preferences.preferences import read_preferences
from sepo_data.preferences.unread import unread_line
from sepo_data.tokenization.tokenized_dataset import TokenizedDataset
from sepo_train.models.files import fitting_length, load_config
from sepo_train.models.tokenizers import load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator
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
    chat_template: str | Path | None = None,
    rendered_by: PreTrainedTokenizerBase | None = None,
    template_date: str | None = None,
    trust_remote_code: bool = False,
    progress: Progress = SILENT,
) -> TokenizedDataset:
    """Open a dataset for the tokenizer of `model`, and print its description, its unread columns and its first pair.

    Args:
        reading: the dataset.
        model: folder, GGUF file or Hub name of a model.
        other: a second model whose context has to hold the pairs, and whose embeddings their ids.
        max_length: tokens of prompt and one response; by default what the contexts hold, at most.
        truncate: cut longer pairs instead of skipping them.
        chat_template: file with another chat template.
        rendered_by: a tokenizer whose chat template is used instead, such as that of an earlier stage.
        template_date: day, as YYYY-MM-DD, that the chat template takes for today; by default the day it is.
        trust_remote_code: run the code that comes with a model or a tokenizer.
        progress: where the notes go.
    """
    preferences = read_preferences(reading)
    configs = {
        name: load_config(name, trust_remote_code=trust_remote_code).get_text_config()
        for name in (model, other)
        if name is not None
    }
    tokenizer = load_tokenizer(
        model, chat_template=chat_template, template_date=template_date, trust_remote_code=trust_remote_code
    )
    if rendered_by is not None:
        tokenizer.chat_template = rendered_by.chat_template
    dataset = TokenizedDataset(
        preferences,
        tokenizer,
        fitting_length(configs, max_length),
        truncate,
        embeddings=min(config.vocab_size for config in configs.values()),
    )
    progress.note(f"{preferences.source.name}: {preferences.rows:,} rows, {preferences.description}")
    if preferences.unread:
        progress.note(unread_line(preferences.unread))
    first = dataset.sample(1)[0]
    for line in pair_lines(first, dataset.tokenizer):
        progress.note(line)
    return dataset


def pair_lines(item: TokenizedPair, tokenizer: PreTrainedTokenizerBase) -> Iterator[str]:
    """A tokenized pair as lines: the token counts, then prompt and responses, decoded."""
    ids = {"prompt": item.prompt_ids, "chosen": item.chosen_ids, "rejected": item.rejected_ids}
    yield f"first pair: {', '.join(f'{part} {len(of_part)}' for part, of_part in ids.items())} tokens"
    for part, of_part in ids.items():
        yield f"  {part:<8} {tokenizer.decode(of_part)!r}"
