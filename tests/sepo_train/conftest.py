"""Every test of this folder runs torch in one thread."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _one_thread(one_thread):
    return one_thread
