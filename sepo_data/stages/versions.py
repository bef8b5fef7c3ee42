"""The versions a manifest records and `sepo --version` prints, without importing the packages."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("sepo", "torch", "transformers", "tokenizers", "peft", "accelerate", "datasets", "polars", "pyarrow")


def versions() -> dict[str, str]:
    """Package names and their installed versions, Python's among them."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
