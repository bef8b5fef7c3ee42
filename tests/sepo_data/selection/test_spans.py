"""Spans: what marks a token, what marks nothing, and the rows that are skipped because a span is none."""

from __future__ import annotations

import json

import polars as pl
import pyarrow as pa
import pytest
from tokenizers import Tokenizer

from sepo_data.errors import SepoError
from sepo_data.preferences.skipped import skipped_count
from sepo_data.schemas.folder import SKIPPED
from sepo_data.schemas.stages import Stage, stage_schema
from sepo_data.selection.parse import parse_rule
from sepo_data.selection.select import select, select_many
from sepo_data.selection.spans import Marked, SpanFault, check_type
from sepo_data.shapes.skip_reasons import CODES
from sepo_data.stages.scan import scan

TEXT = "yes I do"


@pytest.fixture(scope="module")
def tokenizer(tiny_model):
    return Tokenizer.from_file(str(tiny_model / "tokenizer.json"))


def marked(tokenizer, value, text=TEXT):
    """The characters of the tokens that the spans touch."""
    ids = tokenizer.encode(text, add_special_tokens=False).ids
    mask = Marked("chosen_spans", ids, [1, 2], text, value).tokens_inside(tokenizer)
    return tokenizer.decode([token for token, inside in zip(ids, mask, strict=True) if inside]).strip()


@pytest.mark.parametrize("empty", [None, [], [[0, 0]], [[2, 2]], [[5, 5], [8, 8]], [{"start": 2, "end": 2}]])
def test_an_empty_span_marks_nothing(tokenizer, empty):
    assert marked(tokenizer, empty) == ""


@pytest.mark.parametrize(
    "span",
    [
        [4, 5], (4, 5), [4.0, 5.0], {"start": 4, "end": 5}, {"end": 5, "start": 4}, {"begin": 4, "end": 5},
        {"label": "x", "start": 4, "end": 5, "text": "I"}, {"to": 5, "from": 4}, {"stop": 5, "start": 4},
    ],
    ids=str,
)  # fmt: skip
def test_the_forms_of_a_span(tokenizer, span):
    assert marked(tokenizer, [span]) == "I"


def test_an_object_of_lists(tokenizer):
    assert marked(tokenizer, {"end": [5, 2], "label": ["x", "y"], "start": [4, 2]}) == "I"
    assert marked(tokenizer, {"start": [], "end": []}) == marked(tokenizer, {"start": None, "end": None}) == ""
    with pytest.raises(SpanFault, match="no pair"):
        marked(tokenizer, {"start": [4, 5], "end": [5]})


@pytest.mark.parametrize(
    ("span", "detail"),
    [
        ([5, 4], "[5, 4] ends before it begins"),
        ([0, 9], "[0, 9] reaches beyond the 8 characters"),
        ([9, 9], "[9, 9] reaches beyond the 8 characters"),
        ([-1, 3], "[-1, 3] reaches beyond"),
        ([None, 3], "is no pair of whole numbers"),
        ([0.5, 3], "is no pair of whole numbers"),
        ([float("nan"), 3], "is no pair of whole numbers"),
        ([1, 2, 3], "is no pair of whole numbers"),
        ([], "is no pair of whole numbers"),
        (None, "is no pair of whole numbers"),
        ({"start": 1, "end": None}, "is no pair of whole numbers"),
        ({"start": 1, "length": 3}, "is no pair of whole numbers"),
    ],
    ids=str,
)
def test_what_is_no_span_of_the_response(tokenizer, span, detail):
    response = Marked("chosen_spans", [5], [1, 2], TEXT, [[4, 5], span])
    for read in (response.check, response.tokens_inside):
        with pytest.raises(SpanFault) as caught:
            read(tokenizer)
        assert caught.value.reason in CODES
        assert detail in caught.value.detail
        assert "chosen_spans" in caught.value.detail


@pytest.mark.parametrize("content", [None, ""])
def test_a_turn_without_text_has_no_spans(tokenizer, content):
    turns = [{"role": "assistant", "content": content}]
    assert Marked("chosen_spans", [5, 6], [1], turns, [[0, 0]]).tokens_inside(tokenizer) == [False, False]
    with pytest.raises(SpanFault):
        Marked("chosen_spans", [5, 6], [1], turns, [[0, 1]]).check(tokenizer)


PAIRS = pl.List(pl.Int64)
START_END = pl.Struct({"end": pl.Int32, "start": pl.Int32, "label": pl.String})


@pytest.mark.parametrize(
    "dtype", [pl.Null, pl.List(PAIRS), pl.List(pl.Array(pl.Int32, 2)), pl.List(START_END)], ids=str
)
def test_types_that_hold_spans(dtype):
    check_type("chosen_spans", dtype)


@pytest.mark.parametrize(
    "dtype",
    [
        pl.String, pl.Int64, PAIRS, pl.List(pl.String), pl.List(pl.List(pl.String)),
        pl.List(pl.Struct({"start": pl.Int32, "length": pl.Int32})), pl.Struct({"start": pl.Int64, "end": PAIRS}),
    ],
    ids=str,
)  # fmt: skip
def test_types_that_hold_none(dtype):
    with pytest.raises(SepoError, match="so it holds no spans") as caught:
        check_type("chosen_spans", dtype)
    assert "{start, end}" in caught.value.hint


