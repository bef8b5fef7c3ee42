"""All that the command prints goes through `sepo_data/console`: no module writes to a standard stream by itself."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
SOURCES = [ROOT / "cli.py", *sorted((ROOT / "sepo_data").rglob("*.py")), *sorted((ROOT / "sepo_train").rglob("*.py"))]
STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__"}
PRINTING = {"print", "input", "echo", "secho", "confirm", "prompt", "Console", "Live", "pprint", "StreamHandler"}
PRINTING |= {"print_exc", "print_exception", "print_stack", "print_last", "breakpoint", "set_window_title"}

ALLOWED = {
    "sepo_data/console/output.py": {"print", "stdout", "stderr"},  # the boundary
    "sepo_data/console/descriptors.py": STREAMS,  # streams that are closed, and how they end
    "sepo_data/console/panics.py": {"stderr"},  # flushed before its descriptor is pointed elsewhere
    "sepo_data/console/terminal.py": {"Console", "Live", "stderr", "print"},  # the bar; its texts are spelt out
    "sepo_data/commands/show.py": {"Console", "stdout", "print"},  # colours; `render_pair` escapes its texts
    "sepo_data/analysis/show/screen.py": {"print"},  # of a console, into lines: the same text
    "sepo_data/commands/session.py": {"confirm"},  # a question; the path in it is spelt out
    "sepo_data/readers/hub_reader.py": {"stderr"},  # whether it is a terminal
    "sepo_data/publishing/upload.py": {"stderr"},  # whether it is a terminal
    "sepo_data/tokenization/template_filters.py": {"pprint"},  # into a text of its own
    "sepo_train/entry.py": {"stdout"},  # its encoding
    "sepo_train/scoring/ray_workers.py": {"stderr"},  # where Ray shall print, which is guarded
}


def used(file: Path) -> set[str]:
    """The names in `file` that write to a standard stream or are one."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sys":
            found |= {node.attr} & STREAMS
        if isinstance(node, ast.ImportFrom) and node.module == "sys":
            found |= {alias.name for alias in node.names} & STREAMS
        if isinstance(node, ast.Call):
            called = node.func
            name = called.id if isinstance(called, ast.Name) else getattr(called, "attr", "")
            found |= {name} & PRINTING
    return found


def test_no_module_prints_but_the_boundary():
    names = {file.relative_to(ROOT).as_posix(): used(file) for file in SOURCES}
    assert {file: found for file in names if (found := names[file] - ALLOWED.get(file, set()))} == {}
