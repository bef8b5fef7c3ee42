"""Entry point of the `sepo` command. It loads cli.py by path: a module `cli` of a user is never imported.

Little is imported here, and late: until `main` runs, Ctrl-C prints Python's own traceback.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]  # `signal` imports enumerations: 15 ms
import os
import sys

TYPE_CHECKING = False  # as in typing, whose import takes 10 ms
if TYPE_CHECKING:
    from types import ModuleType
    from typing import NoReturn

NAME = "sepo_train.cli"


def load_cli() -> ModuleType:
    """Load cli.py once: from beside this file, where a wheel has it, or from the top of the repository.

    Raises:
        ImportError: neither file exists; the installation is damaged.
    """
    from importlib.util import module_from_spec, spec_from_file_location
    from pathlib import Path

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


def read_file_names_as_utf8() -> None:
    """Start again in Python's UTF-8 mode, where the locale has another encoding.

    Polars, safetensors and tokenizers take file names as UTF-8 alone.
    """
    if sys.getfilesystemencoding().lower() in {"utf-8", "utf8"} or os.environ.get("PYTHONUTF8") == "1":
        return
    environment = os.environ | {"PYTHONUTF8": "1"}
    if (encoding := getattr(sys.stdout, "encoding", "ascii")) not in {"ascii", "ANSI_X3.4-1968"}:
        environment = {"PYTHONIOENCODING": encoding} | environment  # that of the terminal
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)  # noqa: S606 - the same program


def main() -> NoReturn:
    """Run the `sepo` command; it ends with the exit codes that `sepo --help` documents."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Nothing has begun that would have to be put in order; afterwards cli.py handles signals.
        signal.signal(signal.SIGINT, lambda number, _: os._exit(128 + number))
    read_file_names_as_utf8()
    load_cli().main()
    raise AssertionError("cli.main() exits")  # pragma: no cover
