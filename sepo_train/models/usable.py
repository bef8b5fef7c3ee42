"""Configurations that no language model can be built from, found in their JSON before anything is allocated."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, TypeGuard

from sepo_data.console.text import listed
from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

MOST_PARTS = 100_000
"""Most layers, heads, experts or labels. The deepest models have hundreds of layers; Doge has 16,384 experts."""

LARGEST_SIZE = 100_000_000
"""The largest vocabulary or vector. Those in use have six digits."""

LARGEST_FILE = 2**23
"""Bytes of a configuration."""

DAMAGED = "the file is damaged or was edited; download or save the model again"
CAUSAL = "name a causal language model, such as a LlamaForCausalLM"

_ESSENTIAL = re.compile(r"vocab_size|hidden_size|n_embd|d_model|(num_hidden_|n_)layers?|(num_attention_|n_)heads?")
_PARTS = re.compile(
    r"(^|_)(n|num)_(\w+_)?(layers?|heads?|experts?|blocks?|groups?|codebooks?|labels?)(_|$)|(^|_)(layers|heads|depths?)$"
)
_SIZES = re.compile(r"(vocab|hidden|intermediate|embedding|ffn|head|state|inner|expert|proj)_(size|dim)$|^n_embd$|^d_")


def read_json(file: Path) -> object:
    """The JSON value in the configuration `file` of a model."""
    try:
        if file.stat().st_size > LARGEST_FILE:
            raise ValueError(f"{file.stat().st_size:,} bytes are too many for a configuration")  # noqa: TRY301
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise SepoError(f"{file} cannot be read as JSON: {error}", DAMAGED) from error


def as_object(value: object, owner: str, file: str) -> dict[str, Any]:
    """`value`, the content of `file` of `owner`, if it is a JSON object; raises otherwise."""
    if not isinstance(value, dict):
        raise SepoError(f"cannot load {owner}: its {file} holds no JSON object", DAMAGED)
    return value


def check_sizes(name: str, config: Mapping[str, Any]) -> None:
    """Raise if the config.json of the model `name` has a size that no model has.

    How sizes fit together is left to the library that builds the model. These are the ones over which it would run out
    of time or memory first.
    """
    for key, value in _numbers(config):
        most = MOST_PARTS if _PARTS.search(key) else LARGEST_SIZE if _SIZES.search(key) else None
        if _ESSENTIAL.fullmatch(key) and not value > 0:
            raise SepoError(f"cannot load {name}: {key} in its config.json is {_digits(value)}", DAMAGED)
        if most is not None and not value <= most:
            raise SepoError(
                f"cannot load {name}: {key} in its config.json is {_digits(value)}, more than any model has", DAMAGED
            )


def check_causal(name: str, config: Mapping[str, Any]) -> None:
    """Raise if `config`, a JSON object, describes another kind of model than a causal language model.

    From many of these transformers would build one all the same: without the head of a classifier, without the encoder
    of an encoder-decoder, or with attention to the very tokens that are to be predicted.
    """
    if "AutoModelForCausalLM" in _object(config, "auto_map"):
        return  # code of its own, of which nothing is known here
    if kind := _other_kind(config):
        raise SepoError(f"{name} is {kind}, not a causal language model", CAUSAL)


def _other_kind(config: Mapping[str, Any]) -> str | None:
    """The kind of model that `config` describes, in words; None for a causal language model and for an unknown one."""
    from transformers import CONFIG_MAPPING
    from transformers.utils.import_utils import is_torch_available

    model_type, found = config.get("model_type"), config.get("architectures")
    classes = [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
    named = listed(classes) if classes else str(model_type)
    if config.get("is_encoder_decoder") is True:
        return f"an encoder-decoder ({named})"
    if not isinstance(model_type, str) or model_type not in CONFIG_MAPPING or not is_torch_available():
        return None  # transformers names unknown types; without torch it has no list of classes
    from transformers.models.auto import modeling_auto

    causal = modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    if model_type not in causal:
        senses = [sense for sense in ("vision", "audio") if f"{sense}_config" in config]
        return f"a model {f'of text and {listed(senses)} ' if senses else ''}of the type {model_type}"
    if classes and not any(_is_causal(each, config, causal) for each in classes):
        return f"a {named}"
    is_decoder = config.get("is_decoder") or config.get("causal")
    if model_type in modeling_auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES and not is_decoder:
        return f"an encoder ({model_type} without is_decoder)"
    parts = (config, _object(config, "text_config"))
    ahead = any(part.get("is_causal") is False for part in parts)
    ahead |= any(part.get("use_bidirectional_attention") in (True, "all") for part in parts)
    return f"a {named} that attends to the tokens that follow" if ahead else None


def _is_causal(architecture: str, config: Mapping[str, Any], causal: Mapping[str, Any]) -> bool:
    """True for the name of a class with the head of a causal language model.

    Of a multimodal model with a text part, transformers takes that part.
    """
    multimodal = "text_config" in config and architecture.endswith("ForConditionalGeneration")
    return multimodal or architecture in causal.values() or bool(re.search(r"CausalLM|LMHead", architecture))


def _numbers(config: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    """The numbers in `config` and the objects in it, each with its key."""
    waiting: list[tuple[str, object]] = [*config.items()]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.items()
        elif isinstance(value, list):
            waiting += ((key, item) for item in value)
        elif is_number(value):
            yield key, value


def is_number(value: object) -> TypeGuard[float]:
    """True for a number of JSON."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _object(config: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = config.get(key)
    return value if isinstance(value, dict) else {}


def _digits(value: float) -> str:
    """A number, cut off where it is longer than a line."""
    return f"{value:,.60}" if isinstance(value, float) else f"{value:,}"[:60]
