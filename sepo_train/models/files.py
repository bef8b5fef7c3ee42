"""Find the files of a model and read its configuration. Nothing here needs torch."""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError
from transformers import AutoConfig
from transformers.utils.hub import cached_file, extract_commit_hash
from transformers.utils.peft_utils import find_adapter_config_file

from sepo_data.errors import HubError, SepoError, first_line
from sepo_train.models.gguf import is_gguf, safetensors_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from transformers import PretrainedConfig

ADAPTER = "adapter_config.json"

DEFAULT_MAX_LENGTH = 2048
"""Tokens of prompt and one response by default, if the context of the model has as many."""


def load_config(name: str) -> PretrainedConfig:
    """The configuration of the text model `name`, or of the model that the adapter `name` belongs to."""
    model = adapter_base(name) or name
    with model_errors(name):
        return AutoConfig.from_pretrained(resolve(model), revision=revision(model))


def resolve(name: str) -> str:
    """The argument under which transformers loads `name`: a folder (of converted weights for a GGUF file) or a Hub id.

    Folders are absolute, because a LoRA adapter records its base model by this name.
    """
    if is_gguf(name):
        return str(safetensors_folder(Path(name)).resolve())
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def revision(name: str) -> str | None:
    """The commit of `name` on the Hub, the same one until this process ends; None for a folder."""
    return None if Path(resolve(name)).is_dir() else _commit(name)


@cache
def _commit(name: str) -> str:
    with model_errors(name):
        file = find_adapter_config_file(name) or cached_file(name, "config.json")
    if (commit := extract_commit_hash(file, None)) is None:
        raise SepoError(f"the revision of {name} on the Hub is unknown", "download it, and give the folder")
    return str(commit)


def adapter_base(name: str) -> str | None:
    """The model that the LoRA adapter `name` belongs to; None if `name` is a complete model."""
    with model_errors(name):
        file = find_adapter_config_file(resolve(name), revision=revision(name))
    return None if file is None else str(json.loads(Path(file).read_text("utf-8"))["base_model_name_or_path"])


def context_length(config: PretrainedConfig) -> int | None:
    """Positions that the model was made for; None if its configuration has no number."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    return positions if isinstance(positions, int) and positions > 0 else None


def fitting_length(configs: Mapping[str, PretrainedConfig], asked: int | None) -> int:
    """Tokens that prompt and one response may have: `asked`, or by default what fits every model in `configs`."""
    contexts = {model: length for model, config in configs.items() if (length := context_length(config)) is not None}
    if asked is None:
        return min([DEFAULT_MAX_LENGTH, *contexts.values()])
    for model, context in contexts.items():
        if asked > context:
            raise SepoError(
                f"--max-length {asked} exceeds the context of {model}, {context}",
                f"use at most {min(contexts.values())}",
            )
    return asked


@contextmanager
def model_errors(name: str) -> Iterator[None]:
    """Turn the errors of loading the model `name` into one sentence and a hint."""
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        causes = list(_chain(error))
        if any(isinstance(cause, HfHubHTTPError | LocalEntryNotFoundError) for cause in causes):
            raise HubError(
                f"model {name} is neither a local folder nor was it found on the Hub",
                "check the spelling; for a private or gated model log in with `hf auth login` or set HF_TOKEN",
            ) from error
        raise SepoError(
            f"cannot load {name}: {first_line(error)}",
            "give a transformers folder with safetensors weights, a Hub id or a .gguf",
        ) from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: Any = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__
