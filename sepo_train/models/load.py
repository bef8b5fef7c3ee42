"""Load models, and record their identity."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM

from sepo_data.errors import SepoError
from sepo_data.schemas.manifest import ModelRecord
from sepo_data.storage.cache import file_sha256
from sepo_train.models.device import default_device, is_out_of_memory, torch_dtype
from sepo_train.models.files import ADAPTER, adapter_base, load_config, model_errors, resolve, revision

if TYPE_CHECKING:
    from collections.abc import Mapping

    from transformers import PreTrainedModel

    from sepo_train.models.device import Dtype

_CONFIGS = frozenset({"config.json", ADAPTER})


def load_model(name: str, *, dtype: Dtype) -> PreTrainedModel:
    """Load a causal language model in evaluation mode: a folder (also of a LoRA adapter), a Hub id or a GGUF file.

    Raises:
        SepoError: there is no such model, its weights are incomplete, damaged or pickled, or memory is too small.
    """
    base = adapter_base(name)
    pinned = {"revision": revision(base or name), "adapter_kwargs": {"revision": revision(name)} if base else None}
    with model_errors(name):
        try:
            loaded: Any = AutoModelForCausalLM.from_pretrained(
                resolve(name),
                dtype=torch_dtype(dtype),
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
                "use a smaller --dtype or --models-in-memory 1",
            ) from error
    model: PreTrainedModel
    model, loading = loaded
    check_no_weights_missing(
        name, model, loading, hint="it may have been saved without its output head; a causal language model is needed"
    )
    return model.eval()


def check_no_weights_missing(name: str, model: PreTrainedModel, loading: Mapping[str, Any], *, hint: str) -> None:
    """Raise if weights were missing in the files of `model`: transformers fills them with random numbers.

    Args:
        name: of the model, for the message.
        model: as it was loaded.
        loading: what `from_pretrained(output_loading_info=True)` reports.
        hint: how to mend it.
    """
    if missing := sorted(loading["missing_keys"]):
        raise SepoError(f"{name} lacks {len(missing)} weights of a {type(model).__name__}, such as {missing[0]}", hint)


def model_record(name: str) -> ModelRecord:
    """A model's identity: the hash of its weight files, or the commit of its Hub repository; a LoRA's base included."""
    with model_errors(name), torch.device("meta"):
        parameters = AutoModelForCausalLM.from_config(load_config(name)).num_parameters()
    commit = revision(name)
    weights = _folder_hash(Path(resolve(name))) if commit is None else f"hub:{commit}"
    if base := adapter_base(name):
        weights = hashlib.sha256(f"{weights}{model_record(base).weights}".encode()).hexdigest()
    return ModelRecord(name=name, revision=commit, weights=weights, parameters=parameters)


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
        total.update(f"{path.name}:{file_sha256(path)}\n".encode())
    return total.hexdigest()
