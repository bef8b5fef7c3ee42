"""Load models and tokenizers, and say exactly which ones they were."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils.hub import cached_file, extract_commit_hash
from transformers.utils.peft_utils import find_adapter_config_file

from schemas.errors import HubError, SepoError
from schemas.manifest import ModelRecord, TokenizerRecord
from sepo_train.file_digest import file_digest
from sepo_train.gguf_cache import is_gguf, safetensors_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ADAPTER = "adapter_config.json"


def default_device() -> torch.device:
    """The accelerator of this process, of several that were started together its own, or the CPU."""
    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is None:
        return torch.device("cpu")
    return torch.device(accelerator.type, int(os.environ.get("LOCAL_RANK", "0")) % torch.accelerator.device_count())


def default_dtype() -> str:
    """fp32 on CPUs, bf16 on accelerators."""
    return "float32" if default_device().type == "cpu" else "bfloat16"


def load_model(name: str, *, dtype: str) -> PreTrainedModel:
    """Load a causal language model in evaluation mode: a folder (also of a LoRA adapter), a Hub id or a GGUF file."""
    with _explained(name):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            resolve(name),
            dtype=DTYPES[dtype],
            device_map=default_device(),
            use_safetensors=True,
            output_loading_info=True,
        )
    model: PreTrainedModel
    model, loading = loaded
    if missing := sorted(loading["missing_keys"]):
        # transformers fills them with random numbers.
        raise SepoError(
            f"{name} lacks {len(missing)} weights of a {type(model).__name__}, such as {missing[0]}",
            "it may have been saved without its output head; a causal language model is needed",
        )
    return model.eval()


def load_config(name: str) -> PretrainedConfig:
    """The configuration of the text model that `name` is, or is an adapter of."""
    folder = resolve(name)
    with _explained(name):
        return AutoConfig.from_pretrained(adapter_base(name) or folder)


def load_tokenizer(name: str, *, chat_template: Path | None = None) -> PreTrainedTokenizerBase:
    """Load the tokenizer of `name`, with another chat template where one is given."""
    folder = resolve(name)
    with _explained(name):
        tokenizer = AutoTokenizer.from_pretrained(folder)
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


def context_length(config: PretrainedConfig) -> int | None:
    """How many positions the model was made for; None where it does not say."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    return positions if isinstance(positions, int) and positions > 0 else None


def model_record(name: str) -> ModelRecord:
    """A model's identity: the hash of its weight files, or the commit of its Hub repository; a LoRA's base included."""
    folder = Path(resolve(name))
    with _explained(name), torch.device("meta"):
        parameters = AutoModelForCausalLM.from_config(load_config(name)).num_parameters()
    revision = None if folder.is_dir() else _hub_commit(name)
    weights = _folder_hash(folder) if revision is None else f"hub:{revision}"
    if base := adapter_base(name):
        weights = _sha256(weights + model_record(base).weights)
    return ModelRecord(name=name, revision=revision, weights=weights, parameters=parameters)


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


def adapter_base(name: str) -> str | None:
    """The model that the LoRA adapter `name` belongs to; None where `name` is a whole model."""
    with _explained(name):
        file = find_adapter_config_file(resolve(name))
    return None if file is None else str(json.loads(Path(file).read_text("utf-8"))["base_model_name_or_path"])


def _hub_commit(name: str) -> str:
    with _explained(name):
        commit = extract_commit_hash(cached_file(name, ADAPTER if adapter_base(name) else "config.json"), None)
    if commit is None:
        raise SepoError(f"the revision of {name} on the Hub cannot be told", "download it, and give the folder")
    return str(commit)


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


@contextmanager
def _explained(name: str) -> Iterator[None]:
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
        first = str(error).strip().splitlines()[0]
        raise SepoError(
            f"cannot load {name}: {first}", "give a transformers folder with safetensors weights, a Hub id or a .gguf"
        ) from error


def _chain(error: BaseException) -> Iterator[BaseException]:
    current: Any = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__
