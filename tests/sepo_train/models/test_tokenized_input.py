"""Input that oracle and scoring share, before any model is loaded."""

import json
from dataclasses import replace

import pytest

from sepo_data.errors import SepoError
from sepo_data.preferences.reading import Reading
from sepo_train.models.tokenized_input import open_tokenized

ROWS = [
    {"prompt": "Tea?", "chosen": " Yes, please.", "rejected": " No."},
    {"prompt": "Milk?", "chosen": " Same.", "rejected": " Same."},
    {"prompt": "Soup?", "chosen": " Gladly.", "rejected": None},
    {"prompt": "Rice? " * 40, "chosen": " Yes.", "rejected": " No."},
    {"prompt": "Bread?", "chosen": " A slice.", "rejected": " Never."},
]


@pytest.fixture
def prepared(new_progress, tiny_model, tmp_path):
    def call(rows=ROWS, **changes):
        file = tmp_path / "rows.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        reading = Reading(str(file), limit=changes.pop("limit", None))
        return open_tokenized(reading, str(tiny_model), **{"max_length": 60, "progress": new_progress(), **changes})

    return call


def test_pairs_and_skips_of_a_slice(prepared):
    pairs, skipped = prepared().pairs(0, 5)
    assert [item.pair.source_row for item in pairs] == [0, 4]
    assert [row.row for row in skipped] == [1, 2, 3], "in the order of the input"
    assert skipped[2].reason == "too_long"
    pairs, skipped = prepared().pairs(3, 100)
    assert [item.pair.source_row for item in pairs] == [4]
    assert [row.row for row in skipped] == [3]


def test_only_some_rows(prepared):
    pairs, skipped = prepared().pairs(0, 5, only=frozenset({1, 4}))
    assert [item.pair.source_row for item in pairs] == [4]
    assert [row.row for row in skipped] == [1]


def test_samples(prepared, monkeypatch):
    monkeypatch.setattr("sepo_data.tokenization.tokenized_dataset.CHUNK_ROWS", 2)
    assert [item.pair.source_row for item in prepared().sample()] == [0, 4]
    assert [item.pair.source_row for item in prepared().sample(1)] == [0]
    assert [item.pair.source_row for item in prepared().sample(only=frozenset({3, 4}))] == [4]


def test_nothing_usable_is_an_error_that_counts_the_reasons(prepared):
    with pytest.raises(SepoError, match=r"no pair of 2 rows of .* can be used: 2 too_long"):
        prepared([ROWS[3], ROWS[3]])
    with pytest.raises(SepoError, match="no pair of 1 rows"):
        prepared().sample(only=frozenset({3}))


def test_the_first_pair_is_shown_with_its_borders(new_progress, prepared):
    notes = new_progress()
    prepared(progress=notes)
    assert "5 rows" in notes[0]
    assert any("prompt   'Tea?'" in note for note in notes)
    assert any("chosen   ' Yes, please.<|im_end|>'" in note for note in notes)


def test_the_record_of_the_input(prepared):
    record = prepared(limit=3).input
    assert (record.rows, record.split, len(record.fingerprint)) == (3, None, 64)


@pytest.mark.parametrize(("asked", "given"), [(None, 512), (60, 60), (512, 512)])
def test_the_length_limit(prepared, asked, given):
    assert prepared(max_length=asked).max_length == given


def test_a_length_beyond_the_context_is_refused(prepared):
    with pytest.raises(SepoError, match="--max-length 513 exceeds the context"):
        prepared(max_length=513)


def test_an_extended_tokenizer_on_a_model_that_was_not(prepared, tiny_model):
    found = prepared()
    first = found.pairs(0, 5)[0][0]
    highest = max([*first.prompt_ids, *first.chosen_ids, *first.rejected_ids])
    with pytest.raises(SepoError, match=f"id {highest}, but the model embeds only {highest} tokens"):
        replace(found, embeddings=highest).pairs(0, 5)
