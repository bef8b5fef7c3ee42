"""Mixtures, shuffling, repeated pairs and held-out prompts, as they come out of the stream of pairs."""

import json
import pickle
import shutil
from collections import Counter

import numpy as np
import pytest

from sepo_data.errors import SepoError
from sepo_data.preferences.preferences import read_preferences
from sepo_data.preferences.reading import Reading
from sepo_data.shapes.pairs import Pair, SkippedRow


def row(name, number):
    return {"prompt": f"{name}{number}", "chosen": "yes", "rejected": "no", "topic": f"t{number}"}


def turns(name, number):
    return {
        "prompt": [{"role": "user", "content": f"{name}{number}"}],
        "chosen": [{"role": "assistant", "content": "yes"}],
        "rejected": [{"role": "assistant", "content": "no"}],
    }


@pytest.fixture
def write(tmp_path):
    def lines(name, rows):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return str(tmp_path / name)

    return lines


@pytest.fixture
def ten(write):
    return write("a.jsonl", [row("a", number) for number in range(10)])


@pytest.fixture
def five(write):
    return write("b.jsonl", [row("b", number) for number in range(5)])


def prompts(reading):
    return [item.prompt if isinstance(item, Pair) else item.reason for item in read_preferences(reading)]


def test_a_mixture_takes_turns(ten, five):
    preferences = read_preferences(Reading(mix=((ten, 0.5), (five, 0.25))))
    # 10 / 0.5 = 20 and 5 / 0.25 = 20: both are used up, two of a for one of b
    assert [item.prompt for item in preferences][:6] == ["a0", "b0", "a1", "a2", "b1", "a3"]
    assert Counter(item.prompt[0] for item in preferences) == {"a": 10, "b": 5}
    assert [item.source_row for item in preferences] == list(range(15))
    assert [item.extra for item in preferences][:2] == [{"source": ten}, {"source": five}]
    assert preferences.source.name == f"{ten}=0.5 {five}=0.25"
    assert preferences.shape.name == "mixture"


def test_slices_of_a_mixture_are_parts_of_it(ten, five):
    for reading in (Reading(mix=((ten, 0.6), (five, 0.4))), Reading(ten, shuffle=True, seed=4)):
        preferences = read_preferences(reading)
        everything = list(preferences)
        for start in range(preferences.rows + 1):
            for stop in range(start, preferences.rows + 2):
                assert list(preferences.slice(start, stop)) == everything[start:stop]


def test_no_part_comes_where_none_of_its_rows_does(ten, five):
    assert prompts(Reading(mix=((ten, 0.9), (five, 0.1)), limit=3)) == ["a0", "a1", "a2"]


def test_bad_rows_of_a_mixture_name_the_part_and_its_row(write, ten):
    spoiled = write("b.jsonl", [row("b", 0), row("b", 1) | {"chosen": ""}])
    [skipped] = [
        item for item in read_preferences(Reading(mix=((ten, 1), (spoiled, 1)))) if isinstance(item, SkippedRow)
    ]
    assert skipped == SkippedRow(3, "empty_response", f"{spoiled} row 1: b.jsonl line 2: chosen")


def test_what_decides_a_mixture_decides_its_fingerprint(ten, five):
    def fingerprint(*mix):
        return read_preferences(Reading(mix=mix)).source.fingerprint

    base = fingerprint((ten, 0.5), (five, 0.5))
    assert base == fingerprint((ten, 0.5), (five, 0.5))
    assert len({base, fingerprint((ten, 0.4), (five, 0.5)), fingerprint((five, 0.5), (ten, 0.5))}) == 3


def test_side_columns_may_be_of_one_part_alone(write, ten):
    other = write("b.jsonl", [{key: value for key, value in row("b", 0).items() if key != "topic"}])
    items = list(read_preferences(Reading(mix=((ten, 1), (other, 1)), keep_columns=("topic",))))
    assert [item.extra["topic"] for item in items] == ["t0", None]
    with pytest.raises(SepoError, match=r"a\.jsonl, .*b\.jsonl has no column tpic"):
        read_preferences(Reading(mix=((ten, 1), (other, 1)), keep_columns=("tpic",)))


def test_the_same_rows_are_mixed_once(ten, tmp_path):
    (tmp_path / "copy").mkdir()
    copy = str(shutil.copy(ten, tmp_path / "copy"))
    with pytest.raises(SepoError, match=r"copy/a\.jsonl has the same rows as .*a\.jsonl"):
        read_preferences(Reading(mix=((ten, 1), (copy, 1))))


def test_strings_and_messages_do_not_mix(ten, write):
    messages = write("c.jsonl", [turns("c", number) for number in range(3)])
    with pytest.raises(SepoError, match=r"a\.jsonl holds strings and .*c\.jsonl messages"):
        read_preferences(Reading(mix=((ten, 1), (messages, 1))))


def test_a_weight_that_is_too_small_for_a_row(ten, five):
    with pytest.raises(SepoError, match=r"the mixture has no row of .*b\.jsonl"):
        read_preferences(Reading(mix=((ten, 1), (five, 0.01))))


def test_columns_that_reading_makes_are_not_kept(ten, five):
    with pytest.raises(SepoError, match="--keep-columns source: --mix makes a column of this name"):
        read_preferences(Reading(mix=((ten, 1), (five, 1)), keep_columns=("source",)))
    with pytest.raises(SepoError, match="--keep-columns split: --holdout makes a column of this name"):
        read_preferences(Reading(ten, holdout=2, keep_columns=("split",)))


