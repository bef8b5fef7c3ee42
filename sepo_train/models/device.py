"""The device that models run on, their number type, and this machine for a bug report. Imports torch when asked."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Dtype = Literal["float32", "bfloat16", "float16"]
"""Number types of a model's weights."""


def default_device() -> torch.device:
    """The accelerator of this process (with several processes, the one of its local rank), or the CPU."""
    import torch

    accelerator = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if accelerator is None:
        return torch.device("cpu")
    return torch.device(accelerator.type, int(os.environ.get("LOCAL_RANK", "0")) % torch.accelerator.device_count())


def default_dtype() -> Dtype:
    """fp32 on CPUs, bf16 on accelerators."""
    return "float32" if default_device().type == "cpu" else "bfloat16"


def torch_dtype(dtype: Dtype) -> torch.dtype:
    """PyTorch's object for a number type."""
    import torch

    return {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}[dtype]


def is_out_of_memory(error: Exception) -> bool:
    """True for a failed allocation, on any device."""
    import torch
    from accelerate.utils.memory import should_reduce_batch_size

    return isinstance(error, torch.OutOfMemoryError | MemoryError) or bool(should_reduce_batch_size(error))


def environment() -> dict[str, str]:
    """Versions, device, default number type, CPU threads and cache folder, for a bug report."""
    import torch

    from sepo_data.stages.versions import installed_versions
    from sepo_data.storage.cache import cache_folder

    device = default_device()
    count = torch.accelerator.device_count() if torch.accelerator.is_available() else 0
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        **installed_versions(),
        "platform": platform.platform(),
        "device": f"{name} ({count} accelerators)",
        "dtype": default_dtype(),
        "threads": str(torch.get_num_threads()),
        "cache": str(cache_folder()),
    }
