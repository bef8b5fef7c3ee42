"""Controls beside the rule that they are a control of: as many tokens under every filter, whatever their rewards."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepo_data.selection.filter import FILTERS, filters_of
from sepo_data.selection.matching import matched_mask
from sepo_data.selection.parse import parse_rule
from sepo_data.selection.ragged import Ragged, ragged
from sepo_data.selection.rule import RULES
from sepo_data.selection.rules.own import own
from sepo_data.selection.selection import Selection, mask_columns
from tests.sepo_data.selection.test_selection import frame_of, masks_of
from tests.sepo_data.selection.test_token_classes import CLASSES, TEXTS

SIDES = ("chosen", "rejected")
CONTROLS = [name for name, entry in RULES.items() if entry.function().control_of]
DRAWN = [name for name in CONTROLS if "seed" in RULES[name].function().arguments]
VALUES = {
    "skip_tokens": st.sampled_from(["", "punctuation", "punctuation,whitespace", "template"]),
    "min_tokens": st.integers(1, 6),
    "max_tokens": st.none() | st.integers(6, 12),
    "neighbours": st.integers(0, 2),
    "whole_words": st.booleans(),
    "protect_tokens": st.sampled_from(["", "eos"]),
}
ONE_EACH = [
    {},
    {"max_tokens": 5},
    {"min_tokens": 30},
    {"min_tokens": 20, "max_tokens": 25},
    {"skip_tokens": "punctuation,whitespace"},
    {"neighbours": 1},
    {"whole_words": True},
    {"protect_tokens": "eos"},
    {"max_tokens": 5, "skip_tokens": "template", "neighbours": 1, "whole_words": True, "protect_tokens": "eos"},
]
ROWS = st.lists(
    st.lists(
        st.tuples(st.integers(0, len(TEXTS) - 1), st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1.0, 2.0])),
        min_size=1,
        max_size=40,
    ),
    min_size=1,
    max_size=4,
)


def random_rows(number, tokens, seed=0):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, len(TEXTS), (number, tokens)).tolist()
    return [list(zip(row, rng.normal(size=tokens).tolist(), strict=True)) for row in ids]


def made_by(frame, rule, filters):
    selection = Selection(rule, filters_of(filters)).prepared(frame.lazy(), None, CLASSES)
    return selection, mask_columns(frame, [selection], CLASSES)[0]


def in_parts(selection, frame, mask):
    """The number of selected tokens in each part of the responses; in each response for a rule without parts."""
    tokens = ragged(frame["chosen_ids"])
    parts = selection.rule.parts(tokens) if selection.rule.parts else tokens.offsets
    return Ragged(ragged(mask).values, parts).sums()


def test_every_filter_is_among_those_tested():
    assert set(VALUES) == set(FILTERS)
    assert CONTROLS


@pytest.mark.parametrize("name", CONTROLS)
@given(rows=ROWS, values=st.fixed_dictionaries(VALUES), share=st.sampled_from(["10%", "30%", "70%", "4t"]))
@settings(deadline=None, max_examples=60)
def test_a_control_takes_as_many_tokens_of_each_response_under_every_filter(name, rows, values, share):
    frame = frame_of(rows)
    control, made = made_by(frame, parse_rule(f"{name}({share})"), values)
    _, treated = made_by(frame, parse_rule(f"top({share})"), values)
    for side in SIDES:
        assert made[f"{side}_selected"].to_list() == treated[f"{side}_selected"].to_list()
        if not control.narrowing:
            masks = (each[f"{side}_mask"] for each in (made, treated))
            assert len({tuple(in_parts(control, frame, mask)) for mask in masks}) == 1


@pytest.mark.parametrize("filters", ONE_EACH, ids=str)
@pytest.mark.parametrize("name", DRAWN)
def test_a_draw_knows_nothing_of_the_rewards(name, filters):
    """In each response, or part of one, the mean reward of the drawn tokens is that of all; `top` is far above."""
    frame = frame_of(random_rows(300, 60))
    selection, made = made_by(frame, parse_rule(f"{name}(30%)"), filters)
    _, treated = made_by(frame, parse_rule("top(30%)"), filters)
    rewards, drawn, best = (
        ragged(column).values for column in (frame["chosen_rewards"], made["chosen_mask"], treated["chosen_mask"])
    )
    tokens = ragged(frame["chosen_ids"])
    parts = Ragged(rewards, selection.rule.parts(tokens) if selection.rule.parts else tokens.offsets)
    above = rewards - parts.per_token(parts.sums() / parts.lengths)
    assert abs(above[drawn].sum()) < 4.5 * np.sqrt(drawn.sum())
    assert above[best].mean() > 0.1
    if filters.keys() <= {"min_tokens", "max_tokens"}:
        chance = (parts.sums(best) ** 2 / parts.lengths).sum()
        assert abs((drawn & best).sum() - chance) < 4.5 * np.sqrt(chance)


@pytest.mark.parametrize("filters", ONE_EACH[:4], ids=str)
@pytest.mark.parametrize("name", CONTROLS)
def test_the_expression_has_the_bounds_of_the_selection(name, filters):
    frame = frame_of(random_rows(20, 90))
    selection, made = made_by(frame, parse_rule(name), filters)
    for engine in ("in-memory", "streaming"):
        assert (
            selection.rule.with_masks(frame.lazy())
            .select(made.columns[:2])
            .collect(engine=engine)
            .equals(made.select(made.columns[:2]))
        )


@pytest.mark.parametrize("name", CONTROLS)
def test_protected_tokens_stand_in_the_control_too(name):
    frame = frame_of([[*row, (1, 0.0), (0, 0.0)] for row in random_rows(20, 30)])
    _, made = made_by(frame, parse_rule(name), {"protect_tokens": "eos"})
    for side in SIDES:
        assert made[f"{side}_mask"].list.last().all()


def test_what_the_last_draw_adds_is_cut_to_the_number():
    scores = Ragged(np.array([5, 1, 9, 2, 3, 4, 8]), np.array([0, 7]))

    def beside(mask):
        padded = np.pad(mask.values, 1)
        return padded[:-2] | padded[1:-1] | padded[2:]

    every = np.ones(7, np.bool_)
    made = [np.flatnonzero(matched_mask(scores, every, np.array([k]), beside)).tolist() for k in range(1, 8)]
    # 9 at place 2 brings 1 and 3, 8 at place 6 brings 5; of what a draw adds the highest scores are kept.
    assert made == [[2], [2, 3], [1, 2, 3], [1, 2, 3, 6], [1, 2, 3, 5, 6], [0, 1, 2, 3, 5, 6], list(range(7))]
    # Tokens that are not drawn come last.
    rest = scores.values < 8
    assert np.flatnonzero(matched_mask(scores, rest, np.array([1]), lambda mask: mask.values)).tolist() == [0]
    assert np.flatnonzero(matched_mask(scores, rest, np.array([6]), lambda mask: mask.values)).tolist() == [
        0,
        1,
        2,
        3,
        4,
        5,
    ]


@pytest.mark.parametrize(
    ("filters", "selected"), [({}, [1, 3, 5]), ({"max_tokens": 2}, [3, 5]), ({"min_tokens": 4}, [1, 2, 3, 5])]
)
def test_bounds_of_a_rule_that_marks_tokens(filters, selected):
    """Of the marked tokens the best rewards stay, and the best of the others fill up."""
    rewards = [0.0, -5.0, 3.0, 1.0, 2.0, 4.0]
    marked = pl.lit([False, True, False, True, False, True])
    rule = own(name="odd places", chosen=marked, rejected=marked)
    [mask] = masks_of([[(1, reward) for reward in rewards]], Selection(rule, filters_of(filters)))
    assert np.flatnonzero(mask).tolist() == selected
