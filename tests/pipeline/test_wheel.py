"""The package as a stranger installs it, as a wheel or editable, beside a project with names of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("cli", "schemas", "tests", "config", "commands", "metrics")
"""Modules and packages that a user's project may well have."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT]
    subprocess.run(command, check=True, capture_output=True, cwd=folder)
    [built] = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """`sepo` in an environment of its own; the dependencies are borrowed from this one, its `sepo` is not."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, symlinks=True, with_pip=False)
    scheme = {"base": str(folder), "platbase": str(folder)}
    target = Path(sysconfig.get_path("purelib", "venv", scheme))
    # --target would not make the script; pip of this environment installs into that one.
    command = [sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install", "--no-deps", "--no-index"]
    subprocess.run([*command, wheel], check=True, capture_output=True)
    # A path file is read for its folder alone: path files in that folder, such as our editable install's, are not.
    (target / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n", encoding="utf-8")
    return folder / "bin" / "sepo"


@pytest.fixture(params=["wheel", "editable"])
def command(request):
    """The `sepo` of an installed wheel, and that of this checkout."""
    if request.param == "editable":
        return Path(sys.executable).with_name("sepo")
    return request.getfixturevalue("installed")


@pytest.fixture
def project(tmp_path):
    """A user's project: each of `NAMES` as a module, and as a package, that fails when it is imported."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"raise RuntimeError('the wrong {name}')", encoding="utf-8")
        (tmp_path / "packages" / name).mkdir(parents=True)
        (tmp_path / "packages" / name / "__init__.py").write_text("raise RuntimeError('wrong')", encoding="utf-8")
    return tmp_path


def _environment(**more):
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SEPO_"))}
    return plain | more


def test_wheel_holds_the_packages_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [entry_points] = [name for name in names if name.endswith("entry_points.txt")]
        assert archive.read(entry_points).decode().split() == [
            "[console_scripts]",
            "sepo",
            "=",
            "sepo_train.entry:main",
        ]
    tops = {name.split("/")[0] for name in names}
    metadata = {top for top in tops if top.endswith(".dist-info")}
    assert tops - metadata == {"sepo_data", "sepo_train"}
    assert len(metadata) == 1
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {"sepo_data/py.typed", "sepo_train/py.typed", "sepo_train/cli.py"} <= set(names)
    contract = {f"sepo_data/schemas/{file.name}" for file in (ROOT / "schemas").glob("*.json")}
    assert contract
    assert contract <= set(names)
    endings = {Path(name).suffix for name in names if name.split("/")[0] not in metadata}
    assert endings <= {".py", ".json", ".sql", ".typed", ".md", ".html", ".css", ".js"}


@pytest.mark.parametrize("path", ["", "packages"])
def test_a_project_with_the_same_names_is_left_alone(command, project, pipeline, path):
    """From inside the project, and with it before everything else on the path."""
    environment = _environment(PYTHONPATH=str(project / path))
    for arguments, start in ((["--help"], "Usage: sepo"), (["info", pipeline["score"][0]], "stage        rewards")):
        done = subprocess.run(
            [command, *arguments], cwd=project / path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.lstrip().startswith(start)
    code = """
import sepo_data, sepo_train
from sepo_data import check, diff, query, scan, select
from sepo_train import evaluate, score, train, train_oracle
assert all(map(callable, (check, diff, query, scan, select, evaluate, score, train, train_oracle)))
"""
    python = command.with_name("python")
    done = subprocess.run(
        [python, "-c", code], cwd=project / path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_it_is_the_wheel_that_runs(installed, tmp_path):
    code = (
        "import sepo_data, sepo_train; from sepo_train.entry import load_cli;"
        "print(load_cli().__file__, sepo_data.__file__, sepo_train.__file__, sep='\\n')"
    )
    python = installed.with_name("python")
    done = subprocess.run([python, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    files = [Path(line) for line in done.stdout.split()]
    assert len(files) == 3
    assert all(file.is_relative_to(installed.parents[1]) for file in files)


USE = """
from pathlib import Path

import polars as pl

from sepo_data import Reading, check, diff, query, scan, select
from sepo_train import ScoringOptions, Training, evaluate, score, train, train_oracle

frame: pl.LazyFrame = scan("rewards")
rows: int = score(Reading("a.jsonl"), Path("r"), oracle="o", ref="r", options=ScoringOptions(beta=0.2)).rows
"""


def test_types_are_seen_from_outside(installed, tmp_path):
    """mypy reads the types of the installed wheel: right calls pass, wrong ones do not."""
    program = tmp_path / "program.py"

    def mypy(text):
        program.write_text(text, encoding="utf-8")
        command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", installed.with_name("python")]
        ran = subprocess.run(
            [*command, "--follow-imports=silent", program],
            cwd=tmp_path, env=_environment(), capture_output=True, text=True, check=False,
        )  # fmt: skip
        return ran.returncode, ran.stdout

    assert mypy(USE) == (0, "Success: no issues found in 1 source file\n")
    code, out = mypy(USE + "\nscan(1)\ntrain(Path('s'), Path('p'), policy=3)\nnumber: int = scan('x')\n")
    assert code == 1
    assert out.count("[arg-type]") == 2
    assert '"LazyFrame"' in out