def test_shuffling_is_a_permutation_that_the_seed_decides(ten):
    plain, shuffled = (list(read_preferences(Reading(ten, shuffle=shuffle))) for shuffle in (False, True))
    assert plain != shuffled
    assert sorted(shuffled, key=lambda pair: pair.source_row) == plain, "rows keep their numbers"
    assert list(read_preferences(Reading(ten, shuffle=True))) == shuffled
    assert list(read_preferences(Reading(ten, shuffle=True, seed=1))) != shuffled


def test_a_limit_of_shuffled_rows_is_a_random_sample(ten):
    samples = {tuple(sorted(prompts(Reading(ten, shuffle=True, seed=seed, limit=3)))) for seed in range(30)}
    assert len(samples) > 15
    assert {prompt for sample in samples for prompt in sample} == {f"a{number}" for number in range(10)}
    shuffled = Reading(ten, shuffle=True)
    assert prompts(Reading(ten, shuffle=True, limit=3)) == prompts(shuffled)[:3]


def test_rows_far_apart_are_read_without_those_between(write, monkeypatch):
    name = write("long.jsonl", [row("x", number) for number in range(3000)])
    preferences = read_preferences(Reading(name, shuffle=True, limit=4))
    source = preferences.parts[0].source
    asked = []

    def slices(self, start, stop):
        asked.append((start, stop))
        return original(self, start, stop)

    original = type(source).slice
    monkeypatch.setattr(type(source), "slice", slices)
    rows = sorted(item.source_row for item in preferences)
    assert asked == [(row, row + 1) for row in rows]


def test_the_rows_in_any_order_are_the_same(ten, five):
    for reading in (
        Reading(mix=((ten, 0.6), (five, 0.4)), shuffle=True, holdout=3),
        Reading(ten, shuffle=True, dedupe=True),
        Reading(ten),
    ):
        preferences = read_preferences(reading)
        numbers = {item.source_row: item for item in preferences}
        assert {item.source_row: item for item in preferences.in_any_order()} == numbers


def test_row_numbers_of_places(ten, five):
    for reading in (Reading(ten), Reading(ten, shuffle=True, seed=3), Reading(mix=((ten, 1), (five, 1)), shuffle=True)):
        preferences = read_preferences(reading)
        by_place = [item.source_row for item in preferences]
        assert preferences.row_numbers(np.array([1, 4, 7])) == {by_place[place] for place in (1, 4, 7)}


def test_repeated_pairs_are_set_aside_with_the_row_of_the_first(write):
    rows = [row("a", 0), row("a", 1), row("a", 0) | {"topic": "other"}, row("a", 2), row("a", 1)]
    name = write("x.jsonl", rows)
    items = list(read_preferences(Reading(name, dedupe=True)))
    assert [item for item in items if isinstance(item, SkippedRow)] == [
        SkippedRow(2, "duplicate", "equals row 0"),
        SkippedRow(4, "duplicate", "equals row 1"),
    ]
    assert [item.source_row for item in items if isinstance(item, Pair)] == [0, 1, 3]
    found = read_preferences(Reading(name, dedupe=True, holdout=1))
    assert found.description.endswith("as they are. 2 pairs repeat an earlier one. 1 pairs are held out.")
    assert all(isinstance(item, Pair) for item in read_preferences(name))
    shuffled = read_preferences(Reading(name, dedupe=True, shuffle=True, seed=2))
    assert {item.row for item in shuffled if isinstance(item, SkippedRow)} == {2, 4}


def test_each_pair_of_a_ranked_row_that_was_there_before_is_set_aside(write):
    answers = [{"text": f"answer {number}", "score": number} for number in range(3)]
    rows = [{"instruction": "Go on.", "completions": answers[:2]}, {"instruction": "Go on.", "completions": answers}]
    items = list(read_preferences(Reading(write("x.jsonl", rows), pairs_from_ranking="all", dedupe=True)))
    assert [item.source_row for item in items if isinstance(item, Pair)] == [0, 1, 1]
    assert [item for item in items if isinstance(item, SkippedRow)] == [SkippedRow(1, "duplicate", "equals row 0")]


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"holdout": -1}])
def test_numbers_that_leave_nothing(wrong):
    with pytest.raises(SepoError):
        Reading("x.jsonl", **wrong)


def test_repetitions_are_found_across_the_parts_of_a_mixture(write, ten):
    other = write("b.jsonl", [row("a", 3), row("b", 0)])
    # a0 a1 a2 and then the first row of the other part, which is a3
    items = list(read_preferences(Reading(mix=((ten, 5), (other, 1)), dedupe=True)))
    assert [item for item in items if isinstance(item, SkippedRow)] == [
        SkippedRow(4, "duplicate", f"{ten} row 3: equals row 3")
    ]
    assert items[3].extra["source"] == other


def test_held_out_prompts(write):
    rows = [row("a", number % 20) | {"chosen": f"yes {number}"} for number in range(60)]
    name = write("x.jsonl", rows)
    items = list(read_preferences(Reading(name, holdout=7)))
    sides = {}
    for item in items:
        sides.setdefault(item.prompt, set()).add(item.extra["split"])
    assert all(len(side) == 1 for side in sides.values())
    # three pairs of each prompt: 9 is the first number that is at least 7
    assert Counter(item.extra["split"] for item in items) == {"train": 51, "holdout": 9}
    for other in (Reading(name, holdout=7, shuffle=True), Reading(write("y.jsonl", rows[::-1]), holdout=7)):
        assert {item.prompt: {item.extra["split"]} for item in read_preferences(other)} == sides


def test_it_can_be_sent_to_another_process(ten, five):
    for reading in (
        Reading(ten, holdout=2, dedupe=True),
        Reading(mix=((ten, 1), (five, 1)), shuffle=True, holdout=2),
    ):
        preferences = read_preferences(reading)
        assert list(pickle.loads(pickle.dumps(preferences))) == list(preferences)  # noqa: S301 - our own bytes
