"""Fixtures of the tests of models."""

import logging

import pytest


@pytest.fixture
def quiet(monkeypatch):
    """Ask no Hub, and let no library log below an error."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    yield
    logging.disable(before)
