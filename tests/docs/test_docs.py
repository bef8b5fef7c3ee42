"""The documentation says what the code does: its tables are made from the code, its examples run.

`python tests/docs/test_docs.py` writes the tables anew.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import typer.main

from sepo_data.report.figure import FIGURES
from sepo_data.schemas.stages import Stage, stage_schema
from sepo_data.selection.filter import FILTERS
from sepo_data.selection.rule import RULES
from sepo_data.shapes import columns
from sepo_data.shapes.detect import detect_shape
from sepo_data.shapes.registry import registered_shapes
from sepo_data.shapes.skip_reasons import REASONS
from sepo_train.entry import load_cli
from sepo_train.training.losses import LOSSES

ROOT = Path(__file__).resolve().parents[2]
CLI, DATASETS, PLOT, PYTHON, SELECT = (
    ROOT / "docs" / f"{name}.md" for name in ("cli", "datasets", "plot", "python", "select")
)
COMMANDS = typer.main.get_command(load_cli().app).commands


WIDTH = 120


def _table(*rows: tuple[str, ...]) -> str:
    first, *rest = rows
    lines = [first, tuple("---" for _ in first), *rest]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def _options(name: str) -> str:
    rows = []
    for option in COMMANDS[name].params:
        spelled = (
            ", ".join(f"`{text}`" for text in option.opts) if option.opts[0].startswith("-") else f"`{option.metavar}`"
        )
        empty = option.default is None or option.default is False or option.default == ""
        default = "required" if option.required else "" if empty else f"`{option.default}`"
        rows.append((spelled, default, option.help))
    return _table(("option", "default", "meaning"), *rows)


def _reasons() -> str:
    rows = [(f"`{code}`", step, meaning) for step, group in REASONS.items() for code, meaning in group.items()]
    return _table(("reason", "found when", "meaning"), *rows)


def _shape_sections() -> str:
    """A section of each registered shape: its meaning and its example."""
    sections = []
    for entry in registered_shapes():
        columns = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in entry.example.items()]
        row = "{" + ", ".join(columns) + "}"
        if len(row) > WIDTH:
            row = "{" + ",\n ".join(columns) + "}"
        meaning = textwrap.wrap(entry.meaning, WIDTH, break_long_words=False, break_on_hyphens=False)
        paragraph = ["\n".join(meaning)] if meaning else []
        sections.append("\n\n".join([f"### {entry.name}", *paragraph, f"```json\n{row}\n```"]))
    return "\n" + "\n\n".join(sections) + "\n\n"


def _shapes() -> str:
    """A table of the registered shapes, with the description that is printed for the example of each."""
    rows = []
    for entry in registered_shapes():
        found = detect_shape(list(entry.example), [entry.example])
        rows.append((str(entry.tier), f"[{entry.name}](#{entry.name.replace(' ', '-')})", found.description))
    return _table(("tier", "shape", "printed for the example below"), *rows)


def _roles() -> str:
    rows = []
    for role, kinds in columns.ROLES.items():
        others = [
            spelling.split()[roles.split().index(role)]
            for group in columns.ALIASES
            for roles, spellings in group.items()
            if role in roles.split()
            for spelling in spellings
        ]
        names = ", ".join(f"`{name}`" for name in dict.fromkeys(others) if name != role)
        rows.append((f"`{role}`", names, ", ".join(kinds)))
    return _table(("role", "other names", "kind of values"), *rows)


def _columns() -> str:
    stages = (Stage.REWARDS, Stage.SELECTION)
    schemas = {stage: stage_schema(stage, conversational=True, weights=True) for stage in stages}
    names = dict.fromkeys(name for schema in schemas.values() for name in schema.names)
    rows = []
    for name in names:
        stages = [stage for stage, schema in schemas.items() if name in schema.names]
        field = schemas[stages[0]].field(name)
        kind = "string or messages" if name in {"prompt", "chosen", "rejected"} else str(field.type)
        kind = re.sub(r"large_list<\w+: (\w+)>", r"large_list of \1", kind)
        rows.append(
            (f"`{name}`", kind, "both" if len(stages) > 1 else stages[0].value, field.metadata[b"doc"].decode())
        )
    return _table(("column", "type", "stage", "content"), *rows)


def _rules() -> str:
    rows = [(f"`{entry.call}`", " ".join(entry.description.split()), entry.source) for entry in RULES.values()]
    return _table(("rule and defaults", "takes", "source"), *rows)


def _filters() -> str:
    """A table of the filters in the order in which they act, which each tells once it has a value."""
    metavars = {
        option.name: option.metavar for option in COMMANDS["select"].params if not getattr(option, "is_flag", 0)
    }
    rows = []
    for entry in FILTERS.values():
        made = entry.function(entry.default if entry.minimum is None else entry.minimum)
        spelled = " ".join([entry.option, *([metavars[entry.name]] if entry.name in metavars else [])])
        rows.append((str(made.step), f"`{spelled}`", entry.help))
    return _table(("step", "filter", "what it does"), *sorted(rows))


def _losses() -> str:
    rows = []
    for entry in LOSSES.values():
        options = [f"`--{name.replace('_', '-')} {number.default:g}`" for name, number in entry.parameters.items()]
        needs = "yes" if entry.needs_reference else ""
        rows.append((f"`{entry.name}`", f"`{entry.formula}`", entry.source, needs, ", ".join(options)))
    return _table(("`--loss`", "of a pair", "source", "reference", "options"), *rows)


def _figures() -> str:
    rows = []
    for entry in FIGURES.values():
        stages = " or ".join(stage.value for stage in Stage if stage in entry.stages)
        number = str(entry.least) if entry.least == entry.most else f"{entry.least} or more"
        rows.append((f"[`{entry.name}`](#{entry.name})", entry.summary, f"{number}, of {stages}"))
    return _table(("kind", "shows", "directories"), *rows)


def made_tables() -> dict[Path, dict[str, str]]:
    return {
        CLI: {f"options of {name}": _options(name) for name in COMMANDS} | {"losses": _losses()},
        DATASETS: {
            "reasons": _reasons(),
            "columns": _columns(),
            "roles": _roles(),
            "shapes": _shapes(),
            "examples": _shape_sections(),
        },
        PLOT: {"figures": _figures()},
        SELECT: {"rules": _rules(), "filters": _filters()},
    }


def with_tables(file: Path, tables: dict[str, str]) -> str:
    text = file.read_text(encoding="utf-8")
    for name, table in tables.items():
        begin, end = f"<!-- made by tests/docs/test_docs.py: {name} -->\n", "<!-- end -->"
        before, found, after = text.partition(begin)
        assert found, f"{file.name} has no place for the {name}: {begin}"
        text = before + begin + table + end + after.partition(end)[2]
    return text


@pytest.mark.parametrize("file", [CLI, DATASETS, PLOT, SELECT], ids=lambda file: file.name)
def test_tables_are_those_of_the_code(file):
    assert file.read_text(encoding="utf-8") == with_tables(file, made_tables()[file]), (
        "run: python tests/docs/test_docs.py"
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name):
    text = CLI.read_text(encoding="utf-8")
    assert f"## sepo {name}\n" in text
    assert f"$ sepo {name}" in text or f"$ sepo --config sepo.toml {name}" in text
    for option in COMMANDS[name].params:
        for spelling in option.opts:
            assert spelling.upper() in text or spelling in text
    assert "Examples:\n  sepo " in COMMANDS[name].epilog


@pytest.mark.parametrize("entry", registered_shapes(), ids=lambda entry: entry.name)
def test_every_example_of_the_page_is_read_as_its_shape(entry):
    section = DATASETS.read_text(encoding="utf-8").partition(f"### {entry.name}\n")[2]
    value = json.loads(section.partition("```json\n")[2].partition("```")[0])
    assert value == entry.example
    shape = detect_shape(list(value), [value])
    assert shape.name == entry.name
    [pair] = shape.to_pairs(0, value, ())
    assert pair.chosen != pair.rejected or pair.ids


@pytest.mark.slow
def test_python_examples_run(tmp_path, tiny_model):
    """All of them in one program, in the order of the page."""
    rows = (ROOT / "examples" / "preferences.jsonl").read_text(encoding="utf-8").splitlines()[:16]
    (tmp_path / "prefs.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (tmp_path / "ref").symlink_to(tiny_model)
    blocks = re.findall(r"```python\n(.*?)```", PYTHON.read_text(encoding="utf-8"), re.DOTALL)
    program = tmp_path / "page.py"
    program.write_text("\n".join(blocks), encoding="utf-8")
    done = subprocess.run([sys.executable, program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "own_selected" in done.stdout


if __name__ == "__main__":
    for path, tables in made_tables().items():
        if (made := with_tables(path, tables)) != path.read_text(encoding="utf-8"):
            path.write_text(made, encoding="utf-8")
            sys.stdout.write(f"{path.relative_to(ROOT)}\n")
