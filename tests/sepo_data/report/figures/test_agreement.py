"""Agreement between oracles, against the masks of `sepo select`, `sepo diff` and a plain loop."""

from __future__ import annotations

import shutil
from xml.etree import ElementTree as ET

import pytest

from sepo_data.analysis.diff import diff
from sepo_data.errors import SepoError
from sepo_data.report.figure import make_figure
from sepo_data.report.figures.agreement import agreement_table
from sepo_data.report.source import open_sources
from sepo_data.share import share_of


@pytest.fixture(scope="session")
def noisy(drawn, tmp_path_factory, rewards_of, write_rewards, texts):
    """The pairs of `drawn` but the first two, in another order and other shards, with other rewards."""
    pairs = [([-r if r > 1 else r for r in chosen], [r % 1 for r in rejected]) for chosen, rejected in drawn.pairs]
    numbers = [*range(59, 30, -1), *range(2, 31)]
    rows = [rewards_of([pairs[number]], first=number) for number in numbers]
    tables = [
        type(rows[0]).from_batches([b for row in part for b in row.to_batches()]) for part in (rows[:9], rows[9:])
    ]
    folder = tmp_path_factory.mktemp("noisy") / "other rewards"
    write_rewards(folder, tables, tokenizer=texts)
    return folder, pairs[2:]


def best(rewards, side, k):
    sign = -1 if side == "chosen" else 1
    return set(sorted(range(len(rewards)), key=lambda at: (sign * rewards[at], at))[:k])


def test_a_plain_loop_finds_the_same(drawn, noisy):
    folder, others = noisy
    table = agreement_table(open_sources([drawn.folder, folder]))
    assert table.height == 300
    for share in (1, 7, 20, 30, 34, 50, 67, 99, 100):
        totals = {"tokens": 0, "selected": 0, "in_both": 0}
        chance = 0
        for side, place in (("chosen", 0), ("rejected", 1)):
            found = {"tokens": 0, "selected": 0, "in_both": 0}
            for one, other in zip(drawn.pairs[2:], others, strict=True):
                n = len(one[place])
                k = share_of(n, share * 100)
                found["tokens"] += n
                found["selected"] += k
                found["in_both"] += len(best(one[place], side, k) & best(other[place], side, k))
                chance += k * k / n
            [row] = table.filter(side=side, share_percent=share).iter_rows(named=True)
            assert {name: row[name] for name in found} == found
            assert row["jaccard"] == pytest.approx(found["in_both"] / (2 * found["selected"] - found["in_both"]))
            totals = {name: totals[name] + found[name] for name in found}
        [row] = table.filter(side="together", share_percent=share).iter_rows(named=True)
        assert {name: row[name] for name in totals} == totals
        assert row["chance"] == pytest.approx(chance / (2 * totals["selected"] - chance))
        assert row["pairs"] == 58


def test_it_equals_diff(drawn, noisy):
    table = agreement_table(open_sources([drawn.folder, noisy[0]]))
    overlaps = diff(drawn.folder, noisy[0]).overlaps
    assert len(overlaps) == 12
    for one in overlaps:
        [row] = table.filter(side=one.side, share_percent=int(one.share.removesuffix("%"))).iter_rows(named=True)
        assert (row["selected"], row["selected"], row["in_both"]) == (one.selected_a, one.selected_b, one.in_both)
        assert (row["jaccard"], row["chance"]) == (pytest.approx(one.jaccard), pytest.approx(one.chance))


def test_two_directories_are_lines_by_side(drawn, noisy):
    figure = make_figure("agreement", [drawn.folder, noisy[0]])
    picture = figure.picture("svg").decode()
    assert all(f">{name}</text>" in picture for name in ("chosen", "rejected", "together", "by chance"))
    assert "the 58 pairs that both scored" in figure.caption
    assert "rewards: 60 pairs" in figure.caption
    assert "other rewards: 58 pairs" in figure.caption


def test_every_two_of_three_are_compared(drawn, noisy):
    figure = make_figure("agreement", [drawn.folder, noisy[0], drawn.folder])
    names = figure.table.select("a", "b").unique(maintain_order=True).rows()
    ends = [tuple(name.split("/")[-1] for name in both) for both in names]
    first, second, third = "rewards (1)", "other rewards", "rewards (2)"
    assert ends == [(first, second), (first, third), (second, third)]
    same = figure.table.filter(a=names[1][0], b=names[1][1])
    assert same["jaccard"].to_list() == [1.0] * 300
    picture = figure.picture("svg").decode()
    assert all(f"{one} | {other}" in picture for one, other in names)


def test_no_common_pair(drawn, tmp_path, rewards_of, write_rewards, texts):
    write_rewards(tmp_path / "rewards", [rewards_of([([1.0], [2.0])], first=1000)], tokenizer=texts)
    with pytest.raises(SepoError, match="share no pair"):
        make_figure("agreement", [drawn.folder, tmp_path / "rewards"])


def test_hostile_names_are_text(noisy, drawn, tmp_path):
    hostile = tmp_path / "a\x1b[31m" / "<b>\u202e&\"' {{datum.x}}"
    shutil.copytree(noisy[0], hostile)
    for others in ([drawn.folder], [drawn.folder, noisy[0]]):
        figure = make_figure("agreement", [hostile, *others])
        drawing = ET.fromstring(figure.picture("svg"))  # noqa: S314 - our own
        assert not [each for each in drawing.iter() if each.tag.split("}")[-1] in {"b", "script"}]
        assert figure.caption.isprintable()
        assert all(name.isprintable() for name in figure.table["a"])


def test_an_unfinished_directory_says_so(noisy, drawn, tmp_path):
    shutil.copytree(noisy[0], tmp_path / "rewards")
    (tmp_path / "rewards" / "state.json").unlink()
    assert "unfinished: 58 pairs so far" in make_figure("agreement", [drawn.folder, tmp_path / "rewards"]).caption


def written(tmp_path, number, rewards_of, write_rewards, texts):
    """Directories with long names that differ at their ends alone."""
    folders = [tmp_path / f"rewards_of_an_oracle_with_a_long_name_{place}" for place in range(number)]
    for folder in folders:
        write_rewards(folder, [rewards_of([([1.0, 2.0], [2.0])])], tokenizer=texts)
    return folders


def test_long_names_are_told_apart_in_the_legend(tmp_path, rewards_of, write_rewards, texts):
    figure = make_figure("agreement", written(tmp_path, 4, rewards_of, write_rewards, texts))
    drawing = ET.fromstring(figure.picture("svg"))  # noqa: S314 - our own
    legend = [each.text for each in drawing.iter() if each.text and " | " in each.text]
    assert len(set(legend)) == len(legend) == 6
    assert [text.count("\N{HORIZONTAL ELLIPSIS}") for text in legend] == [2] * 6, "nothing is cut at its end"


def test_more_lines_than_a_legend_names_are_alike(tmp_path, rewards_of, write_rewards, texts):
    figure = make_figure("agreement", written(tmp_path, 6, rewards_of, write_rewards, texts))
    picture = figure.picture("svg").decode()
    assert ">two oracles</text>" in picture
    assert " | " not in "".join(ET.fromstring(picture).itertext())  # noqa: S314 - our own
    assert figure.caption.endswith("Each line is of two of the 6 directories; the table names them.")
    assert figure.table.select("a", "b").n_unique() == 15
