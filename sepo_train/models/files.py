"""Find the files of a model and read its configuration. Nothing here needs torch."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from pathlib import Path
from traceback import walk_tb
from typing import TYPE_CHECKING, Any

from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from transformers import AutoConfig
from transformers.utils.hub import cached_file, extract_commit_hash
from transformers.utils.peft_utils import find_adapter_config_file

from sepo_data.console.output import print_notes
from sepo_data.errors import HubError, SepoError, causes, is_failure
from sepo_data.storage.hub import explain, reach_model
from sepo_train.models.adapters import read_base
from sepo_train.models.device import is_out_of_memory
from sepo_train.models.gguf import is_gguf, safetensors_folder
from sepo_train.models.remote_code import check_kernels, is_refusal, refusal
from sepo_train.models.usable import as_object, check_causal, check_sizes, read_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from transformers import PretrainedConfig

CONFIG = "config.json"
ADAPTER = "adapter_config.json"

GIVE = "give a transformers folder with safetensors weights, a Hub id or a .gguf"

_PACKAGES = frozenset({"sepo_data", "sepo_train"})

_LONGEST_REASON = 5
"""Lines of an error of a library that are repeated."""

DEFAULT_MAX_LENGTH = 2048
"""Tokens of prompt and one response by default, if the context of the model has as many."""


def load_config(name: str, *, causal: bool = True, trust_remote_code: bool = False) -> PretrainedConfig:
    """The configuration of the text model `name`, or of the model that the adapter `name` belongs to.

    Raises:
        SepoError: it is not that of a model that can be built or, with `causal`, of a causal language model; or it
            needs code that comes with it, and `trust_remote_code` does not allow to run it.
    """
    model = adapter_base(name) or name
    config = read_config(model_file(model, CONFIG), model)
    if not trust_remote_code:
        check_kernels(model, config)
    if causal:
        check_causal(model, config)
    with model_errors(model):
        return AutoConfig.from_pretrained(resolve(model), revision=revision(model), trust_remote_code=trust_remote_code)


def check_own_config(name: str) -> None:
    """Raise if the config.json beside the tokenizer of `name` cannot be used: transformers reads it if there is one."""
    if (file := find_file(name, CONFIG)) is not None:
        read_config(file, name)


def read_config(file: Path, name: str) -> dict[str, Any]:
    """The JSON object in `file`, the config.json of the model `name`; raises where a size in it is absurd."""
    config = as_object(read_json(file), name, CONFIG)
    check_sizes(name, config)
    return config


def model_file(name: str, part: str) -> Path:
    """The file `part` of the model `name`."""
    if (file := find_file(name, part)) is None:
        raise SepoError(f"cannot load {name}: it has no {part}", GIVE)
    return file


def find_file(name: str, part: str) -> Path | None:
    """The file `part` of the model `name`, if it has one."""
    with model_errors(name):
        file = cached_file(resolve(name), part, revision=revision(name), _raise_exceptions_for_missing_entries=False)
    return None if file is None else Path(file)


def resolve(name: str) -> str:
    """The argument under which transformers loads `name`: a folder (of converted weights for a GGUF file) or a Hub id.

    Folders are absolute, because a LoRA adapter records its base model by this name.
    """
    if is_gguf(name):
        return str(safetensors_folder(Path(name)).resolve())
    if Path(name).is_file():
        raise SepoError(f"the model {name} is a file", "give the folder that it is in, a Hub id or a .gguf file")
    return str(Path(name).resolve()) if Path(name).is_dir() else name


def revision(name: str) -> str | None:
    """The commit of `name` on the Hub, the same one until this process ends; None for a folder."""
    return None if Path(resolve(name)).is_dir() else _commit(name)


@cache
def _commit(name: str) -> str:
    if reason := reach_model(name):
        print_notes([reason])
    with model_errors(name):
        file = find_adapter_config_file(name) or cached_file(name, "config.json")
    if (commit := extract_commit_hash(file, None)) is None:
        raise SepoError(f"the revision of {name} on the Hub is unknown", "download it, and give the folder")
    return str(commit)


def adapter_base(name: str) -> str | None:
    """The model that the LoRA adapter `name` belongs to; None if `name` is a complete model."""
    if (file := _adapter_file(name)) is None:
        return None
    base = read_base(name, Path(file))
    try:
        stacked = _adapter_file(base) is not None
    except SepoError as error:
        raise type(error)(f"{error} (the base model of the adapter {name})", error.hint) from error
    if stacked:
        raise SepoError(
            f"{base}, the base model of the adapter {name}, is an adapter itself", "merge it into its base model first"
        )
    return base


def _adapter_file(name: str) -> str | None:
    with model_errors(name):
        return find_adapter_config_file(resolve(name), revision=revision(name))


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
    """Turn the errors of loading the model `name` into one sentence and a hint.

    Of whatever class they are: what is wrong with a model shows anywhere in the libraries that load it. So nothing but
    calls of these belongs under it.
    """
    try:
        yield
    except SepoError:
        raise
    except BaseException as error:
        if not is_failure(error):
            raise
        chain = list(causes(error))
        if any(map(is_refusal, chain)):
            raise refusal(name, resolve(name), revision(name)) from error
        if any(isinstance(cause, HFValidationError) for cause in chain):
            raise SepoError(f"{name} is neither a local folder nor the id of a model on the Hub", GIVE) from error
        if not Path(name).exists() and (explained := explain(error, name, "model")) is not None:
            raise HubError(f"{name} is no local folder, and {explained}", explained.hint) from None
        if any(isinstance(cause, HfHubHTTPError | LocalEntryNotFoundError) for cause in chain):
            raise HubError(
                f"model {name} is neither a local folder nor was it found on the Hub",
                "check the spelling; for a private or gated model log in with `hf auth login` or set HF_TOKEN",
            ) from error
        raise SepoError(
            f"cannot load {name}: {_reason(error)}",
            GIVE,
        ) from error


@contextmanager
def library_errors(what: str, hint: str) -> Iterator[None]:
    """Turn an error that a library raises within the block into `what`, a sentence that says what failed, and a hint.

    The library's own sentence follows. What sepo's own code raises is a bug and keeps its traceback; an exhausted
    memory is left to the callers that can do with less.
    """
    try:
        yield
    except SepoError:
        raise
    except BaseException as error:
        if not isinstance(error, Exception) or _is_our_own(error) or is_out_of_memory(error):
            raise
        raise SepoError(f"{what}: {_reason(error)}", hint) from error


def _is_our_own(error: BaseException) -> bool:
    """True if it was raised in sepo's own code, not in that of a library or a model."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return bool(frames) and frames[-1].f_globals.get("__name__", "").partition(".")[0] in _PACKAGES


def _reason(error: BaseException) -> str:
    """The first sentence of an error's message, after the name of its class where it says too little without."""
    lines = [stripped for line in str(error).splitlines() if (stripped := line.strip())][:_LONGEST_REASON]
    last = 0
    if lines and lines[0].endswith(":"):  # what follows is a list, or the error itself
        last = next((place for place, line in enumerate(lines) if line.endswith(".")), len(lines) - 1)
    text = " ".join(lines[: last + 1])
    plain = type(error).__module__ != "builtins" or isinstance(error, OSError | ValueError | RuntimeError | ImportError)
    return text if text and plain else f"{type(error).__name__}: {text}".removesuffix(": ")
