"""The picture of a training run in its directory."""

import subprocess
import sys

import pytest

from sepo_data.errors import SepoError
from sepo_train.publishing.curve import draw_curve


def size_of(picture):
    """Width and height, from byte 16 of a PNG."""
    return [int.from_bytes(picture[at : at + 4]) for at in (16, 20)]


@pytest.mark.slow
@pytest.mark.parametrize("steps", [1, 2000])
def test_the_picture(tmp_path, run_of, write_metrics, steps):
    assert draw_curve(write_metrics(tmp_path, run_of(steps)), tmp_path / "curve.png")
    picture = (tmp_path / "curve.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    width, height = size_of(picture)
    assert 900 < width < 1200, "three panels side by side, for a screen"
    assert 800 < height < 1000
    assert sorted(file.name for file in tmp_path.iterdir()) == ["curve.png", "metrics.jsonl"]


@pytest.mark.slow
def test_the_same_numbers_give_the_same_picture(tmp_path, run_of, write_metrics):
    metrics = write_metrics(tmp_path, run_of(8, evaluated=False))
    first, second = tmp_path / "curve.png", tmp_path / "again.png"
    assert draw_curve(metrics, first)
    assert draw_curve(metrics, second)
    assert first.read_bytes() == second.read_bytes()


@pytest.mark.parametrize("library", ["altair", "vl_convert"])
def test_nothing_is_drawn_without_numbers_or_a_library(tmp_path, monkeypatch, run_of, write_metrics, library):
    picture = tmp_path / "curve.png"
    assert not draw_curve(tmp_path / "none.jsonl", picture)
    assert not draw_curve(write_metrics(tmp_path, []), picture)
    metrics = write_metrics(tmp_path, run_of(8))
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SepoError, match=f"figures need {library}"):
        draw_curve(metrics, picture)
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.jsonl"]


@pytest.mark.slow
def test_the_library_is_imported_late(tmp_path, run_of, write_metrics):
    metrics = write_metrics(tmp_path, run_of(3))
    code = f"""
import pathlib, sys
from sepo_train.publishing.curve import draw_curve
early = "altair" in sys.modules or "vl_convert" in sys.modules
print(early, draw_curve(pathlib.Path({str(metrics)!r}), pathlib.Path({str(tmp_path / "curve.png")!r})))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]
