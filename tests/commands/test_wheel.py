"""The wheel as a stranger installs it: nothing but the packages, and a command that only sees its own modules."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


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


def test_wheel_holds_the_packages_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        [entry_points] = [name for name in names if name.endswith("entry_points.txt")]
        assert archive.read(entry_points).decode().split() == ["[console_scripts]", "sepo", "=", "cli:main"]
    tops = {name.split("/")[0] for name in names}
    metadata = {top for top in tops if top.endswith(".dist-info")}
    assert tops - metadata == {"cli.py", "schemas", "sepo_data", "sepo_train"}
    assert len(metadata) == 1
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert all(name.endswith(".py") for name in names if name.split("/")[0] not in metadata)


@pytest.mark.parametrize("place", ["empty", "full"])
def test_command_works_anywhere(installed, pipeline, tmp_path, place):
    if place == "full":
        (tmp_path / "cli.py").write_text("raise RuntimeError('the wrong cli')", encoding="utf-8")
        for package in ("schemas", "sepo_data"):
            (tmp_path / package).mkdir()
            (tmp_path / package / "__init__.py").write_text("raise RuntimeError('the wrong package')", encoding="utf-8")
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SEPO_"))}
    for arguments, start in ((["--help"], "Usage: sepo"), (["info", pipeline["score"][0]], "stage        rewards")):
        done = subprocess.run(
            [installed, *arguments], cwd=tmp_path, env=plain, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith(start)


def test_it_is_the_wheel_that_runs(installed, tmp_path):
    code = "import cli, schemas, sepo_data, sepo_train; print(cli.__file__)"
    python = installed.with_name("python")
    done = subprocess.run([python, "-P", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).is_relative_to(installed.parents[1])
