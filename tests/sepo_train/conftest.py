"""Threads only get into each other's way on models as small as those of these tests."""

import pytest
import torch


@pytest.fixture(scope="module", autouse=True)
def threads():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
