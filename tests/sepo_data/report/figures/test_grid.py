"""K of chosen against K of rejected, against selections and plain loops."""

from __future__ import annotations

import re

import pytest

from sepo_data.analysis.query import query
from sepo_data.errors import SepoError
from sepo_data.report.figure import make_figure
from sepo_data.report.figures.grid import _number_format, in_order, margin_grid, policy_grid
from sepo_data.report.source import open_sources
from sepo_data.schemas.manifest import InputRecord, Manifest
from sepo_data.schemas.stages import Stage
from sepo_data.selection.select import select
from sepo_data.stages.directory import read_manifest

MARGIN = """
SELECT SUM(CASE WHEN side = 'chosen' THEN CAST(reward AS DOUBLE) ELSE -CAST(reward AS DOUBLE) END) AS margin
FROM tokens WHERE selected
"""


def test_margins_are_those_of_selections(drawn, tmp_path):
    table = margin_grid(drawn.source)
    assert table.height == 100
    for chosen, rejected in (("10%", "10%"), ("30%", "60%"), ("100%", "20%"), ("100%", "100%")):
        folder = tmp_path / f"{chosen}{rejected}".replace("%", "-")
        select(drawn.folder, folder, chosen=chosen, rejected=rejected)
        expected = query(MARGIN, {"pairs": folder}).collect().item() / len(drawn.pairs)
        assert table.filter(chosen=chosen, rejected=rejected)["margin"].item() == pytest.approx(expected)
    everything = [sum(chosen) - sum(rejected) for chosen, rejected in drawn.pairs]
    assert table["margin"][-1] == pytest.approx(sum(everything) / len(everything))


def test_a_rewards_directory_is_drawn_with_numbers(drawn):
    figure = make_figure("grid", [drawn.folder])
    picture = figure.picture("svg").decode()
    for text in ("K of chosen", "K of rejected", "100%", f"{figure.table['margin'][0]:.2f}"):
        assert f">{text}</text>" in picture
    assert "rewards: 60 pairs" in figure.caption
    assert "mean over pairs" in figure.caption


@pytest.fixture
def write_policy(drawn, tmp_path):
    """Write the record of a policy trained on a selection of `drawn`, with its accuracy after training."""

    def write(name, chosen, rejected, accuracy, *, rule="top", complete=True, trained_on=40, **options):
        selection = tmp_path / f"{rule}-{chosen}-{rejected}".replace("%", "")
        if not selection.exists():
            select(drawn.folder, selection, rule, chosen=chosen, rejected=rejected)
        parent = read_manifest(selection)
        evaluated = {"after": {"all/accuracies": accuracy}} if accuracy is not None else None
        policy = Manifest(
            stage=Stage.POLICY,
            input=InputRecord(name=str(selection), fingerprint=parent.fingerprint, rows=parent.rows),
            options={"lr": 1e-5, "seed": 0, "limit": None} | options,
            parent=parent.fingerprint,
            complete=complete,
            results={"pairs": trained_on} | ({"eval": evaluated} if evaluated else {}),
        )
        (tmp_path / name).mkdir()
        (tmp_path / name / "sepo.json").write_text(policy.to_json(), encoding="utf-8")
        return tmp_path / name

    return write


def opened(folders):
    return open_sources(folders, stages=[Stage.POLICY, Stage.REWARDS])


def test_policies_by_hand(write_policy):
    folders = [
        write_policy("a", "30%", "100%", 0.75),
        write_policy("b", "5%", "30%", 0.5),
        write_policy("c", "30%", "100%", 0.5, seed=1, limit=50),
        write_policy("d", "16t", "30%", 0.625),
    ]
    table = policy_grid(opened(folders))
    assert table.columns == ["chosen", "rejected", "policies", "held_out", "accuracy"]
    # 60 pairs, 40 trained on; of the third 50 were used
    assert table.rows() == [
        ("5%", "30%", 1, 20, 0.5), ("30%", "100%", 2, 10, 0.625), ("16 tokens", "30%", 1, 20, 0.625),
    ]  # fmt: skip


