"""Code that comes with a model, of its author or from elsewhere: refused, unless the user trusts it.

transformers gets `trust_remote_code` in every call, so that it never asks. What runs code in spite of that is found in
the configurations.
"""

from __future__ import annotations

from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers.utils.hub import cached_file

from sepo_data.console.text import listed
from sepo_data.errors import SepoError
from sepo_train.models.usable import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pydantic import JsonValue

FLAG = "--trust-remote-code"

READ_IT = f"read that code; if you trust its author, add {FLAG}"

_CONFIGS = ("config.json", "tokenizer_config.json")

_IMPLEMENTATIONS = ("attn_implementation", "experts_implementation")

_BUILT_IN = frozenset({"eager", "sdpa", "flex_attention", "grouped_mm", "batched_mm"})
"""Implementations that are part of transformers and torch."""

_BY_KERNEL = frozenset({"eetq", "fbgemm_fp8", "fp8", "metal", "mxfp4", "nvfp4"})
"""Methods of quantization for which transformers fetches kernels from the Hub, where the package is installed."""

_ADAPTER_CODE = {
    "megatron_config": "a Python module, {megatron_core}",
    "shadow_model": "a further model, {shadow_model}",
    "adapters": "further adapters",
}
"""Fields of an adapter_config.json for which PEFT imports or loads more than the adapter, and what that is."""


def trust_record(*, trust_remote_code: bool) -> dict[str, JsonValue]:
    """The entry of a manifest: none where no code was allowed to run, as in manifests of before."""
    return {"trust_remote_code": True} if trust_remote_code else {}


def check_kernels(name: str, config: Mapping[str, Any]) -> None:
    """Raise if `config`, the config.json of the model `name`, makes transformers run a kernel, which is compiled code.

    A name such as `org/kernel` is a repository on the Hub. Other implementations and methods that are not transformers'
    own are fetched from there, too, if the package `kernels` is installed and theirs is not.
    """
    fetched = find_spec("kernels") is not None
    for key, value in _settings(config):
        if key.endswith(_IMPLEMENTATIONS):
            kernel = value.removeprefix("paged|")
            if "/" in kernel or (fetched and kernel not in _BUILT_IN):
                raise _refusal(name, f"the kernel {kernel}, as {key} in its config.json says")
        if key == "quant_method" and fetched and value in _BY_KERNEL:
            raise _refusal(name, f"a kernel for its quantization, {value} in its config.json")


@contextmanager
def kernels_of_anyone(*, trust_remote_code: bool) -> Iterator[None]:
    """Build models with kernels of any publisher if `trust_remote_code`, not only of those that transformers knows."""
    if not trust_remote_code:
        yield
        return
    from transformers.integrations.hub_kernels import allow_all_hub_kernels

    with allow_all_hub_kernels():
        yield


def check_adapter_code(name: str, config: Mapping[str, Any]) -> None:
    """Raise if `config`, the adapter_config.json of the adapter `name`, makes PEFT load more than the adapter."""
    for key, meaning in _ADAPTER_CODE.items():
        if config.get(key) not in (None, "mirror"):  # of these, PEFT's own shadow of the model
            named = meaning.format_map({"megatron_core": config.get("megatron_core"), key: config[key]})
            raise _refusal(name, f"{named}, as {key} in its adapter_config.json says")


def is_refusal(error: BaseException) -> bool:
    """True for the error of transformers that says that a model needs code which it was not allowed to run."""
    return isinstance(error, ValueError) and "trust_remote_code" in str(error)


def refusal(name: str, folder: str, revision: str | None) -> SepoError:
    """The error for the model `name`, which needs code that nobody allowed.

    Args:
        name: of the model.
        folder: where transformers finds it: a folder, or its name on the Hub.
        revision: of it there.
    """
    files = [
        _file_of(reference)
        for config in _CONFIGS
        if (path := cached_file(folder, config, revision=revision, _raise_exceptions_for_missing_entries=False))
        for reference in _references(read_json(Path(path)))
    ]
    return _refusal(name, f"code of its own, {listed(list(dict.fromkeys(files)) or ['auto_map'])}")


def _refusal(name: str, code: str) -> SepoError:
    return SepoError(f"{name} needs {code}, which is not run unasked", READ_IT)


def _references(config: object) -> Iterator[str]:
    """The classes that `auto_map` in a configuration names: `module.Class` or `org/repository--module.Class`."""
    waiting = [config.get("auto_map") if isinstance(config, dict) else None]
    while waiting:
        value = waiting.pop(0)
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict | list):
            waiting += value.values() if isinstance(value, dict) else value


def _file_of(reference: str) -> str:
    repository, _, name = reference.rpartition("--")
    file = f"{name.rpartition('.')[0] or name}.py"
    return f"{repository}/{file}" if repository else file


def _settings(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The strings in a configuration and the objects in it; those of an implementation with its key, however deep."""
    waiting: list[tuple[str, object]] = [*config.items()]
    while waiting:
        key, value = waiting.pop()
        if isinstance(value, str):
            yield key, value
        elif isinstance(value, dict):
            waiting += ((key if key.endswith(_IMPLEMENTATIONS) else inner, each) for inner, each in value.items())
        elif isinstance(value, list):
            waiting += ((key, each) for each in value)
