"""GGUF files as models: converted to safetensors once, cached by content."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

from sepo_data.errors import SepoError, first_line
from sepo_data.storage.atomic import keep_folder, remove_leftovers, temporary_folder
from sepo_data.storage.cache import cache_folder, file_sha256
from sepo_train.models.gguf_header import read_header
from sepo_train.models.unused_weights import check_loaded
from sepo_train.models.weights import parameters_within

if TYPE_CHECKING:
    from pathlib import Path

DAMAGED = "the file may be damaged or unsupported"


def is_gguf(name: str) -> bool:
    """True for the name of a GGUF file."""
    return name.endswith(".gguf")


def safetensors_folder(file: Path) -> Path:
    """The folder with the fp32 safetensors weights and tokenizer of the GGUF file `file`, converted on first use.

    Dequantizing takes about 20 s for 135M parameters; later calls hash the file, or read the hash from the cache.
    """
    if not file.is_file():
        raise SepoError(f"the model file {file} does not exist", "give the path of a .gguf file")
    folder = cache_folder() / "gguf" / file_sha256(file)[:16]
    if not folder.exists():
        _convert(file, folder)
    return folder


def _convert(file: Path, folder: Path) -> None:
    try:
        import gguf  # noqa: F401 - transformers reads GGUF files through it
    except ImportError as error:
        raise SepoError("reading a GGUF file needs the gguf package", "pip install 'sepo[gguf]'") from error
    folder.parent.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder.parent, deep=False)
    with temporary_folder(folder) as partial:
        _convert_into(partial, file)
        keep_folder(partial, folder)


def _convert_into(partial: Path, file: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    # By itself, because transformers reads what lies beside the file, too, and a GGUF file needs nothing of that.
    alone = partial / "gguf"
    alone.mkdir()
    (alone / file.name).symlink_to(file.resolve())
    try:
        held = read_header(file)
        config = AutoConfig.from_pretrained(alone, gguf_file=file.name, trust_remote_code=False)
        parameters_within(str(file), config, AutoModelForCausalLM, held)
        tokenizer = AutoTokenizer.from_pretrained(alone, gguf_file=file.name, trust_remote_code=False)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            alone,
            gguf_file=file.name,
            dtype=torch.float32,
            output_loading_info=True,
            use_safetensors=True,
            trust_remote_code=False,
        )
        model, loading = loaded
        check_loaded(str(file), loading, kind=f"a {type(model).__name__}", hint=DAMAGED)
    except SepoError:
        raise
    except Exception as error:  # of gguf, numpy, tokenizers or transformers
        raise SepoError(f"cannot read {file} as GGUF: {first_line(error)}", DAMAGED) from error
    # The weights are plain fp32 now; these would make transformers look for quantized ones.
    del model.config.quantization_config
    delattr(model, "hf_quantizer")
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    shutil.rmtree(alone)
