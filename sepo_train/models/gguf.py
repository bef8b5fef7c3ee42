"""GGUF files as models: converted to safetensors once, cached by content."""

from __future__ import annotations

import os
import shutil
import struct
from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_data.storage.cache import cache_folder, file_sha256

if TYPE_CHECKING:
    from pathlib import Path


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
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    try:
        try:
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
            model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
        except (OSError, ValueError, LookupError, NotImplementedError, struct.error) as error:
            raise SepoError(f"cannot read {file} as GGUF: {error}", "the file may be damaged or unsupported") from error
        # The weights are plain fp32 now; these would make transformers look for quantized ones.
        del model.config.quantization_config
        delattr(model, "hf_quantizer")
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        try:
            partial.replace(folder)
        except OSError:
            if not folder.exists():  # else another process was faster
                raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
