"""The rule `span`: characters of a response to tokens."""

import polars as pl
import pytest
from transformers import AutoTokenizer

from sepo_data.errors import SepoError
from sepo_data.selection.parse import parse_rule

RESPONSES = ["Yes, I'd be happy to help!", "naïve 日本 café", "  leading space", "no spans here"]
SPANS = [[[9, 17]], [[2, 3], [6, 8]], [[2, 9]], []]


@pytest.fixture
def folder(tiny_model, tmp_path):
    (tmp_path / "tokenizer").symlink_to(tiny_model)
    return tmp_path


def frame_of(tokenizer, *, messages=False, keep=None, struct=False, before=""):
    ids = [tokenizer.encode(before + text + "<|im_end|>") for text in RESPONSES]
    ids = [each[:keep] for each in ids]
    columns = {"source_row": list(range(len(ids))), "prompt_ids": [[1, 2]] * len(ids)}
    for side in ("chosen", "rejected"):
        columns[side] = [[{"role": "assistant", "content": text}] for text in RESPONSES] if messages else RESPONSES
        columns[f"{side}_ids"] = ids
        columns[f"{side}_rewards"] = [[0.0] * (len(each) - 1) + [1.0] for each in ids]
        columns[f"{side}_decisive"] = (
            [[{"start": first, "end": last} for first, last in each] for each in SPANS] if struct else SPANS
        )
    rewards = {f"{side}_rewards": pl.List(pl.Float32) for side in ("chosen", "rejected")}
    return pl.LazyFrame(columns, schema_overrides=rewards)


def selected(rule, frame, tokenizer):
    """The text of the selected tokens of each response, apart by |."""
    rows = frame.with_columns(mask=rule.mask("chosen")).collect().to_dicts()
    made = []
    for row in rows:
        runs, run = [], []
        for token, marked in zip([*row["chosen_ids"], 0], [*row["mask"], False], strict=True):
            if marked:
                run.append(token)
            elif run:
                runs, run = [*runs, tokenizer.decode(run)], []
        made.append("|".join(runs))
    return made


@pytest.mark.parametrize("messages", [False, True])
@pytest.mark.parametrize("struct", [False, True])
@pytest.mark.parametrize("before", ["", "\n"])
def test_the_tokens_of_the_spans(folder, tiny_model, messages, struct, before):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    frame = frame_of(tokenizer, messages=messages, struct=struct, before=before)
    rule = parse_rule("span(decisive)").prepared(frame, folder)
    happy, accents, leading, none = selected(rule, frame, tokenizer)
    # Whole tokens, so a span may grow by letters that share a token with it, but by no token beside it.
    assert "be happy" in happy
    assert len(happy) <= len(" be happy")
    assert [part.strip() for part in accents.split("|")] == ["ï", "日本"]
    assert leading.strip() == "leading"
    # Without a span the best token is taken: rejected rewards are negated, chosen ones prefer the last token.
    assert none == "<|im_end|>"


def test_a_truncated_response_keeps_its_first_letters(folder, tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    frame = frame_of(tokenizer, keep=12)
    made = selected(parse_rule("span(decisive)").prepared(frame, folder), frame, tokenizer)
    assert made[0] in "Yes, I'd be happy"
    frame = frame_of(tokenizer, keep=2)
    assert len(selected(parse_rule("span(decisive)").prepared(frame, folder), frame, tokenizer)) == len(RESPONSES)


def test_a_column_that_is_not_there(folder, tiny_model):
    frame = frame_of(AutoTokenizer.from_pretrained(tiny_model))
    with pytest.raises(SepoError, match="no column chosen_decisve and rejected_decisve") as caught:
        parse_rule("span(decisve)").prepared(frame, folder)
    assert "chosen_decisive" in caught.value.hint


def test_a_tokenizer_that_changes_the_text(folder, tiny_model):
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    frame = frame_of(tokenizer).with_columns(pl.col("chosen").str.to_uppercase())
    rule = parse_rule("span(decisive)").prepared(frame, folder)
    with pytest.raises(SepoError, match="have another text"):
        frame.select(rule.mask("chosen")).collect()
