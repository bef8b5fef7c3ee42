"""Entry point of the `sepo` command. It loads cli.py by path: a module `cli` of a user is never imported."""

from __future__ import annotations

import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import ModuleType

NAME = "sepo_train.cli"


def load_cli() -> ModuleType:
    """Load cli.py once: from beside this file, where a wheel has it, or from the top of the repository.

    Raises:
        ImportError: neither file exists; the installation is damaged.
    """
    if NAME in sys.modules:
        return sys.modules[NAME]
    here = Path(__file__).resolve().parent
    for file in (here / "cli.py", here.parent / "cli.py"):
        spec = spec_from_file_location(NAME, file) if file.exists() else None
        if spec is not None and spec.loader is not None:
            module = module_from_spec(spec)
            sys.modules[NAME] = module
            spec.loader.exec_module(module)
            return module
    raise ImportError(f"{here / 'cli.py'} is missing; install sepo again", name=NAME)


def main() -> NoReturn:
    """Run the `sepo` command; it ends with the exit codes that `sepo --help` documents."""
    load_cli().main()
    raise AssertionError("cli.main() exits")  # pragma: no cover
