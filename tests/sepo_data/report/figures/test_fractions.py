"""Oracles of more and less data, against a plain loop and `sepo diff`."""

from __future__ import annotations

import shutil

import pyarrow as pa
import pytest

from sepo_data.analysis.diff import diff
from sepo_data.errors import SepoError
from sepo_data.report.figure import make_figure
from sepo_data.report.figures.fractions import fractions_table
from sepo_data.report.source import open_sources
from sepo_data.schemas.manifest import InputRecord, Manifest, ModelRecord
from sepo_data.schemas.stages import Stage
from sepo_data.stages.writer import open_stage

PAIRS = 20


@pytest.fixture(scope="session")
def write(tmp_path_factory, rewards_of):
    """Write the rewards of an oracle: `seen` of the pairs are recorded as seen; `trained_on` is its own record."""
    folder = tmp_path_factory.mktemp("fractions")

    def rewards(name, shift, seen, *, trained_on=None):
        pairs = [([((n + shift) * 7 % 11) / 4, 0.5, -0.25], [n % 3 + 0.5, shift / 8]) for n in range(PAIRS)]
        table = rewards_of(pairs)
        column = pa.array([None if seen is None else n < seen for n in range(PAIRS)], pa.bool_())
        table = table.set_column(table.column_names.index("oracle_seen"), table.field("oracle_seen"), column)
        data = InputRecord(name="toy", fingerprint="f", rows=PAIRS)
        oracle = Manifest(
            stage=Stage.ORACLE, input=data, options={"fraction": f"{seen}%", "seed": shift}, complete=True
        )
        if trained_on is not None:
            (folder / f"oracle-{name}").mkdir()
            record = oracle.model_copy(update={"results": {"pairs_seen": trained_on}}).to_json()
            (folder / f"oracle-{name}" / "sepo.json").write_text(record, encoding="utf-8")
        model = ModelRecord(name=str(folder / f"oracle-{name}"), weights=name, parameters=1)
        plan = Manifest(
            stage=Stage.REWARDS, input=data, models={"oracle": model, "ref": model}, parent=oracle.fingerprint
        )
        stage = open_stage(folder / name, plan, shards=2)
        (folder / name / "tokenizer").mkdir()
        (folder / name / "tokenizer" / "tokenizer.json").write_text("{}", encoding="utf-8")
        stage.write_shard(0, table.slice(0, 13))
        stage.write_shard(1, table.slice(13))
        stage.finish(seconds=0.0)
        return folder / name, pairs

    return rewards


@pytest.fixture(scope="session")
def oracles(write):
    """By name; two oracles have a record of more pairs than the directory has, one saw all pairs of the directory."""
    return {
        "few": write("few", 1, 4),
        "some": write("some", 2, 10, trained_on=30),
        "most": write("most", 3, 20, trained_on=90),
    }


def test_a_plain_loop_finds_the_same(oracles):
    folders = [oracles[name][0] for name in ("most", "few", "some")]
    table = fractions_table(open_sources(folders))
    assert table.select("directory", "oracle_pairs", "recorded", "fraction", "unseen_pairs").rows() == [
        ("few", 4, False, None, 16),
        ("some", 30, True, "10%", 10),
        ("most", 90, True, "20%", 0),
    ]
    for name, seen in (("few", 4), ("some", 10)):
        margins = [sum(chosen) - sum(rejected) for chosen, rejected in oracles[name][1][seen:]]
        right = sum((m > 0) + (m == 0) / 2 for m in margins)
        [row] = table.filter(directory=name).iter_rows(named=True)
        assert 0 < right < len(margins)
        assert row["accuracy"] == pytest.approx(right / len(margins))
        assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]
    assert table.row(2, named=True) | {"accuracy": None, "jaccard": None, "chance": None} == table.row(2, named=True)


def test_the_agreement_is_that_of_diff(oracles):
    table = fractions_table(open_sources([oracles[name][0] for name in ("few", "some", "most")]))
    for name in ("few", "some"):
        overlaps = diff(oracles[name][0], oracles["most"][0]).overlaps
        [expected] = [one for one in overlaps if (one.share, one.side) == ("30%", "together")]
        [row] = table.filter(directory=name).iter_rows(named=True)
        assert (row["jaccard"], row["chance"]) == (pytest.approx(expected.jaccard), pytest.approx(expected.chance))


def test_the_picture_and_its_caption(oracles):
    figure = make_figure("fractions", [folder for folder, _ in oracles.values()])
    picture = figure.picture("svg").decode()
    for text in ("accuracy, unseen pairs", "agreement at 30%", "pairs that the oracle was trained on"):
        assert f">{text}</text>" in picture
    assert "the oracle of the most data (most)" in figure.caption
    assert "Of few only the pairs in the directory are counted" in figure.caption


def test_an_oracle_that_moved_is_counted_by_the_directory(write):
    folder, _ = write("moved", 4, 7, trained_on=50)
    other, _ = write("stays", 5, 6)
    assert fractions_table(open_sources([folder, other]))["oracle_pairs"].to_list() == [6, 50]
    shutil.rmtree(folder.with_name("oracle-moved"))
    assert fractions_table(open_sources([folder, other]))["oracle_pairs"].to_list() == [6, 7]


def test_an_oracle_without_a_record_is_refused(write, oracles):
    folder, _ = write("unknown", 6, None)
    with pytest.raises(SepoError, match="unknown has 20 pairs of which it is not recorded") as caught:
        make_figure("fractions", [oracles["few"][0], folder])
    assert "`sepo oracle`" in caught.value.hint


def test_one_directory_is_too_few(oracles):
    with pytest.raises(SepoError, match="takes 2 or more directories, not 1"):
        make_figure("fractions", [oracles["few"][0]])
