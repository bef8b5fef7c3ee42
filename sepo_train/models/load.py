"""Load models, and record their identity."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers import AutoModelForCausalLM

from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import SepoError, first_line
from sepo_data.schemas.manifest import ModelRecord
from sepo_data.storage.cache import file_sha256
from sepo_train.models.adapted import ADAPTER_WEIGHTS, put_adapter
from sepo_train.models.adapters import check_fits, read_adapter
from sepo_train.models.device import default_device, is_out_of_memory, torch_dtype
from sepo_train.models.files import ADAPTER, adapter_base, load_config, model_errors, model_file, resolve, revision
from sepo_train.models.remote_code import check_adapter_code, kernels_of_anyone
from sepo_train.models.unused_weights import check_loaded, check_unread, note_left_out, note_unread, unexpected_weights
from sepo_train.models.weight_changes import first_pass, refuse_adapter
from sepo_train.models.weights import held_weights, parameters_within, weight_files

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

    from sepo_train.models.device import Dtype
    from sepo_train.models.weights import Held

OTHER_KIND = "it is another kind of model; a causal language model is needed"

_CONFIGS = frozenset({"config.json", ADAPTER})


def load_model(
    name: str, *, dtype: Dtype, trust_remote_code: bool = False, progress: Progress = SILENT
) -> PreTrainedModel:
    """Load a causal language model in evaluation mode: a folder (also of a LoRA adapter), a Hub id or a GGUF file.

    `progress` receives a note of the weights in its files that the model has no use for.

    Raises:
        SepoError: there is no such model, its weights are incomplete, damaged or pickled, memory is too small, or it
            needs code that comes with it, and `trust_remote_code` does not allow to run it.
    """
    if (base := adapter_base(name)) is not None:
        adapter_weights(name, trust_remote_code=trust_remote_code)
    model = load_complete(
        base or name,
        AutoModelForCausalLM,
        dtype=dtype,
        hint=OTHER_KIND,
        trust_remote_code=trust_remote_code,
        progress=progress,
    )
    if base is not None:
        refuse_adapter(model, base)
        put_adapter(model, name, progress)
        model._hf_peft_config_loaded = True  # noqa: SLF001 - else transformers does not switch it off and on
        with first_pass(model):
            try_out(model, name)
    return model.eval()


def load_complete(
    name: str,
    auto_class: Any,  # noqa: ANN401 - an auto class of transformers
    *,
    dtype: Dtype,
    hint: str,
    trust_remote_code: bool = False,
    progress: Progress = SILENT,
) -> PreTrainedModel:
    """Load the model `name`, which is no adapter, by one of transformers' auto classes.

    Raises:
        SepoError: as `load_model` does, with `hint` where its weights are those of another class.
    """
    count_parameters(name, auto_class, trust_remote_code=trust_remote_code)
    with (
        model_errors(name),
        kernels_of_anyone(trust_remote_code=trust_remote_code),
        unexpected_weights() as unexpected,
    ):
        try:
            loaded: Any = auto_class.from_pretrained(
                resolve(name),
                dtype=torch_dtype(dtype),
                device_map=default_device(),
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # the error does not name them; check_loaded does
                revision=revision(name),
                trust_remote_code=trust_remote_code,
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
    expected = unexpected - set(loading["unexpected_keys"])
    left_out = check_loaded(name, loading, kind=f"a {type(model).__name__}", hint=hint, expected=expected)
    note_left_out(name, left_out, progress)
    if revision(name) is None:
        folder = Path(resolve(name))
        files = weight_files(folder, getattr(model.config, "transformers_weights", None))
        note_unread(name, folder, files, progress)
    model.eval()
    with first_pass(model):
        try_out(model, name)
    return model


@torch.no_grad()
def try_out(model: PreTrainedModel, name: str) -> None:
    """Run `model`, named `name`, on a few tokens: some configurations are found wrong only then."""
    with model_errors(name):
        config = model.config.get_text_config()
        ids = torch.arange(4, device=model.device)[None] % config.vocab_size
        # A decoder of another depth than its encoder can be scored, but makes no cache.
        depth = getattr(config, "num_hidden_layers", None)
        no_cache = getattr(config, "decoder_layers", depth) != depth
        model(input_ids=ids, **({"use_cache": False} if no_cache else {}))


def adapter_weights(name: str, *, trust_remote_code: bool = False) -> Held:
    """Content of the file of the adapter `name`; raises if that is less than its configuration asks for."""
    config = read_adapter(name, model_file(name, ADAPTER))
    if not trust_remote_code:
        check_adapter_code(name, config)
    file = model_file(name, ADAPTER_WEIGHTS)
    held = held_weights([file])
    check_unread(name, file.parent)
    with model_errors(name):
        check_fits(name, config, held)
    return held


def count_parameters(
    name: str,
    auto_class: Any = AutoModelForCausalLM,  # noqa: ANN401 - an auto class of transformers
    *,
    trust_remote_code: bool = False,
) -> int:
    """The parameters of the model `name`, or of the one that the adapter `name` belongs to.

    Raises:
        SepoError: this installation cannot load it, or its files cannot hold so many.
    """
    causal = auto_class is AutoModelForCausalLM
    config = load_config(name, causal=causal, trust_remote_code=trust_remote_code)
    name = adapter_base(name) or name
    held = None
    if revision(name) is None:
        folder = Path(resolve(name))
        held = held_weights(weight_files(folder, getattr(config, "transformers_weights", None)))
        check_unread(name, folder)
    with model_errors(name), kernels_of_anyone(trust_remote_code=trust_remote_code):
        check_quantization(name, config)
        return parameters_within(name, config, auto_class, held, trust_remote_code=trust_remote_code)


def check_quantization(name: str, config: PretrainedConfig) -> None:
    """Raise if the model `name` is quantized in a way that this installation cannot load."""
    from transformers.quantizers.auto import AutoHfQuantizer

    if (quantized := getattr(config, "quantization_config", None)) is None:
        return
    try:
        method = quantized.get("quant_method") or "bitsandbytes"
        if not AutoHfQuantizer.supports_quant_method(quantized):
            raise ValueError(f"transformers {transformers.__version__} does not know this method")  # noqa: TRY301
        quantizer = AutoHfQuantizer.from_config(quantized, pre_quantized=True)
        quantizer.validate_environment(device_map={"": default_device()})
    except Exception as error:  # of any of two dozen packages
        raise SepoError(
            f"{name} is quantized ({method}) and cannot be loaded here: {first_line(error)}",
            "install what is missing, or name the model as it was before it was quantized",
        ) from error


def model_record(name: str, *, trust_remote_code: bool = False) -> ModelRecord:
    """A model's identity: the hash of its weight files, or the commit of its Hub repository; a LoRA's base included.

    With `trust_remote_code`, the code in its folder is a part of the hash.
    """
    parameters = count_parameters(name, trust_remote_code=trust_remote_code)
    commit = revision(name)
    weights = _folder_hash(Path(resolve(name)), code=trust_remote_code) if commit is None else f"hub:{commit}"
    if base := adapter_base(name):
        if commit is None:
            adapter_weights(name, trust_remote_code=trust_remote_code)
        base_record = model_record(base, trust_remote_code=trust_remote_code)
        weights = hashlib.sha256(f"{weights}{base_record.weights}".encode()).hexdigest()
    return ModelRecord(name=name, revision=commit, weights=weights, parameters=parameters)


def _folder_hash(folder: Path, *, code: bool) -> str:
    """SHA-256 over the weight files and configurations in `folder`, and its Python files with `code`."""
    suffixes = {".safetensors", ".py"} if code else {".safetensors"}
    files = sorted(path for path in folder.iterdir() if path.suffix in suffixes or path.name in _CONFIGS)
    if not any(path.suffix == ".safetensors" for path in files):
        raise SepoError(
            f"{folder} holds no .safetensors weights",
            "pickled weights are not loaded; convert them with save_pretrained(safe_serialization=True)",
        )
    total = hashlib.sha256()
    for path in files:
        total.update(f"{path.name}:{file_sha256(path)}\n".encode())
    return total.hexdigest()
