"""`write_report`: one file, complete or absent, of one directory or several, whatever their texts are."""

import json
import re

import pytest

from sepo_data import select
from sepo_data.errors import RefusedError, SepoError
from sepo_data.report import report as module
from sepo_data.report.report import write_report
from tests.fixtures.commands import PAIRS


class Steps:
    def __init__(self):
        self.done = []

    def note(self, text):
        raise AssertionError(text)

    def step(self, done, total, text):
        self.done.append((done, total, text))


def data_of(page: str) -> dict:
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_a_report_is_one_file_with_every_figure_that_applies(scored, tmp_path):
    steps = Steps()
    made = write_report([scored], tmp_path / "r.html", progress=steps)
    page = made.path.read_text(encoding="utf-8")
    assert (made.pairs, made.shown, made.bytes) == (3, 3, made.path.stat().st_size)
    assert made.figures[:3] == ("distribution", "accumulation", "position")
    assert made.seconds > 0
    assert re.findall(r'data-figure="([a-z]+)"', page) == list(made.figures)
    total = steps.done[-1][1]
    assert [done for done, _, _ in steps.done] == list(range(1, total + 1))
    assert len(data_of(page)["pairs"]["ids"]) == len(PAIRS)
    assert list(tmp_path.iterdir()) == [made.path]


def test_the_same_report_is_the_same_file(scored, tmp_path):
    first, second = (write_report([scored], tmp_path / name).path.read_bytes() for name in ("a.html", "b.html"))
    assert first == second


def test_a_selection_has_the_sums_of_its_masks(selected, tmp_path):
    page = write_report([selected], tmp_path / "r.html").path.read_text(encoding="utf-8")
    [kept] = data_of(page)["kept"]
    assert kept["stored"]["chosen"] == {"tokens": 3, "reward": 3.25, "absolute": 3.25}
    assert kept["shares"] == {"chosen": 30, "rejected": 30}
    assert "top" in page


@pytest.mark.parametrize("rule", ["mass(60%)", "top(0.5%)", "top(12.5%)"])
def test_sliders_begin_at_no_share_that_they_do_not_have(scored, tmp_path, rule):
    select(scored, tmp_path / "selection", rule)
    page = write_report([tmp_path / "selection"], tmp_path / "r.html").path.read_text(encoding="utf-8")
    assert data_of(page)["kept"][0]["shares"] == {}


def test_several_directories_are_compared(scored, scored_otherwise, tmp_path):
    made = write_report([scored, scored_otherwise], tmp_path / "r.html")
    page = made.path.read_text(encoding="utf-8")
    assert "agreement" in made.figures
    assert len(data_of(page)["pairs"]["tracks"]) == 2
    assert '<select id="track"><option value="0">rewards</option><option value="1">rewards_otherwise</option>' in page
    assert '<option value="disagreement">' in page


def test_rewards_and_their_selection_are_one_oracle(scored, selected, tmp_path):
    made = write_report([selected, scored], tmp_path / "r.html")
    page = made.path.read_text(encoding="utf-8")
    assert '<p class="lede">The rewards of 3 pairs that both directories have' in page
    assert page.count("<dt>Oracle accuracy, unseen pairs</dt>") == 1
    assert page.count('data-figure="distribution"') == page.count('data-figure="kept"') == 1
    assert not {"agreement", "fractions", "overlap"} & set(made.figures)
    assert "disagreement</option>" not in page
    assert 'Its rewards are those of <span class="directory">rewards</span>' in page
    assert [track["holder"] for track in data_of(page)["pairs"]["tracks"]] == [1, 1]


def test_a_figure_that_cannot_be_drawn_is_left_out_with_its_reason(scored, tmp_path, monkeypatch):
    from sepo_data.report.figure import FIGURES, FigureKind

    def distribution(sources):
        raise SepoError("there is <nothing> to draw")

    kind = FIGURES["distribution"]
    kinds = {**FIGURES, "distribution": FigureKind("distribution", distribution, kind.stages, 1, 1)}
    monkeypatch.setattr("sepo_data.report.page.charts.FIGURES", kinds)
    made = write_report([scored], tmp_path / "r.html")
    page = made.path.read_text(encoding="utf-8")
    assert "<li>No chart distribution: there is &lt;nothing&gt; to draw.</li>" in page
    assert "distribution" not in made.figures


def test_pairs_are_a_sample_where_fewer_are_asked_for(drawn, tmp_path):
    made = write_report([drawn.folder], tmp_path / "r.html", pairs=10)
    page = made.path.read_text(encoding="utf-8")
    assert (made.pairs, made.shown) == (60, 10)
    assert "10 of the 60 pairs of the directory, spread evenly over its rows" in page


def test_the_file_stays_small_whatever_the_pairs_are(drawn, tmp_path, monkeypatch):
    whole = write_report([drawn.folder], tmp_path / "whole.html")
    monkeypatch.setattr(module, "LARGEST", whole.bytes - 1000)
    made = write_report([drawn.folder], tmp_path / "r.html")
    assert made.bytes <= whole.bytes - 1000
    assert 0 < made.shown < 60
    assert f"{made.shown} of the 60 pairs" in made.path.read_text(encoding="utf-8")
    assert made.figures == whole.figures


def test_no_pair_is_shown_where_none_fits(drawn, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 1)
    made = write_report([drawn.folder], tmp_path / "r.html")
    assert made.shown == 0
    assert "small enough to be shown here" in made.path.read_text(encoding="utf-8")


def test_an_unfinished_directory_is_reported_as_far_as_it_is(tmp_path, rewards_of, texts):
    from sepo_data.schemas.manifest import InputRecord, Manifest
    from sepo_data.schemas.stages import Stage
    from sepo_data.stages.writer import open_stage

    folder = tmp_path / "rewards"
    plan = Manifest(stage=Stage.REWARDS, input=InputRecord(name="toy", fingerprint="f", rows=2))
    stage = open_stage(folder, plan, shards=2)
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer.json").write_text(texts, encoding="utf-8")
    stage.write_shard(0, rewards_of(PAIRS[:2]))
    made = write_report([folder], tmp_path / "r.html")
    assert made.pairs == 2
    assert "Unfinished: 2 pairs so far." in made.path.read_text(encoding="utf-8")


def test_an_existing_file_is_replaced_only_when_asked(scored, tmp_path):
    out = tmp_path / "r.html"
    out.write_text("mine", encoding="utf-8")
    with pytest.raises(RefusedError, match="exists"):
        write_report([scored], out)
    assert out.read_text(encoding="utf-8") == "mine"
    assert write_report([scored], out, overwrite=True).bytes == out.stat().st_size


def test_a_failure_leaves_no_file(scored, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "fit_pairs", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report([scored], tmp_path / "r.html")
    assert list(tmp_path.iterdir()) == []


def test_another_stage_is_refused(tmp_path):
    with pytest.raises(SepoError, match="does not exist"):
        write_report([tmp_path / "nothing"], tmp_path / "r.html")
    with pytest.raises(SepoError, match="pairs"):
        write_report([tmp_path], tmp_path / "r.html", pairs=0)
