"""What a bug report needs to know about the machine."""

from __future__ import annotations

import platform

import torch

from sepo_data.stages.versions import versions
from sepo_data.storage.download import cache_folder
from sepo_train.models.load import default_device, default_dtype


def environment() -> dict[str, str]:
    """Versions, the device and the number type that models run in by default, CPU threads, and sepo's cache folder."""
    device = default_device()
    accelerator = torch.accelerator.is_available()
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        **versions(),
        "platform": platform.platform(),
        "device": f"{name} ({torch.accelerator.device_count() if accelerator else 0} accelerators)",
        "dtype": default_dtype(),
        "threads": str(torch.get_num_threads()),
        "cache": str(cache_folder()),
    }
