"""Models with an adapter of PEFT in their layers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sepo_data.console.progress import SILENT, Progress
from sepo_train.models.files import adapter_base, model_errors, model_file
from sepo_train.models.unused_weights import check_loaded, note_left_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from peft import PeftModel
    from torch import Tensor
    from transformers import PreTrainedModel

ADAPTER_WEIGHTS = "adapter_model.safetensors"

OTHER_BASE = "it is the adapter of another model: check base_model_name_or_path in its adapter_config.json"

_SLOT = "default"
"""The name under which PEFT keeps the adapter in a layer."""

_WHOLE = frozenset({"modules_to_save"})
"""Parts of the names of parameters that PEFT leaves out of the names in a file."""


def put_adapter(model: PreTrainedModel, name: str, progress: Progress = SILENT) -> PeftModel:
    """Put the adapter `name`, which was checked, into the layers of its base `model`: itself changes, too.

    By PEFT, because transformers' own `load_adapter` leaves out the magnitudes of DoRA and the copies of tied weights.

    Returns:
        PEFT's wrapper of `model`, which can merge it.
    """
    from peft import PeftConfig, PeftModel, load_peft_weights

    # A folder, for one on the Hub, too: PEFT would look for pickled weights there.
    folder = str(model_file(name, ADAPTER_WEIGHTS).parent)
    with model_errors(name):
        config = PeftConfig.from_pretrained(folder)
        config.inference_mode = True
        adapted = PeftModel(model, config, adapter_name=_SLOT, autocast_adapter_dtype=False)
        renamed = getattr(model, "_checkpoint_conversion_mapping", None)
        weights = load_peft_weights(folder, device=str(model.device), key_mapping=renamed)
        loading = _load(adapted, weights)
        adapted.eval()
    left_out = check_loaded(name, loading, kind=f"an adapter of {adapter_base(name)}", hint=OTHER_BASE)
    note_left_out(name, left_out, progress)
    return adapted


def _load(adapted: PeftModel, weights: Mapping[str, Tensor]) -> dict[str, list[Any]]:
    """Load `weights` into `adapted`, unless they do not fit, and report on the names as transformers does."""
    from peft import get_peft_model_state_dict, set_peft_model_state_dict

    expected = get_peft_model_state_dict(adapted, adapter_name=_SLOT, save_embedding_layers=False)
    shapes = [(key, weights[key].shape, expected[key].shape) for key in weights.keys() & expected.keys()]
    if mismatched := [each for each in shapes if each[1] != each[2]]:
        return {"mismatched_keys": mismatched}
    try:
        loaded: Any = set_peft_model_state_dict(adapted, weights, adapter_name=_SLOT)
    except KeyError:  # of a module that is trained as a whole
        if missing := sorted(expected.keys() - weights.keys()):
            return {"missing_keys": missing}
        raise
    saved = frozenset(part for key in expected for part in key.split("."))
    missing = _missing(adapted, loaded.missing_keys, saved)
    return {"missing_keys": missing, "unexpected_keys": loaded.unexpected_keys}


def _missing(adapted: PeftModel, keys: Iterable[str], saved: frozenset[str]) -> list[str]:
    """The parameters of the adapter among `keys` that a file of it has to hold.

    Without those that have another name under which they were loaded, and those that PEFT computes and never saves,
    such as the numbers of ranks of AdaLoRA.

    Args:
        adapted: the model with the adapter.
        keys: names of parameters that were not loaded.
        saved: the parts of the names under which PEFT saves the adapter.
    """
    unloaded = frozenset(keys)
    names = dict(adapted.named_parameters(remove_duplicate=False))
    loaded = {id(parameter) for key, parameter in names.items() if key not in unloaded}
    return [
        key
        for key, parameter in names.items()
        if key in unloaded and _SLOT in (parts := key.split(".")) and id(parameter) not in loaded
        if (kind := parts[parts.index(_SLOT) - 1]) in saved or kind in _WHOLE
    ]
