"""Load models, and say exactly which ones they and their tokenizers were."""

from __future__ import annotations

import hashlib
import json
import os
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils.memory import should_reduce_batch_size
from transformers import AutoModelForCausalLM

from sepo_data.errors import SepoError
from sepo_data.schemas.manifest import ModelRecord, TokenizerRecord
from sepo_data.storage.file_digest import file_digest
from sepo_train.models.files import (
    ADAPTER,
    adapter_base,
    context_length,
    explained,
    load_config,
    load_tokenizer,
    resolve,
    revision,
)

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

__all__ = [
    "adapter_base",
    "check_same_vocabulary",
    "context_length",
    "default_device",
    "default_dtype",
    "load_config",
    "load_model",
    "load_tokenizer",
    "model_record",
    "resolve",
    "tokenizer_record",
]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def default_device() -> torch.device:
    """The accelerator of this process, of several that were started together its own, or the CPU."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is None:
        return torch.device("cpu")
    return torch.device(accelerator.type, int(os.environ.get("LOCAL_RANK", "0")) % torch.accelerator.device_count())


def default_dtype() -> str:
    """fp32 on CPUs, bf16 on accelerators."""
    return "float32" if default_device().type == "cpu" else "bfloat16"


def is_out_of_memory(error: Exception) -> bool:
    """Whether an allocation failed, on any device."""
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or bool(should_reduce_batch_size(error))


def load_model(name: str, *, dtype: str) -> PreTrainedModel:
    """Load a causal language model in evaluation mode: a folder (also of a LoRA adapter), a Hub id or a GGUF file."""
    base = adapter_base(name)
    pinned = {"revision": revision(base or name), "adapter_kwargs": {"revision": revision(name)} if base else None}
    with explained(name):
        try:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                resolve(name),
                dtype=DTYPES[dtype],
                device_map=default_device(),
                use_safetensors=True,
                output_loading_info=True,
                **pinned,
            )
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise SepoError(
                f"{name} in {dtype} does not fit into the memory that is left",
                "use a smaller --dtype or --resident one",
            ) from error
    model: PreTrainedModel
    model, loading = loaded
    if missing := sorted(loading["missing_keys"]):
        # transformers fills them with random numbers.
        raise SepoError(
            f"{name} lacks {len(missing)} weights of a {type(model).__name__}, such as {missing[0]}",
            "it may have been saved without its output head; a causal language model is needed",
        )
    return model.eval()


def model_record(name: str) -> ModelRecord:
    """A model's identity: the hash of its weight files, or the commit of its Hub repository; a LoRA's base included."""
    with explained(name), torch.device("meta"):
        parameters = AutoModelForCausalLM.from_config(load_config(name)).num_parameters()
    commit = revision(name)
    weights = _folder_hash(Path(resolve(name))) if commit is None else f"hub:{commit}"
    if base := adapter_base(name):
        weights = _sha256(weights + model_record(base).weights)
    return ModelRecord(name=name, revision=commit, weights=weights, parameters=parameters)


def tokenizer_record(tokenizer: PreTrainedTokenizerBase) -> TokenizerRecord:
    """A tokenizer's identity: what it does to text, whatever file it came from."""
    special = json.dumps([str(tokenizer.bos_token), str(tokenizer.eos_token)])
    template = tokenizer.chat_template
    return TokenizerRecord(
        name=tokenizer.name_or_path,
        tokenizer=_sha256(tokenizer.backend_tokenizer.to_str() + special),
        chat_template=None if template is None else _sha256(json.dumps(template)),
        vocabulary=len(tokenizer),
    )


def check_same_vocabulary(
    first: PreTrainedTokenizerBase, second: PreTrainedTokenizerBase, *, roles: tuple[str, str]
) -> None:
    """Raise where two tokenizers give a token different ids, naming the first that differs."""
    ours, theirs = first.get_vocab(), second.get_vocab()
    if ours == theirs:
        return
    differing = [token for token in ours.keys() | theirs.keys() if ours.get(token) != theirs.get(token)]
    token = min(differing, key=lambda token: (ours.get(token, len(ours)), token))
    raise SepoError(
        f"{roles[0]} ({first.name_or_path}, {len(ours)} tokens) and {roles[1]} ({second.name_or_path}, "
        f"{len(theirs)} tokens) have different vocabularies: {len(differing)} tokens differ, the first is {token!r} "
        f"({ours.get(token)} and {theirs.get(token)})",
        f"token rewards need one vocabulary: choose {roles[0]} and {roles[1]} from one model family",
    )


_CONVERSATION = [
    {"role": "user", "content": "What is next?"},
    {"role": "assistant", "content": "This."},
    {"role": "user", "content": "And then?"},
]


def template_difference(first: PreTrainedTokenizerBase, second: PreTrainedTokenizerBase) -> str | None:
    """Where the chat templates of two tokenizers first render a conversation otherwise; None where they do not."""
    if first.chat_template == second.chat_template:
        return None
    ours, theirs = map(_rendered, (first, second))
    if ours == theirs:
        return None
    at = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(ours, theirs, strict=False)))
    return f"{ours[at : at + 40]!r} for {theirs[at : at + 40]!r}, after {ours[max(0, at - 20) : at]!r}"


def _rendered(tokenizer: PreTrainedTokenizerBase) -> str:
    if not tokenizer.chat_template:
        return ""
    try:
        return str(tokenizer.apply_chat_template(_CONVERSATION, tokenize=False, add_generation_prompt=True))
    except Exception as error:  # noqa: BLE001 - a template is a program of somebody else's
        return f"no conversation ({type(error).__name__}: {error})"


def _folder_hash(folder: Path) -> str:
    """SHA-256 over the weight files and configurations in `folder`."""
    files = sorted(path for path in folder.iterdir() if path.suffix == ".safetensors" or path.name in _CONFIGS)
    if not any(path.suffix == ".safetensors" for path in files):
        raise SepoError(
            f"{folder} holds no .safetensors weights",
            "pickled weights are not loaded; convert them with save_pretrained(safe_serialization=True)",
        )
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.name}:{file_digest(path)}\n".encode())
    return total.hexdigest()


_CONFIGS = frozenset({"config.json", ADAPTER})


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
