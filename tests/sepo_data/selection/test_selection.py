"""Filters around a rule: kinds of tokens, neighbours, words, the end of turn."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepo_data.errors import SepoError
from sepo_data.selection.filter import FILTERS, NARROW, Filter, Tokens, filters_of
from sepo_data.selection.filters.neighbours import near_selected
from sepo_data.selection.filters.protect_tokens import end_of_turn
from sepo_data.selection.filters.skip_tokens import skip_tokens
from sepo_data.selection.filters.whole_words import words_with_selected
from sepo_data.selection.parse import parse_rule
from sepo_data.selection.ragged import Ragged
from sepo_data.selection.rules.top import top
from sepo_data.selection.selection import Selection, mask_columns, ranked_tokens
from tests.sepo_data.selection.test_token_classes import CLASSES, IDS, TEXTS


def of(rows, dtype=np.int32):
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Ragged(np.array([value for row in rows for value in row], dtype), offsets)


def rows_of(flat, values):
    return [values[start:end].tolist() for start, end in zip(flat.offsets[:-1], flat.offsets[1:], strict=True)]


def test_skip_keeps_a_response_that_has_nothing_else():
    ids = of([[IDS[" un"], IDS[","], IDS[" "]], [IDS[","], IDS["%"]], [IDS[" "]]])
    kept = ranked_tokens(Tokens(ids, CLASSES), [skip_tokens("punctuation")])
    assert rows_of(ids, kept) == [[True, False, True], [True, True], [True]]
    kept = ranked_tokens(Tokens(ids, CLASSES), [skip_tokens("punctuation,whitespace")])
    assert rows_of(ids, kept) == [[True, False, False], [True, True], [True]]


MASKS = st.lists(st.lists(st.booleans(), max_size=12), min_size=1, max_size=5)


@given(MASKS, st.integers(0, 14))
def test_neighbours(rows, distance):
    made = near_selected(of(rows, np.bool_), distance)
    expected = [
        [any(row[max(0, token - distance) : token + distance + 1]) for token in range(len(row))] for row in rows
    ]
    assert rows_of(of(rows), made) == expected


def words(ids):
    """The token numbers of each word, in plain Python."""
    found = []
    for token, number in enumerate(ids):
        if token and CLASSES.ends_inside_word[ids[token - 1]] and CLASSES.opens_inside_word[number]:
            found[-1].append(token)
        else:
            found.append([token])
    return found


@given(
    st.lists(st.lists(st.tuples(st.integers(0, len(TEXTS) - 1), st.booleans()), max_size=12), min_size=1, max_size=5)
)
def test_whole_words(rows):
    ids = of([[number for number, _ in row] for row in rows])
    mask = of([[marked for _, marked in row] for row in rows], np.bool_)
    expected = []
    for row in rows:
        wide = [marked for _, marked in row]
        for word in words([number for number, _ in row]):
            if any(row[token][1] for token in word):
                for token in word:
                    wide[token] = True
        expected.append(wide)
    assert rows_of(ids, words_with_selected(mask, Tokens(ids, CLASSES))) == expected


def test_whole_words_by_hand():
    ids = of([[IDS[" un"], IDS["believ"], IDS["able"], IDS[","], IDS[" don"], IDS["'t"]], [IDS["able"]]])
    mask = of([[False, True, False, False, True, False], [False]], np.bool_)
    assert rows_of(ids, words_with_selected(mask, Tokens(ids, CLASSES))) == [
        [True, True, True, False, True, True],
        [False],
    ]


def test_the_end_of_turn():
    ids = of([[1, 2, 0], [1, 0, 6], [1, 0, 2, 0, 0], [1, 2], [0], [6, 0, 6, 0], []])
    # A line break may follow; a special token within the text is not the end, a second one after it neither.
    assert rows_of(ids, end_of_turn(Tokens(ids, CLASSES))) == [
        [False, False, True],
        [False, True, False],
        [False, False, False, True, False],
        [False, False],
        [True],
        [False, True, False, False],
        [],
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"skip_tokens": "punctuatoin"}, "--skip-tokens punctuatoin: unknown class of tokens"),
        ({"protect_tokens": "bos"}, "--protect-tokens bos: unknown class of tokens"),
        ({"min_tokens": 0}, "min_tokens=0 is not a whole number from 1"),
        ({"max_tokens": 0}, "max_tokens=0 is not a whole number from 1"),
        ({"min_tokens": 3, "max_tokens": 2}, "min_tokens 3 is above max_tokens 2"),
        ({"neighbours": -1}, "neighbours=-1 is not a whole number from 0"),
    ],
)
def test_mistakes_are_explained(options, message):
    with pytest.raises(SepoError, match=message):
        Selection(filters=filters_of(options))


def test_a_filter_is_given_once():
    with pytest.raises(SepoError, match="the filter skip_tokens is given twice"):
        Selection(filters=(skip_tokens("template"), skip_tokens("punctuation")))


def test_a_filter_that_reads_texts_needs_them():
    with pytest.raises(SepoError, match="needs the texts of the tokens"):
        masks_of([SENTENCE], Selection(filters=(skip_tokens("template"),)), classes=None)


# A rule and what is around it.


def frame_of(rows):
    """One side's (id, reward) a token, the same on both sides; the rejected rewards are negated."""
    columns = {"pair_id": [f"{number:016x}" for number in range(len(rows))], "source_row": list(range(len(rows)))}
    schema = {"pair_id": pl.String, "source_row": pl.Int64}
    for sign, side in ((1, "chosen"), (-1, "rejected")):
        columns[f"{side}_ids"] = [[number for number, _ in row] for row in rows]
        columns[f"{side}_rewards"] = [[sign * reward for _, reward in row] for row in rows]
        schema |= {f"{side}_ids": pl.List(pl.Int32), f"{side}_rewards": pl.List(pl.Float32)}
        for model in ("oracle", "ref"):
            columns[f"{side}_{model}_logps"] = [[-float(n) for n in range(len(row))] for row in rows]
            schema[f"{side}_{model}_logps"] = pl.List(pl.Float32)
    return pl.DataFrame(columns, schema=schema)


