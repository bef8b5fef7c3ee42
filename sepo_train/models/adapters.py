"""Adapters of PEFT, checked before they are built: their configuration, and whether their file can hold them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sepo_data.errors import SepoError
from sepo_train.models.usable import CAUSAL, as_object, is_number, read_json

if TYPE_CHECKING:
    from sepo_train.models.weights import Held

BASE = "base_model_name_or_path"

AGAIN = "save it again with peft's save_pretrained()"

_RANKS = ("r", "init_r", "target_r", "num_virtual_tokens", "encoder_hidden_size", "oft_block_size")
"""Fields that are a dimension of tensors in the file."""


_OUTSIDE = {
    "PROMPT_TUNING": "prompt-tuning",
    "MULTITASK_PROMPT_TUNING": "multitask-prompt-tuning",
    "P_TUNING": "p-tuning",
    "PREFIX_TUNING": "prefix-tuning",
    "CPT": "context-aware-prompt-tuning",
    "CARTRIDGE": "cartridge",
    "ADAPTION_PROMPT": "adaption-prompt",
    "XLORA": "X-LoRA",
    "POLY": "Poly",
    "SHADOW": "shadow",
}
"""Kinds that do not only change layers: PEFT adds tokens, or computes beside the model."""

_OTHER_TASKS = ("SEQ_CLS", "SEQ_2_SEQ_LM", "TOKEN_CLS", "QUESTION_ANS", "FEATURE_EXTRACTION")


def read_base(name: str, file: Path) -> str:
    """The base model that `file`, the adapter_config.json of the adapter `name`, names."""
    base = read_adapter(name, file).get(BASE)
    if not isinstance(base, str) or not base.strip() or "\0" in base:
        raise SepoError(
            f"the adapter {name} names no base model: {BASE} in its {file.name} is {base!r:.60}",
            f"write the folder or the Hub id of its base model there as {BASE}",
        )
    beside = file.parent / base
    # A relative path is that from the adapter's folder, where there is something; else as PEFT takes it.
    return str(beside.resolve()) if not Path(base).is_absolute() and beside.exists() else base


def write_base(folder: Path, out: Path, base: str) -> None:
    """Name the base model in the adapter_config.json in `folder` as seen from `out`, if it is on this machine.

    A tree of directories that is moved as a whole stays usable, and no folder above it is named.

    Args:
        folder: where the adapter was saved; without one, nothing happens.
        out: the folder that the adapter is moved to.
        base: the model as the user named it: a folder, a GGUF file or a Hub id.
    """
    file = folder / "adapter_config.json"
    if file.exists() and base and Path(base).exists():
        config = read_adapter(str(folder), file)
        config[BASE] = os.path.relpath(Path(base).resolve(), out.resolve())
        file.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def read_adapter(name: str, file: Path) -> dict[str, Any]:
    """The JSON object in `file`, the adapter_config.json of the adapter `name`."""
    return as_object(read_json(file), f"the adapter {name}", file.name)


def check_fits(name: str, config: dict[str, Any], held: Held) -> None:
    """Raise if the adapter `name`, whose file holds `held`, is of another kind of model, or larger than its file.

    PEFT allocates and fills an adapter before it reads the file.
    """
    if config.get("task_type") in _OTHER_TASKS:
        raise SepoError(
            f"{name} is an adapter for the task {config['task_type']}, not of a causal language model", CAUSAL
        )
    kind = _OUTSIDE.get(str(config.get("peft_type")))
    if kind is None and config.get("alora_invocation_tokens") is not None:
        kind = "activated-LoRA"
    if kind is not None:
        article = "an" if kind[0] in "aX" else "a"
        raise SepoError(
            f"{name} is {article} {kind} adapter, which works only inside PEFT, not as a part of the model's layers",
            "name an adapter that changes layers, such as LoRA, DoRA or IA3, or a complete model",
        )
    patterns = config.get("rank_pattern")
    asked = [*map(config.get, _RANKS), *(patterns.values() if isinstance(patterns, dict) else ())]
    if too_large := [rank for rank in asked if is_number(rank) and not rank <= held.longest]:
        _refuse(name, f"the rank {too_large[0]}", f"no tensor longer than {held.longest:,}")
    parts = config.get("layer_replication")
    replicated = sum(end - start for start, end in parts) if isinstance(parts, list) else 0
    if replicated > len(held.names):
        _refuse(name, f"{replicated:,} layers", f"{len(held.names):,} tensors")


def _refuse(name: str, asked: str, held: str) -> None:
    raise SepoError(
        f"cannot load the adapter {name}: by its adapter_config.json it has {asked}, but its file has {held}", AGAIN
    )
