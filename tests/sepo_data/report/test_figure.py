"""Kinds of figures: the registry, the number of directories, the missing library, the formats of a picture."""

import subprocess
import sys
from types import ModuleType, SimpleNamespace

import pytest

from sepo_data.errors import SepoError
from sepo_data.report import figure as base
from sepo_data.report.figure import FIGURES, Figure, FigureKind, check_library, make_figure, picture_of
from sepo_data.schemas.folder import DATASETS
from sepo_data.schemas.stages import Stage

KINDS = {
    *("accumulation", "accuracy", "agreement", "classes", "curve", "distribution", "fractions", "grid", "kept"),
    *("overlap", "position", "tokens"),
}


@pytest.fixture
def kind(monkeypatch):
    """Add a kind of figure for one test; its chart lists the names of its directories."""

    def add(*, least=1, most=1, stages=DATASETS):
        def drawing(sources):
            """A figure of names.

            More about it.
            """
            return Figure("Names", "A caption.", None, [source.name for source in sources])

        entry = FigureKind("drawing", drawing, stages, least, most)
        monkeypatch.setattr(base, "FIGURES", {**FIGURES, "drawing": entry})
        return entry

    return add


def test_every_kind_is_found():
    assert set(FIGURES) == KINDS
    assert list(FIGURES) == sorted(FIGURES)


@pytest.mark.parametrize("name", sorted(KINDS))
def test_a_kind_is_a_file_of_its_name_that_describes_itself(name):
    entry = FIGURES[name]
    assert entry.module == f"sepo_data.report.figures.{name}"
    assert entry.summary.endswith(".")
    assert "\n" not in entry.summary
    assert 1 <= entry.least <= (entry.most or entry.least)
    assert entry.stages


def test_a_figure_registers_itself(monkeypatch):
    added = []
    monkeypatch.setattr(base, "FIGURES", SimpleNamespace(add=added.append))

    @base.figure(stages=[Stage.SELECTION], least=2, most=None)
    def mine(sources):
        """Mine."""

    [entry] = added
    assert (entry.name, entry.summary, entry.least, entry.most) == ("mine", "Mine.", 2, None)
    assert entry.draw is mine


def test_an_unknown_kind_is_refused_with_a_suggestion_and_all_names():
    with pytest.raises(SepoError, match="there is no figure 'curv'") as raised:
        make_figure("curv", ["nowhere"])
    assert raised.value.hint.startswith("did you mean curve")
    assert raised.value.hint.endswith(f"They are: {', '.join(FIGURES)}")
    with pytest.raises(SepoError) as raised:
        make_figure("\x1b[2J" * 100, ["nowhere"])
    assert raised.value.hint.startswith("They are: accumulation")


@pytest.mark.parametrize(
    ("least", "most", "given", "wanted"),
    [
        (1, 1, 2, "1 directory"),
        (2, 2, 3, "2 directories"),
        (2, 3, 1, "2 to 3 directories"),
        (2, None, 1, "2 or more directories"),
        (1, None, 0, "1 or more directories"),
    ],
)
def test_another_number_of_directories_is_refused(kind, least, most, given, wanted):
    kind(least=least, most=most)
    with pytest.raises(SepoError) as raised:
        make_figure("drawing", ["nowhere"] * given)
    assert str(raised.value) == f"drawing takes {wanted}, not {given}"
    assert raised.value.hint == "A figure of names."


def test_a_figure_of_as_many_directories_as_it_takes(kind, scored, scored_otherwise):
    kind(least=2, most=None)
    assert make_figure("drawing", [scored, scored_otherwise]).chart == ["rewards", "rewards_otherwise"]
    kind(least=1, most=1)
    assert make_figure("drawing", [scored]).chart == ["rewards"]


def test_another_stage_is_refused(kind, scored):
    kind(stages=[Stage.SELECTION])
    with pytest.raises(SepoError, match="holds rewards, not selection") as raised:
        make_figure("drawing", [scored])
    assert raised.value.hint == "`sepo select --help` shows how to make it"


@pytest.mark.parametrize("library", ["altair", "vl_convert"])
def test_a_missing_library_is_named_with_its_extra(kind, monkeypatch, library):
    check_library()
    kind()
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(SepoError, match="which is not installed") as raised:
        make_figure("drawing", ["nowhere"])
    assert library in str(raised.value)
    assert raised.value.hint == "pip install 'sepo[report]'"


@pytest.mark.slow
@pytest.mark.parametrize("gibibytes", [16, 64])
def test_a_limited_address_space_is_named_before_the_library_ends_the_process(scored, tmp_path, gibibytes):
    code = f"""
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, ({gibibytes} << 30, {gibibytes} << 30))
from sepo_data.report.figure import make_figure
make_figure("grid", [sys.argv[1]]).picture("svg")
"""
    done = subprocess.run([sys.executable, "-c", code, scored], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"this process may use {gibibytes} GiB" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_the_least_address_space_is_enough(scored):
    code = """
import resource, sys
from sepo_data.report.figure import LEAST_ADDRESS_SPACE, make_figure
resource.setrlimit(resource.RLIMIT_AS, (LEAST_ADDRESS_SPACE, LEAST_ADDRESS_SPACE))
print(len(make_figure("grid", [sys.argv[1]]).picture("svg")) > 1000)
"""
    done = subprocess.run([sys.executable, "-c", code, scored], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True"]


def test_an_import_error_within_the_library_is_not_taken_for_its_absence(monkeypatch):
    class Broken(ModuleType):
        pass

    monkeypatch.setitem(sys.modules, "altair", Broken("altair"))
    monkeypatch.setitem(sys.modules, "vl_convert", Broken("vl_convert"))
    check_library()


@pytest.mark.slow
def test_pictures_are_as_large_as_the_chart_says():
    import altair as alt

    chart = alt.Chart(alt.Data(values=[{"a": 1}])).mark_bar().encode(x=alt.X("a:Q", axis=None))
    chart = chart.properties(width=72, height=36, padding=0).configure_view(stroke=None)
    figure = Figure("", "", None, chart)
    assert figure.picture("svg").startswith(b"<svg")
    assert b'width="72pt" height="36pt" viewBox="0 0 72 36"' in figure.picture("svg")
    assert figure.picture("pdf").startswith(b"%PDF")
    png = figure.picture("png")
    assert int.from_bytes(png[16:20]) == 300, "an inch"
    assert int.from_bytes(picture_of(chart, "png", dots_per_inch=144)[16:20]) == 144
    assert figure.picture("png") == png, "the same numbers give the same bytes"
    assert figure.picture("svg") == figure.picture("svg")