# The stage.


@pytest.fixture
def write(tmp_path, tokenizer, write_rewards):
    """Write the rewards of responses with these chosen spans, two rows a shard; the rejected have none."""
    ids = tokenizer.encode(TEXT, add_special_tokens=False).ids

    def made(spans, folder="rewards"):
        rows = []
        for number, each in enumerate(spans):
            row = {"pair_id": f"{number:016x}", "source_row": 10 + number, "oracle_seen": True, "margin": 0.0}
            row |= {"prompt": "q", "prompt_ids": [1, 2], "prompt_tokens": 2}
            for side in ("chosen", "rejected"):
                row |= {side: TEXT, f"{side}_ids": ids, f"{side}_tokens": len(ids), f"{side}_reward": 0.0}
                row |= {f"{side}_{name}": [-float(place) for place in range(len(ids))] for name in LISTS}
            rows.append(row | {"chosen_spans": each, "rejected_spans": []})
        schema = stage_schema(Stage.REWARDS, conversational=False)
        for side in ("chosen", "rejected"):
            schema = schema.append(pa.field(f"{side}_spans", pa.list_(pa.list_(pa.int64()))))
        tables = [pa.Table.from_pylist(rows[start : start + 2], schema) for start in range(0, len(rows), 2)]
        write_rewards(tmp_path / folder, tables, tokenizer=tokenizer.to_str())
        return tmp_path / folder

    return made


LISTS = ("rewards", "oracle_logps", "ref_logps")
SPANS = [[[0, 3]], [[3, 0]], [[0, 99]], [[-1, 2]], [[4, 5]], [[2, 2]]]


def test_rows_with_wrong_spans_are_skipped_and_listed(tmp_path, write):
    rewards = write(SPANS)
    planned = select(rewards, tmp_path / "out", "span", dry_run=True)
    manifest = select(rewards, tmp_path / "out", "span")
    assert manifest.total("skipped") == {"invalid_span": 3} == planned.results["skipped"]
    assert skipped_count(manifest.total("skipped")) == manifest.input.rows - manifest.rows == 3
    assert planned.results["rows"] == manifest.rows
    lines = [json.loads(line) for line in (tmp_path / "out" / SKIPPED).read_text().splitlines()]
    assert [(line["row"], line["reason"]) for line in lines] == [(row, "invalid_span") for row in (11, 12, 13)]
    assert lines[0]["detail"] == "chosen_spans: [3, 0] ends before it begins"
    made = scan(tmp_path / "out").collect()
    assert made["source_row"].to_list() == [10, 14, 15]
    # The rows of the others are what they are without those that were skipped.
    select(write([SPANS[0], SPANS[4], SPANS[5]], "clean"), tmp_path / "clean-out", "span")
    clean = scan(tmp_path / "clean-out").collect()
    assert made.drop("source_row", "pair_id").equals(clean.drop("source_row", "pair_id"))


def test_another_selection_beside_it_keeps_the_rows(tmp_path, write):
    spans, best = select_many(write(SPANS), {tmp_path / "spans": "span", str(tmp_path / "best"): "top(50%)"})
    assert (spans.rows, best.rows) == (3, len(SPANS))
    assert best.total("skipped") == {}


def test_no_row_is_left(tmp_path, write):
    with pytest.raises(SepoError, match="no row is left, 2 rows skipped: 2 invalid_span"):
        select(write([[[3, 0]], [[0, 99]]]), tmp_path / "out", "span")


def test_a_tokenizer_that_changes_the_text_skips_the_row(tmp_path, write):
    rewards = write([[[0, 3]]] * 2)
    frame = scan(rewards).with_columns(chosen=pl.lit("YES I DO"))
    found = parse_rule("span").prepared(frame, rewards).unusable(frame.collect())
    assert {reason for reason, _ in found.values()} == {"other_text"}


def test_the_command_counts_them(tmp_path, write, run_commands):
    rewards = write(SPANS)
    command = ["select", rewards, "--rule", "span", "--out"]
    done = run_commands(
        {
            "refused": [*command, tmp_path / "a"],
            "allowed": [*command, tmp_path / "b", "--max-skipped", "3"],
            "share": [*command, tmp_path / "c", "--max-skipped", "50%"],
            "expected": [*command, tmp_path / "d", "--dry-run"],
            "expected and allowed": [*command, tmp_path / "d", "--dry-run", "--max-skipped", "3"],
        },
        tmp_path,
    )
    assert [code for code, *_ in done.values()] == [1, 0, 0, 1, 0]
    assert "3 of 6 rows were skipped, --max-skipped allows 0" in done["refused"][2]
    assert "accept it with --max-skipped 3" in done["expected"][2]
    assert "3 rows skipped: 3 invalid_span" in done["allowed"][2]
    assert "next: sepo train" in done["allowed"][2]
    assert not (tmp_path / "d").exists()