def masks_of(rows, selection, classes=CLASSES):
    frame = frame_of(rows)
    selection = selection.prepared(frame.lazy(), None, classes)
    [made] = mask_columns(frame, [selection], classes)
    assert made.columns == ["chosen_mask", "rejected_mask", "chosen_selected", "rejected_selected"]
    assert made["chosen_mask"].equals(made["rejected_mask"])
    assert made["chosen_selected"].to_list() == [sum(row) for row in made["chosen_mask"].to_list()]
    return made["chosen_mask"].to_list()


SENTENCE = [(1, 0.0), (2, 3.0), (3, 1.0), (4, 9.0), (9, 2.0), (10, 0.5), (5, 8.0), (0, -1.0)]
#           un        believ    able      ,         don        't         space     im_end


@pytest.mark.parametrize(
    ("share", "options", "selected"),
    [
        ("25%", {}, [3, 6]),
        ("25%", {"skip_tokens": "punctuation"}, [6]),  # floor(25% of 7)
        ("25%", {"skip_tokens": "punctuation,whitespace"}, [1]),
        ("50%", {"skip_tokens": "punctuation,whitespace"}, [1, 2, 4]),
        ("25%", {"min_tokens": 4}, [1, 3, 4, 6]),
        ("50%", {"max_tokens": 1}, [3]),
        ("1%", {"min_tokens": 100}, list(range(8))),
        ("25%", {"neighbours": 1}, [2, 3, 4, 5, 6, 7]),
        ("1%", {"skip_tokens": "punctuation,whitespace", "whole_words": True}, [0, 1, 2]),
        ("1%", {"protect_tokens": "eos"}, [3, 7]),
        (
            "1%",
            {"protect_tokens": "eos", "skip_tokens": "template,punctuation,whitespace", "neighbours": 1},
            [0, 1, 2, 7],
        ),
        # believ is the best; its neighbours are un and able; both are its word.
        ("1%", {"skip_tokens": "punctuation,whitespace", "neighbours": 2, "whole_words": True}, [0, 1, 2, 3]),
    ],
)
def test_the_order_of_the_steps(share, options, selected):
    [mask] = masks_of([SENTENCE], Selection(top(share), filters_of(options)))
    assert np.flatnonzero(mask).tolist() == selected


TOKENS = st.lists(
    st.tuples(st.integers(0, len(TEXTS) - 1), st.sampled_from([-1.0, -0.0, 0.0, 0.5, 1.0, 2.0])),
    min_size=1,
    max_size=15,
)


