"""What a model comes with besides its weights: configuration and tokenizer. Nothing here needs torch."""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoTokenizer
from transformers.utils.hub import cached_file, extract_commit_hash
from transformers.utils.peft_utils import find_adapter_config_file

from sepo_data.errors import HubError, SepoError
from sepo_train.models.gguf import is_gguf, safetensors_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from transformers import PretrainedConfig, PreTrainedTokenizerBase

ADAPTER = "adapter_config.json"

MAX_LENGTH = 2048
"""Tokens of prompt and one response where nobody says how many, and the model takes so many."""


def load_config(name: str) -> PretrainedConfig:
    """The configuration of the text model that `name` is, or is an adapter of."""
    whole = adapter_base(name) or name
    with explained(name):
        return AutoConfig.from_pretrained(resolve(whole), revision=revision(whole))


def load_tokenizer(name: str, *, chat_template: Path | None = None) -> PreTrainedTokenizerBase:
    """Load the tokenizer of `name`, with another chat template where one is given."""
    with explained(name):
        tokenizer = AutoTokenizer.from_pretrained(resolve(name), revision=revision(name))
    tokenizer.name_or_path = name
    if not tokenizer.is_fast:
        raise SepoError(f"{name} has no fast tokenizer (tokenizer.json)", "convert it once with save_pretrained()")
    if chat_template is not None:
        if not chat_template.exists():
            raise SepoError(f"the chat template {chat_template} does not exist", "give the path of a Jinja file")
        try:
            tokenizer.chat_template = chat_template.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SepoError(f"cannot read the chat template {chat_template}: {error}", "give a Jinja file") from error
    return tokenizer


def resolve(name: str) -> str:
    """What transformers can load for `name`: a folder (of converted weights for a GGUF file) or a Hub id.

    Folders are absolute, because a LoRA adapter remembers its base model by this name.
    """
    if is_gguf(name):
        return str(safetensors_folder(Path(name)).resolve())
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def revision(name: str) -> str | None:
    """The commit of `name` on the Hub that this process uses, whatever is pushed meanwhile; None for a folder."""
    return None if Path(resolve(name)).is_dir() else _commit(name)


@cache
def _commit(name: str) -> str:
    with explained(name):
        file = find_adapter_config_file(name) or cached_file(name, "config.json")
    if (commit := extract_commit_hash(file, None)) is None:
        raise SepoError(f"the revision of {name} on the Hub cannot be told", "download it, and give the folder")
    return str(commit)


def adapter_base(name: str) -> str | None:
    """The model that the LoRA adapter `name` belongs to; None where `name` is a whole model."""
    with explained(name):
        file = find_adapter_config_file(resolve(name), revision=revision(name))
    return None if file is None else str(json.loads(Path(file).read_text("utf-8"))["base_model_name_or_path"])


def context_length(config: PretrainedConfig) -> int | None:
    """How many positions the model was made for; None where it does not say."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    return positions if isinstance(positions, int) and positions > 0 else None


def fitting_length(configs: Mapping[str, PretrainedConfig], asked: int | None) -> int:
    """How many tokens prompt and one response may have: `asked`, or what fits every model in `configs`."""
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


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn the ways in which loading fails into one sentence and a hint."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        causes = list(_chain(error))
        if any(isinstance(cause, HfHubHTTPError | LocalEntryNotFoundError) for cause in causes):
            raise HubError(
                f"model {name} is neither a local folder nor was it found on the Hub",
                "check the spelling; for a private or gated model log in with `hf auth login` or set HF_TOKEN",
            ) from error
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise SepoError(
            f"cannot load {name}: {first}", "give a transformers folder with safetensors weights, a Hub id or a .gguf"
        ) from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: Any = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__