def test_policies_are_drawn_with_their_numbers(write_policy):
    folders = [write_policy("a", "10%", "30%", 0.75), write_policy("b", "30%", "30%", 0.5, lr=1e-4)]
    figure = make_figure("grid", folders)
    picture = figure.picture("svg").decode()
    assert all(f">{text}</text>" in picture for text in ("0.75", "0.50", "accuracy on held-out pairs"))
    assert figure.caption.startswith("Policies: a, b. Accuracy on 20 held-out pairs")
    assert "The runs differ in lr, too." in figure.caption


def test_a_policy_without_a_record_of_its_pairs_is_drawn(write_policy):
    figure = make_figure("grid", [write_policy("a", "10%", "30%", 0.75, trained_on=None)])
    assert figure.table.rows() == [("10%", "30%", 1, None, 0.75)]
    assert "Accuracy on their held-out pairs" in figure.caption


def test_a_policy_without_an_evaluation_is_refused(write_policy):
    folders = [write_policy("a", "10%", "30%", 0.75), write_policy("b", "30%", "30%", None)]
    with pytest.raises(SepoError, match="b has no accuracy on held-out pairs") as caught:
        make_figure("grid", folders)
    assert "--holdout 20%" in caught.value.hint


def test_a_policy_in_training_is_refused(write_policy):
    with pytest.raises(SepoError, match="a is not trained to its end") as caught:
        make_figure("grid", [write_policy("a", "10%", "30%", None, complete=False)])
    assert "resumes it" in caught.value.hint


def test_a_lost_selection_is_refused(write_policy, tmp_path):
    folder = write_policy("a", "10%", "30%", 0.75)
    (tmp_path / "top-10-30").rename(tmp_path / "moved")
    with pytest.raises(SepoError, match=r"the selection that a was trained on, .*, is no longer there"):
        make_figure("grid", [folder])


def test_other_rules_are_refused(write_policy):
    folders = [write_policy("a", "10%", "30%", 0.75), write_policy("b", "30%", "30%", 0.5, rule="random")]
    with pytest.raises(SepoError, match=r"the selections of a and b differ in more than K: options\.rule"):
        make_figure("grid", folders)


def test_rewards_and_policies_do_not_mix(drawn, write_policy):
    with pytest.raises(
        SepoError, match=r"one rewards directory, or policies alone, not rewards \(rewards\), a \(policy\)"
    ):
        make_figure("grid", [drawn.folder, write_policy("a", "10%", "30%", 0.75)])


def test_quotas_are_in_the_order_of_their_numbers():
    assert in_order({"100%", "5%", "16 tokens", "2 tokens", "12.5%"}) == [
        "5%",
        "12.5%",
        "100%",
        "2 tokens",
        "16 tokens",
    ]


@pytest.mark.parametrize(
    ("largest", "power", "written"),
    [
        (0.0, 0, "0.00"), (0.58, 0, "0.58"), (9.99, 0, "9.99"), (13.4, 0, "13.4"), (986.0, 0, "986"),
        (0.0123, -2, "1.23"), (2.91e30, 30, "2.91"), (54321.0, 4, "5.43"),
    ],
)  # fmt: skip
def test_numbers_fit_into_their_cells(largest, power, written):
    found, form = _number_format(largest)
    assert (found, f"{largest / 10**found:{form}}") == (power, written)


@pytest.mark.parametrize("size", [1e-4, 1.0, 50.0, 1e6])
def test_no_number_is_wider_than_its_cell(size, tmp_path, rewards_of, write_rewards):
    pairs = [([-size, -size / 700], [size, size / 90])]
    write_rewards(tmp_path / "rewards", [rewards_of(pairs)])
    figure = make_figure("grid", [tmp_path / "rewards"])
    numbers = set(re.findall(r">(\u2212?[\d.]+)</text>", figure.picture("svg").decode()))
    assert numbers
    assert max(map(len, numbers)) <= 5


def test_equal_numbers_are_light_and_have_no_scale(write_policy):
    picture = make_figure("grid", [write_policy("a", "10%", "30%", 0.75)]).picture("svg").decode()
    assert ">accuracy on held-out pairs</text>" in picture
    assert re.findall(r">(\u2212?\d\.\d+)</text>", picture) == ["0.75"], "no bounds of a scale"


def test_the_width_of_the_interval_of_a_policy_is_said(write_policy):
    caption = make_figure("grid", [write_policy("a", "10%", "30%", 0.75, trained_on=10)]).caption
    assert "On 50 pairs the 95% interval of one policy reaches up to 14 percentage points each way." in caption
