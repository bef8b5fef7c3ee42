"""What is done around a rule: kinds of tokens, neighbours, words, the end of turn."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepo_data.errors import SepoError
from sepo_data.selection.filters import Filters, end_of_turn, kept_tokens, whole_words, window
from sepo_data.selection.parse import parse_rule
from sepo_data.selection.ragged import Ragged
from sepo_data.selection.rules import top
from sepo_data.selection.selection import Selection, mask_columns
from sepo_data.selection.token_classes import classify, token_classes

TEXTS = ["<|im_end|>", " un", "believ", "able", ",", " ", "\n", " 5", "%", " don", "'t", "<0xE2>", " «", "好", "", "é"]
CLASSES = classify(TEXTS, {0})
IDS = {text: number for number, text in enumerate(TEXTS)}


def of(rows, dtype=np.int32):
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Ragged(np.array([value for row in rows for value in row], dtype), offsets)


def rows_of(flat, values):
    return [values[start:end].tolist() for start, end in zip(flat.offsets[:-1], flat.offsets[1:], strict=True)]


def named(mask):
    return [text for text, marked in zip(TEXTS, mask, strict=True) if marked]


def test_kinds_of_tokens():
    assert named(CLASSES.template) == ["<|im_end|>"]
    assert named(CLASSES.whitespace) == [" ", "\n"]
    assert named(CLASSES.punctuation) == [",", "%", " «"]
    assert named(CLASSES.opens_inside_word) == ["believ", "able", "'t", "<0xE2>", "é"]
    assert named(CLASSES.ends_inside_word) == [" un", "believ", "able", " 5", " don", "'t", "<0xE2>", "é"]


def test_a_byte_of_a_character_is_no_punctuation():
    assert not CLASSES.punctuation[IDS["<0xE2>"]]


def test_kinds_from_a_tokenizer(tiny_model, tmp_path):
    (tmp_path / "tokenizer").symlink_to(tiny_model)
    classes = token_classes(tmp_path)
    assert np.flatnonzero(classes.template).tolist() == [0, 1, 2]  # <|endoftext|> <|im_start|> <|im_end|>
    assert len(classes.template) == 384


def test_skip_keeps_a_response_that_has_nothing_else():
    ids = of([[IDS[" un"], IDS[","], IDS[" "]], [IDS[","], IDS["%"]], [IDS[" "]]])
    kept = kept_tokens(ids, ("punctuation",), CLASSES)
    assert rows_of(ids, kept) == [[True, False, True], [True, True], [True]]
    kept = kept_tokens(ids, ("punctuation", "whitespace"), CLASSES)
    assert rows_of(ids, kept) == [[True, False, False], [True, True], [True]]


MASKS = st.lists(st.lists(st.booleans(), max_size=12), min_size=1, max_size=5)


@given(MASKS, st.integers(0, 14))
def test_window(rows, distance):
    made = window(of(rows, np.bool_), distance)
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
    assert rows_of(ids, whole_words(mask, ids.values, CLASSES)) == expected


def test_whole_words_by_hand():
    ids = of([[IDS[" un"], IDS["believ"], IDS["able"], IDS[","], IDS[" don"], IDS["'t"]], [IDS["able"]]])
    mask = of([[False, True, False, False, True, False], [False]], np.bool_)
    assert rows_of(ids, whole_words(mask, ids.values, CLASSES)) == [[True, True, True, False, True, True], [False]]


def test_the_end_of_turn():
    ids = of([[1, 2, 0], [1, 0, 6], [1, 0, 2, 0, 0], [1, 2], [0], [6, 0, 6, 0], []])
    # A line break may follow; a special token within the text is not the end, a second one after it neither.
    assert rows_of(ids, end_of_turn(ids, CLASSES)) == [
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
        ({"skip": ("punctuatoin",)}, "--skip punctuatoin: there is no such kind of token"),
        ({"protect": ("bos",)}, "--protect bos"),
        ({"min_tokens": 0}, "do not fit together"),
        ({"min_tokens": 3, "max_tokens": 2}, "do not fit together"),
        ({"window": -1}, "do not fit together"),
    ],
)
def test_mistakes_are_explained(options, message):
    with pytest.raises(SepoError, match=message):
        Filters(**options)


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


def masks_of(rows, selection):
    frame = frame_of(rows)
    selection = selection.prepared(frame.lazy(), None, CLASSES)
    [made] = mask_columns(frame, [selection], CLASSES)
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
        ("25%", {"skip": ("punctuation",)}, [6]),  # floor(25% of 7)
        ("25%", {"skip": ("punctuation", "whitespace")}, [1]),
        ("50%", {"skip": ("punctuation", "whitespace")}, [1, 2, 4]),
        ("25%", {"min_tokens": 4}, [1, 3, 4, 6]),
        ("50%", {"max_tokens": 1}, [3]),
        ("1%", {"min_tokens": 100}, list(range(8))),
        ("25%", {"window": 1}, [2, 3, 4, 5, 6, 7]),
        ("1%", {"skip": ("punctuation", "whitespace"), "whole_words": True}, [0, 1, 2]),
        ("1%", {"protect": ("eos",)}, [3, 7]),
        ("1%", {"protect": ("eos",), "skip": ("template", "punctuation", "whitespace"), "window": 1}, [0, 1, 2, 7]),
        # believ is the best; its neighbours are un and able; both are its word.
        ("1%", {"skip": ("punctuation", "whitespace"), "window": 2, "whole_words": True}, [0, 1, 2, 3]),
    ],
)
def test_the_order_of_the_steps(share, options, selected):
    [mask] = masks_of([SENTENCE], Selection(top(share), Filters(**options)))
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
    made = masks_of(rows, Selection(parse_rule(text), Filters(skip=("punctuation", "whitespace"))))
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
    made = masks_of(rows, Selection(parse_rule("budget(40%)"), Filters(skip=("punctuation", "whitespace"))))
    # 6 + 3 tokens are left, of which 3 are taken: the best of each, and then 5.0.
    assert [np.flatnonzero(mask).tolist() for mask in made] == [[1], [2, 3]]


def test_a_span_is_not_skipped():
    with pytest.raises(SepoError, match="does not go with the rule span"):
        Selection(parse_rule("span"), Filters(skip=("punctuation",)))


def test_several_selections_are_what_each_is_alone():
    texts = ["top(10%)", "top(50%)", "top(chosen=50%, rejected=10%)", "inverse(20%)", "mass(50%)", "random(30%)", "all"]
    texts += ["budget(30%)", "position-random(30%)", "confidence", "ref-gap", "decay", "threshold(0.6)"]
    several = [
        Selection(parse_rule(text), filters) for text in texts for filters in (Filters(), Filters(("template",)))
    ]
    rng = np.random.default_rng(0)
    rows = [list(zip(rng.integers(0, 10, n).tolist(), rng.normal(size=n).tolist(), strict=True)) for n in (1, 5, 200)]
    frame = frame_of(rows)
    several = [each.prepared(frame.lazy(), None, CLASSES) for each in several]
    together = mask_columns(frame, several, CLASSES)
    for selection, made in zip(several, together, strict=True):
        [alone] = mask_columns(frame.select(sorted(selection.columns())), [selection], CLASSES)
        assert made.equals(alone)
        if not selection.filters.skip:
            expected = frame.select(selection.rule.mask(side).alias(f"{side}_mask") for side in ("chosen", "rejected"))
            assert made.select(expected.columns).equals(expected)


def test_what_the_manifest_records():
    filters = Filters(skip=("whitespace", "punctuation"), protect=("eos",), min_tokens=2, max_tokens=9, window=1)
    assert Selection(top(), filters).options() == {
        "rule": "top",
        "chosen": "30%",
        "rejected": "30%",
        "skip": "punctuation,whitespace",
        "protect": "eos",
        "min_tokens": 2,
        "max_tokens": 9,
        "window": 1,
    }
    assert Selection(top(), Filters(whole_words=True)).options()["whole_words"] is True
    assert Selection().options() == {"rule": "top", "chosen": "30%", "rejected": "30%"}
