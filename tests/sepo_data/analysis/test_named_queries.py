"""Every named query against a table worked out by hand."""

import subprocess
import sys

import polars as pl
import pytest

from sepo_data.analysis.diff import diff
from sepo_data.analysis.named_queries import READS, TWO_SELECTIONS, listing, named_queries, named_query, read_query
from sepo_data.analysis.query import query
from sepo_data.errors import SepoError
from sepo_data.selection.rules.top import top
from sepo_data.selection.select import select
from sepo_data.selection.selection import Selection
from sepo_data.stages.scan import scan

CHOSEN = [[4.0, 3.0, 2.0, 1.0, 0.0, -1.0, -2.0], [0.5, -0.5]]
REJECTED = [[1.0, -1.0], [-4.0, -1.0, -1.0, 0.0]]
"""The ids of a response are 10, 11, 12, ...; the prompts have three tokens; the oracle has seen pair 0."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, rewards_of, write_rewards):
    folder = tmp_path_factory.mktemp("named")
    pairs = list(zip(CHOSEN, REJECTED, strict=True))
    write_rewards(folder / "rewards", [rewards_of(pairs[:1]), rewards_of(pairs[1:], first=1)], tokenizer=TOKENIZER)
    select(folder / "rewards", folder / "30", chosen="30%", rejected="30%")
    select(folder / "rewards", folder / "50", chosen="50%", rejected="50%")
    return folder


TOKENIZER = """{
  "model": {"type": "BPE", "vocab": {"a": 0, "t10": 10, "t11": 11, "t12": 12, "t16": 16}, "merges": []},
  "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
  "added_tokens": []
}"""


def answer(name, folder):
    return query(f"@{name}", {"pairs": folder}).collect()


def test_reward_by_position(folder):
    # chosen 0-4: 4 3 2 1 0 and .5 -.5, 10 in 7 tokens; 5-6: -1 -2; rejected 0-4: 1 -1 and -4 -1 -1 0, -6 in 6
    assert answer("reward-by-position", folder / "rewards").rows() == [
        (0, 7, pytest.approx(10 / 7), 6, -1.0),
        (5, 2, -1.5, 0, None),
    ]


def test_tokens_that_gain_and_lose(tmp_path, rewards_of, write_rewards):
    # ids 10 and 11 occur ten times each, 12 only five times
    pairs = [([2.0, 1.0, 9.0], [0.0, -3.0])] * 5
    write_rewards(tmp_path / "rewards", [rewards_of(pairs)], tokenizer=TOKENIZER)
    first, second = ("t10", 10, 5, 5, 1.0), ("t11", 10, 5, 5, -1.0)
    assert answer("tokens-that-gain", tmp_path / "rewards").rows() == [first, second]
    assert answer("tokens-that-lose", tmp_path / "rewards").rows() == [second, first]


def test_selected_share_by_length(folder):
    # 30% of 7 is 2, of 4 is 1, of 2 is at least 1
    assert answer("selected-share-by-length", folder / "30").rows() == [
        ("chosen", 2, 1, 2, 1, 0.5),
        ("chosen", 4, 1, 7, 2, pytest.approx(2 / 7)),
        ("rejected", 2, 1, 2, 1, 0.5),
        ("rejected", 4, 1, 4, 1, 0.25),
    ]


def test_chosen_rejected_overlap(folder):
    # in both: ids 10 and 11 of either pair; chosen 4 3 .5 -.5, rejected 1 -1 -4 -1
    # in one: ids 12 to 16 of the first chosen, 2 1 0 -1 -2; ids 12 and 13 of the second rejected, -1 0
    assert answer("chosen-rejected-overlap", folder / "rewards").rows() == [
        ("chosen", False, 5, 0.0, pytest.approx(6 / 5)),
        ("chosen", True, 4, 1.75, 2.0),
        ("rejected", False, 2, -0.5, 0.5),
        ("rejected", True, 4, -1.25, 1.75),
    ]


def test_worst_pairs(folder):
    # sums 7 and 0 chosen, 0 and -6 rejected
    assert answer("worst-pairs", folder / "rewards").rows() == [
        (1, f"{1:016x}", 6.0, 0.0, -6.0, False),
        (0, f"{0:016x}", 7.0, 7.0, 0.0, True),
    ]


def test_oracle_accuracy_by_prompt_length(folder, tmp_path, rewards_of, write_rewards):
    assert answer("oracle-accuracy-by-prompt-length", folder / "rewards").rows() == [
        (2, False, 1, 1.0, 6.0),
        (2, True, 1, 1.0, 7.0),
    ]
    # margins 1, -1 and 0 of pairs 1, 3 and 5; a margin of nothing is half an agreement
    tables = [rewards_of([([1.0 - at], [0.0])], first=number) for at, number in ((0, 1), (2, 3), (1, 5))]
    write_rewards(tmp_path / "rewards", tables)
    [row] = answer("oracle-accuracy-by-prompt-length", tmp_path / "rewards").rows()
    assert row == (2, False, 3, 0.5, 0.0)


def test_reward_mass_curve(tmp_path, rewards_of, write_rewards):
    # ten chosen tokens of sizes 1 to 10, together 55; ten rejected of size 1
    sizes = [10.0, -9.0, 8.0, -7.0, 6.0, 5.0, 4.0, -3.0, 2.0, 1.0]
    write_rewards(tmp_path / "rewards", [rewards_of([(sizes, [-1.0] * 10)])])
    rows = answer("reward-mass-curve", tmp_path / "rewards").rows()
    chosen = [10, 19, 27, 34, 40, 45, 49, 52, 54, 55]
    assert rows[:10] == [("chosen", 10 * (at + 1), pytest.approx(size / 55)) for at, size in enumerate(chosen)]
    assert rows[10:] == [("rejected", 10 * (at + 1), pytest.approx((at + 1) / 10)) for at in range(10)]


def test_agreement(folder):
    # 50% of 7 is 3, of 4 is 2, of 2 is 1, and holds what 30% selects: chosen 2 + 1 of 3 + 1, rejected 1 + 1 of 1 + 2
    tables = {"a": folder / "30", "b": folder / "50"}
    assert query("@agreement", tables).collect().rows() == [
        ("chosen", 9, 3, 4, 0.75),
        ("rejected", 6, 2, 3, pytest.approx(2 / 3)),
        ("together", 15, 5, 7, pytest.approx(5 / 7)),
    ]
    # pair 1: 1 + 1 of 1 + 2; pair 0: 2 + 1 of 3 + 1
    assert query("@agreement-by-pair", tables).collect().rows() == [
        (f"{1:016x}", 0, 6, 2, 3, pytest.approx(2 / 3)),
        (f"{0:016x}", 0, 9, 3, 4, 0.75),
    ]


@pytest.mark.parametrize("copies", [1, 2, 5])
def test_a_pair_that_is_there_several_times_counts_as_often(tmp_path, rewards_of, write_rewards, copies):
    """Copies in the order of the rows, and pair by pair as `sepo diff` matches them."""
    first, second = zip(CHOSEN, REJECTED, strict=True)
    tables = [rewards_of([second, first]), *[rewards_of([first], first=1)] * (copies - 1)]
    write_rewards(tmp_path / "rewards", tables)
    selections = {"a": tmp_path / "a", "b": tmp_path / "b"}
    for folder, share in zip(selections.values(), ("30%", "50%"), strict=True):
        select(tmp_path / "rewards", folder, Selection(top(share)))
    agreement = query("@agreement", selections).collect()
    both = agreement.row(by_predicate=pl.col("side") == "together", named=True)
    tokens = scan(tmp_path / "a").select(pl.sum("chosen_tokens") + pl.sum("rejected_tokens")).collect().item()
    assert both["tokens"] == tokens
    compared = diff(selections["a"], selections["b"])
    stored = next(overlap for overlap in compared.overlaps if (overlap.share, overlap.side) == ("stored", "together"))
    assert (both["selected_a"], both["selected_b"]) == (stored.selected_a, stored.selected_b)
    assert both["jaccard"] == pytest.approx(stored.jaccard)
    by_pair = query("@agreement-by-pair", selections).collect()
    assert by_pair["tokens"].sum() == tokens
    assert sorted(by_pair.select("pair_id", "occurrence").rows()) == [
        (f"{0:016x}", 0),
        *((f"{1:016x}", copy) for copy in range(copies)),
    ]


def test_every_named_query_runs_on_what_it_says_it_reads(folder):
    stages = {"rewards or selection": ["rewards", "30"], "selection": ["30"]}
    assert {*stages, TWO_SELECTIONS} == READS.keys()
    for named in named_queries().values():
        if named.reads == TWO_SELECTIONS:
            assert query(named.sql, {"a": folder / "30", "b": folder / "50"}).collect().height
        else:
            for stage in stages[named.reads]:
                query(named.sql, {"pairs": folder / stage}).collect()


def test_names():
    assert all(named.name == name for name, named in named_queries().items())
    assert named_query("worst-pairs").question.endswith("?")
    with pytest.raises(SepoError, match=r"no query named @worst-pair$") as caught:
        named_query("worst-pair")
    assert caught.value.hint.startswith("did you mean worst-pairs")


def test_listing():
    assert next(listing()) == "@reward-by-position  (rewards or selection)"
    assert len(list(listing())) == 2 * len(named_queries())
    assert "\n".join(listing("@worst-pairs")) == named_query("worst-pairs").sql


def test_a_query_is_added_by_adding_a_file(tmp_path):
    (tmp_path / "longest.sql").write_text(
        "-- question: Which response is longest?\n-- reads: selection\n\nSELECT MAX(chosen_tokens)\nFROM pairs\n",
        encoding="utf-8",
    )
    (tmp_path / "notes.txt").touch()
    [found] = named_queries(tmp_path).values()
    assert (found.name, found.question, found.reads) == ("longest", "Which response is longest?", "selection")
    assert found.sql == "SELECT MAX(chosen_tokens)\nFROM pairs"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("Longest.sql", "-- question: q\n-- reads: selection\nSELECT 1"),
        ("longest.sql", "SELECT 1"),
        ("longest.sql", "-- question: q\n-- reads: everything\nSELECT 1"),
    ],
)
def test_a_file_without_its_two_lines_is_named(tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="longest.sql: name it name.sql" if name.islower() else "Longest.sql: name it"):
        read_query(tmp_path / name)


def test_names_are_listed_without_polars():
    code = (
        "import sys; from sepo_data.analysis.named_queries import listing; "
        "print(len(list(listing())), 'polars' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(2 * len(named_queries())), "False"]
