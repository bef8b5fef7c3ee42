"""Weight files, read as far as their headers: are they whole, and can they hold the model of a configuration?"""

from __future__ import annotations

import json
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError, safe_open
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from transformers import PretrainedConfig

AGAIN = "download or save the model again"

SPARE = 2
"""A model may have so many times the parameters in its files: some are computed when it is built, not stored."""

SPARE_BUFFERS = 2**28
"""Values that a model of any size may compute when it is built: masks, tables of positions."""

_FLOATS = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})

_PACKED = {f"{sign}{bits}": bits for sign in "IU" for bits in (8, 16, 32, 64)}
"""Parameters that an integer may hold in a quantized model: one a bit."""


@dataclass(frozen=True, slots=True)
class Held:
    """Content of weight files.

    Attributes:
        names: of the tensors.
        parameters: the most that can be in them.
        longest: the largest dimension of any.
        packed: names of the weights that are no floating-point numbers.
    """

    names: frozenset[str]
    parameters: int
    longest: int
    packed: frozenset[str] = frozenset()


def held_weights(files: Iterable[Path]) -> Held:
    """Read the headers of weight files.

    Raises:
        SepoError: one is damaged.
    """
    found: dict[str, tuple[str, list[int]]] = {}
    for file in files:
        try:
            with safe_open(file, framework="np") as weights:
                tensors = {name: weights.get_slice(name) for name in weights.keys()}  # noqa: SIM118 - it is no mapping
                found |= {name: (tensor.get_dtype(), tensor.get_shape()) for name, tensor in tensors.items()}
        except (SafetensorError, OSError, ValueError) as error:
            raise SepoError(f"cannot load {file.parent}: {file.name} is damaged ({error})", AGAIN) from error
    return Held(
        frozenset(found),
        sum(prod(shape) * _PACKED.get(dtype, 1) for dtype, shape in found.values()),
        max((length for _, shape in found.values() for length in shape), default=0),
        frozenset(name for name, (dtype, _) in found.items() if dtype not in _FLOATS and name.endswith("weight")),
    )


def weight_files(folder: Path, explicit: object = None) -> list[Path]:
    """The files with the weights of the model in `folder`.

    Args:
        folder: of a complete model.
        explicit: what its config.json has as `transformers_weights`, the name of the first file.

    Raises:
        SepoError: there are none, or a file is missing or outside of the folder; pickled weights do not count.
    """
    names = [explicit] if isinstance(explicit, str) else [SAFE_WEIGHTS_NAME, SAFE_WEIGHTS_INDEX_NAME]
    first = next((folder / name for name in names if (folder / name).is_file()), None)
    if first is None:
        raise SepoError(
            f"{folder} holds no .safetensors weights ({' or '.join(names)})",
            "pickled weights are not loaded; convert them with save_pretrained(safe_serialization=True)",
        )
    if first.suffix == ".safetensors":
        return [first]
    try:
        shards = sorted(set(json.loads(first.read_text("utf-8"))["weight_map"].values()))
        outside = [shard for shard in shards if not shard or Path(shard).name != shard]
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise SepoError(
            f"cannot load {folder}: {first.name} is damaged ({type(error).__name__}: {error})", AGAIN
        ) from error
    if outside:
        raise SepoError(f"cannot load {folder}: {first.name} names {outside[0]!r}, a file outside of the folder", AGAIN)
    if missing := [shard for shard in shards if not (folder / shard).is_file()]:
        raise SepoError(f"{folder} lacks {missing[0]}, one of {len(shards)} files with its weights", AGAIN)
    return [folder / shard for shard in shards]


def parameters_within(
    name: str,
    config: PretrainedConfig,
    auto_class: Any,  # noqa: ANN401 - an auto class of transformers
    held: Held | None,
    *,
    trust_remote_code: bool = False,
) -> int:
    """Parameters of the model `name`, built from `config` without memory for its weights.

    Args:
        name: of the model, for messages.
        config: its configuration.
        auto_class: what builds it.
        held: what its files hold; None if they are not here yet.
        trust_remote_code: run the code that comes with it.

    Raises:
        SepoError: the files cannot hold that many. What they lack transformers would allocate, and fill with random
            numbers.
    """
    layers = getattr(config.get_text_config(), "num_hidden_layers", 0)
    if held is not None and held.packed and getattr(config, "quantization_config", None) is None:
        raise SepoError(
            f"{name} is quantized in a way that its config.json does not tell: {min(held.packed)} holds whole numbers",
            "name the model as it was before it was quantized, or one that has a quantization_config",
        )
    if held is not None and isinstance(layers, int) and layers > len(held.names):
        _refuse(name, f"{layers:,} layers", f"{len(held.names):,} tensors")
    import torch

    with torch.device("meta"):
        model = auto_class.from_config(config, trust_remote_code=trust_remote_code)
    parameters = int(model.num_parameters())
    if held is not None:
        if parameters > SPARE * held.parameters:
            _refuse(name, f"{parameters:,} parameters", f"at most {held.parameters:,}")
        computed = sum(buffer.numel() for buffer in model.buffers())
        if computed > SPARE * held.parameters + SPARE_BUFFERS:
            _refuse(name, f"tables of {computed:,} numbers beside its parameters", f"at most {held.parameters:,}")
    return parameters


def _refuse(name: str, asked: str, held: str) -> None:
    raise SepoError(
        f"cannot load {name}: by its config.json it has {asked}, but its files hold {held}",
        "the config.json belongs to another model, or the files are incomplete; download the model again",
    )
