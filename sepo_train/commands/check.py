"""`sepo check`: a preference dataset's shape, lengths and problems."""

from __future__ import annotations

import sys
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from sepo_data.commands.grouped_help import MODELS
from sepo_data.commands.options import (
    AsJson,
    ChatTemplate,
    MaxLength,
    NoProgress,
    OnBadRows,
    Quiet,
    TemplateDate,
    option,
)
from sepo_data.commands.reading_options import reads_preferences, typed_reading
from sepo_data.commands.session import session
from sepo_data.console.output import print_json, print_lines, print_notes
from sepo_data.errors import SepoError
from sepo_train.commands.model_options import TrustRemoteCode
from sepo_train.commands.typed_command import typed_options

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

    from sepo_data.preferences.reading import Reading

EXAMPLES = (
    "sepo check prefs.jsonl",
    "sepo check user/dataset --split train --tokenizer HuggingFaceTB/SmolLM2-135M-Instruct --max-length 1024",
    "sepo check pairs.csv --columns chosen=response_j,rejected=response_k,prompt=question --json",
)


@reads_preferences
def run(
    reading: Reading,
    on_bad_row: OnBadRows = "skip",
    tokenizer: Annotated[
        str | None,
        option(MODELS, metavar="MODEL", help="tokenize as for this model: a folder, a Hub id or a .gguf file"),
    ] = None,
    max_length: MaxLength = None,
    chat_template: ChatTemplate = None,
    template_date: TemplateDate = None,
    trust_remote_code: TrustRemoteCode = False,
    json: AsJson = False,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
) -> None:
    """Report the shape of a preference dataset and its problems.

    One pair as a model sees it, lengths, rows that would be skipped and the reasons, duplicates. No weights are
    loaded. Without --tokenizer, lengths are in characters.
    """
    if tokenizer is None and (max_length or chat_template or template_date or trust_remote_code):
        raise typer.BadParameter(
            "--max-length, --chat-template, --template-date and --trust-remote-code need a --tokenizer"
        )
    with session(quiet=quiet, no_progress=no_progress, after_interrupt="nothing was written") as terminal:
        from sepo_data.analysis.check import check
        from sepo_data.analysis.check_report import check_lines
        from sepo_data.storage.hub import reach_model
        from sepo_data.tokenization.template_date import set_template_date

        loaded = None
        model = typed_options(
            ref=tokenizer or "MODEL",
            max_length=max_length,
            chat_template=chat_template,
            template_date=template_date,
            trust_remote_code=trust_remote_code,
        )
        if tokenizer is not None:
            reach_model(tokenizer)
            # A GGUF file that was never used before is converted first, by torch; code of a model may import it, too.
            hidden = nullcontext() if tokenizer.endswith(".gguf") or trust_remote_code else _without_torch()
            with hidden:
                loaded, max_length = _load_tokenizer(tokenizer, max_length, chat_template, trust_remote_code)
                set_template_date(loaded, template_date)
        found = check(reading, tokenizer=loaded, max_length=max_length, on_bad_row=on_bad_row, progress=terminal)
    following = [f"next: sepo oracle {typed_reading(reading)} {model} --out oracle/"]
    notes = following if found["usable"] and not quiet else []
    if json:
        print_notes(notes)  # on a terminal, too, the JSON is the last line
        print_json(found)
    else:
        print_lines(check_lines(found))
        print_notes(notes)
    if not found["usable"]:
        raise SepoError(f"no pair of the {found['rows']:,} rows can be used", "docs/datasets.md explains the reasons")


@contextmanager
def _without_torch() -> Iterator[None]:
    """Hide torch from transformers, which imports it wherever it is installed and needs none for a tokenizer.

    A second instead of five. This process has to be the command's own: transformers, once imported, takes torch for
    not installed until the process ends. So nothing in the library does this. No longer than the tokenizer is loaded:
    `datasets`, which reads from the Hub, asks for torch otherwise, and fails where it is hidden.
    """
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]  # what makes `import torch` raise ImportError
    try:
        yield
    finally:
        del sys.modules["torch"]


def _load_tokenizer(
    model: str, max_length: int | None, chat_template: Path | None, trust: bool
) -> tuple[PreTrainedTokenizerBase, int]:
    """Load the tokenizer of `model`, and return with it the most tokens that fit the model."""
    from sepo_train.models.files import fitting_length, load_config
    from sepo_train.models.tokenizers import load_tokenizer

    loaded = load_tokenizer(model, chat_template=chat_template, trust_remote_code=trust)
    return loaded, fitting_length({model: load_config(model, trust_remote_code=trust)}, max_length)
