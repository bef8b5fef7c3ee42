"""Files of a figure: all three or none, complete or absent, exact numbers, no formulas."""

import csv
import errno

import polars as pl
import pytest

from sepo_data.errors import RefusedError, SepoError
from sepo_data.report import figure_files
from sepo_data.report.figure import Figure
from sepo_data.report.figure_files import write_figure

NUMBERS = [1 / 3, -1e-300, 123456789.123456789, 0.1]


class Chart:
    """In the place of a chart of altair: it draws its format and fails where it is asked to."""

    def save(self, file, format, ppi=None):  # noqa: A002 - altair's name
        text = f"{format} {ppi}"
        file.write(text if format == "svg" else text.encode())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder in which figures of one table are written without altair."""
    table = pl.DataFrame(
        {
            "token": ["=SUM(A1)", " plain", '"quoted", and\nbroken', None],
            "count": [1, -2, 3, 2**40],
            "mean_reward": NUMBERS,
        }
    )
    figure = Figure("A title", "A caption: of 3 pairs.", table, Chart())
    asked = []

    def make(kind, folders, *, verify):
        asked.append((kind, folders, verify))
        return figure

    monkeypatch.setattr(figure_files, "make_figure", make)
    folder = tmp_path / "figures"
    folder.mkdir()
    monkeypatch.setattr(Chart, "asked", asked, raising=False)
    return folder


def content(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


@pytest.mark.parametrize(
    ("name", "picture"),
    [("fig.svg", b"svg None"), ("fig.PDF", b"pdf None"), ("fig.png", b"png 300"), ("a.b.svg", b"svg None")],
)
def test_a_picture_its_numbers_and_its_caption(folder, name, picture):
    made = write_figure("kind", ["a", "b"], folder / name, verify=False)
    assert Chart.asked == [("kind", ["a", "b"], False)]
    stem = name.rpartition(".")[0]
    assert set(content(folder)) == {name, f"{stem}.csv", f"{stem}.txt"}
    assert (folder / name).read_bytes() == picture
    assert (folder / f"{stem}.txt").read_text(encoding="utf-8") == "A caption: of 3 pairs.\n"
    assert (made.title, made.caption, made.rows) == ("A title", "A caption: of 3 pairs.", 4)
    assert (made.picture, made.numbers, made.text) == (folder / name, folder / f"{stem}.csv", folder / f"{stem}.txt")


def test_numbers_are_exact_and_texts_are_no_formulas(folder):
    write_figure("kind", ["a"], folder / "fig.svg")
    with (folder / "fig.csv").open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["token", "count", "mean_reward"]
    assert [row[0] for row in rows] == ["'=SUM(A1)", " plain", '"quoted", and\nbroken', ""]
    assert [int(row[1]) for row in rows] == [1, -2, 3, 2**40]
    assert [float(row[2]) for row in rows] == NUMBERS


@pytest.mark.parametrize("there", ["fig.svg", "fig.csv", "fig.txt"])
def test_one_file_that_exists_refuses_all(folder, there):
    (folder / there).write_text("years of work")
    with pytest.raises(RefusedError, match=f"{there} exists") as raised:
        write_figure("kind", ["a"], folder / "fig.svg")
    assert raised.value.hint == "choose another --out, or replace it with --overwrite"
    if there == "fig.svg":
        assert Chart.asked == [], "refused before anything is computed"
    assert content(folder) == {there: b"years of work"}
    write_figure("kind", ["a"], folder / "fig.svg", overwrite=True)
    assert set(content(folder)) == {"fig.csv", "fig.svg", "fig.txt"}
    assert b"years of work" not in content(folder).values()


def test_places_that_no_file_may_have(folder, scored):
    (folder / "fig.csv").mkdir()
    with pytest.raises(RefusedError, match=r"fig\.csv is not a file"):
        write_figure("kind", ["a"], folder / "fig.svg", overwrite=True)
    with pytest.raises(RefusedError, match="a stage directory"):
        write_figure("kind", ["a"], scored / "fig.svg")
    with pytest.raises(SepoError, match="is no directory"):
        write_figure("kind", ["a"], folder / "nowhere" / "fig.svg")
    assert Chart.asked == []


@pytest.mark.parametrize("name", ["fig.jpg", "fig", "fig.csv", "fig.txt", ".svg"])
def test_other_formats_are_refused_with_those_that_there_are(folder, name):
    with pytest.raises(SepoError, match="no format has the suffix") as raised:
        write_figure("kind", ["a"], folder / name)
    assert raised.value.hint == "end it in .svg, .pdf, .png"
    assert content(folder) == {}


def test_a_picture_that_cannot_be_drawn_leaves_nothing(folder, monkeypatch):
    def save(self, file, format, ppi=None):  # noqa: A002 - altair's name
        file.write(b"half")
        raise ValueError("no such mark")

    monkeypatch.setattr(Chart, "save", save)
    with pytest.raises(ValueError, match="no such mark"):
        write_figure("kind", ["a"], folder / "fig.png")
    assert content(folder) == {}


def test_the_picture_comes_last(folder, monkeypatch):
    """What stops the run between two files leaves the old picture, never half of a file."""
    write_figure("kind", ["a"], folder / "fig.svg")
    new_file, before = figure_files.new_file, content(folder)

    def full(out, **options):
        if out.suffix == ".svg":
            assert {file.suffix for file in folder.iterdir()} == {".svg", ".csv", ".txt"}
            raise OSError(errno.ENOSPC, "No space left on device")
        return new_file(out, **options)

    monkeypatch.setattr(figure_files, "new_file", full)
    with pytest.raises(OSError, match="No space left"):
        write_figure("kind", ["a"], folder / "fig.svg", overwrite=True)
    assert content(folder) == before


def test_a_figure_in_two_formats_has_its_numbers_once(folder):
    write_figure("kind", ["a"], folder / "fig.pdf")
    before = {name: (folder / name).stat().st_mtime_ns for name in ("fig.csv", "fig.txt")}
    write_figure("kind", ["a"], folder / "fig.png")
    assert set(content(folder)) == {"fig.pdf", "fig.png", "fig.csv", "fig.txt"}
    assert {name: (folder / name).stat().st_mtime_ns for name in before} == before, "they stay as they are"


@pytest.mark.parametrize("changed", ["fig.csv", "fig.txt"])
def test_one_byte_that_differs_is_another_figure(folder, changed):
    write_figure("kind", ["a"], folder / "fig.pdf")
    data = (folder / changed).read_bytes()
    (folder / changed).write_bytes(data[:-2] + b"!\n")
    before = content(folder)
    with pytest.raises(RefusedError, match=f"{changed} exists and is not of this figure"):
        write_figure("kind", ["a"], folder / "fig.png")
    assert content(folder) == before
    write_figure("kind", ["a"], folder / "fig.png", overwrite=True)
    assert (folder / changed).read_bytes() == data
