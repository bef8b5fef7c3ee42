"""The device of a process, and errors that mean its memory is full."""

import pytest
import torch

from sepo_train.models.device import default_device, default_dtype, environment, is_out_of_memory, torch_dtype

PEBIBYTE = 1 << 50


@pytest.mark.unstable_api
def test_a_failed_allocation_is_recognised():
    """On a CPU, PyTorch raises a plain RuntimeError; accelerate knows its words."""
    with pytest.raises(RuntimeError) as failed:
        torch.empty(PEBIBYTE, dtype=torch.uint8)
    assert is_out_of_memory(failed.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


def test_the_number_type_follows_the_device(monkeypatch):
    for kind, dtype in (("cpu", "float32"), ("cuda", "bfloat16")):
        monkeypatch.setattr("sepo_train.models.device.default_device", lambda kind=kind: torch.device(kind))
        assert default_dtype() == dtype
        assert torch_dtype(default_dtype()) is getattr(torch, dtype)


def test_each_local_rank_has_an_accelerator_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("cuda"))
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 4)
    monkeypatch.setenv("LOCAL_RANK", "5")
    assert default_device() == torch.device("cuda", 1)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert default_device() == torch.device("cpu")


def test_the_environment_of_a_bug_report(monkeypatch, tmp_path):
    monkeypatch.setenv("SEPO_CACHE", str(tmp_path))
    found = environment()
    assert found["torch"] == torch.__version__.partition("+")[0] or found["torch"] == torch.__version__
    assert found["cache"] == str(tmp_path)
    assert {"platform", "device", "dtype", "threads"} <= set(found)
