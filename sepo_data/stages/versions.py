"""Installed versions, for the manifest and `sepo --version`: imports nothing, so that the command starts at once."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("sepo", "torch", "transformers", "tokenizers", "peft", "accelerate", "datasets", "polars", "pyarrow")


def installed_versions() -> dict[str, str]:
    """Versions of Python and of `PACKAGES`, without importing the packages."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