@given(st.lists(TOKENS, min_size=1, max_size=4), st.integers(1, 10_000))
@settings(deadline=None, max_examples=60)
def test_skip_is_the_rule_on_the_other_tokens(rows, basis_points):
    text = f"top({basis_points / 100:.2f}%)"
    made = masks_of(rows, Selection(parse_rule(text), (skip_tokens("punctuation,whitespace"),)))
    left = [
        [token for token, (number, _) in enumerate(row) if TEXTS[number] not in {",", "%", " «", " ", "\n"}]
        or list(range(len(row)))
        for row in rows
    ]
    inner = masks_of(
        [[row[token] for token in kept] for row, kept in zip(rows, left, strict=True)], Selection(parse_rule(text))
    )
    for mask, kept, inside in zip(made, left, inner, strict=True):
        assert np.flatnonzero(mask).tolist() == [token for token, marked in zip(kept, inside, strict=True) if marked]


def test_a_budget_counts_what_is_not_skipped():
    rows = [SENTENCE, [(1, 4.0), (4, 99.0), (2, 5.0), (3, 6.0)]]
    made = masks_of(rows, Selection(parse_rule("budget(40%)"), (skip_tokens("punctuation,whitespace"),)))
    # 6 + 3 tokens are left, of which 3 are taken: the best of each, and then 5.0.
    assert [np.flatnonzero(mask).tolist() for mask in made] == [[1], [2, 3]]


def test_a_span_is_not_skipped():
    with pytest.raises(SepoError, match="does not go with the rule span"):
        Selection(parse_rule("span"), (skip_tokens("punctuation"),))


def test_several_selections_are_what_each_is_alone():
    texts = ["top(10%)", "top(50%)", "top(chosen=50%, rejected=10%)", "inverse(20%)", "mass(50%)", "random(30%)", "all"]
    texts += ["budget(30%)", "position-random(30%)", "confidence", "ref-gap", "decay", "threshold(0.6)"]
    several = [Selection(parse_rule(text), filters) for text in texts for filters in ((), (skip_tokens("template"),))]
    rng = np.random.default_rng(0)
    rows = [list(zip(rng.integers(0, 10, n).tolist(), rng.normal(size=n).tolist(), strict=True)) for n in (1, 5, 200)]
    frame = frame_of(rows)
    several = [each.prepared(frame.lazy(), None, CLASSES) for each in several]
    together = mask_columns(frame, several, CLASSES)
    for selection, made in zip(several, together, strict=True):
        [alone] = mask_columns(frame.select(sorted(selection.columns())), [selection], CLASSES)
        assert made.equals(alone)
        if not selection.filters:
            expected = frame.select(selection.rule.mask(side).alias(f"{side}_mask") for side in ("chosen", "rejected"))
            assert made.select(expected.columns).equals(expected)


def test_what_the_manifest_records():
    values = {"whole_words": False, "neighbours": 1, "max_tokens": 9, "min_tokens": 2, "protect_tokens": "eos"}
    filters = filters_of(values | {"skip_tokens": "whitespace, punctuation,whitespace"})
    assert Selection(top(), filters).options() == {
        "rule": "top",
        "chosen": "30%",
        "rejected": "30%",
        "skip_tokens": "punctuation,whitespace",
        "min_tokens": 2,
        "max_tokens": 9,
        "neighbours": 1,
        "protect_tokens": "eos",
    }
    assert Selection(top(), filters_of({"whole_words": True})).options()["whole_words"] is True
    assert Selection().options() == {"rule": "top", "chosen": "30%", "rejected": "30%"}


@pytest.mark.parametrize("name", FILTERS)
def test_every_filter_is_what_its_option_says(name):
    entry = FILTERS[name]
    assert entry.default is None or isinstance(entry.default, entry.kind)
    assert filters_of({name: entry.default}) == ()
    values = {"skip_tokens": "template", "protect_tokens": "eos"}
    [made] = filters_of({name: values.get(name, True if entry.kind is bool else 3)})
    assert made.name == name
    assert made.step >= NARROW
    [mask] = masks_of([SENTENCE], Selection(top("1%"), (made,)))
    assert any(mask)
    assert Selection(filters=(made,)).options()[name] == made.value


def test_filters_narrow_together():
    """What two filters leave is what both leave; where that is nothing, the rule ranks all."""

    def even_places(tokens):
        return tokens.ids.positions % 2 == 0

    even = Filter("even", 2, NARROW, ranked=even_places)
    ids = of([[IDS[" un"], IDS["able"], IDS[","]], [IDS[","], IDS["able"]]])
    ranked = ranked_tokens(Tokens(ids, CLASSES), [even, skip_tokens("punctuation")])
    assert rows_of(ids, ranked) == [[True, False, False], [True, True]]
