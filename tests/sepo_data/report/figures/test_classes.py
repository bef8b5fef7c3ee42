"""Rewards by token class, against a plain loop and against queries."""

from __future__ import annotations

from statistics import mean

import numpy as np
import polars as pl
import pytest

from sepo_data.analysis.query import query
from sepo_data.errors import SepoError
from sepo_data.report.figure import make_figure
from sepo_data.report.figures.classes import CLASSES, classes_of, classes_table
from sepo_data.report.source import open_sources
from sepo_data.selection.ragged import Ragged
from sepo_data.selection.token_classes import classify
from tests.fixtures.commands import WORDS

CLASS_OF_WORD = {"Ġgo": "word start", "od": "word continuation", ".": "punctuation", "Ġday": "word start"} | {
    "<|im_end|>": "template"
}
"""In the responses of `drawn`, where " good. day<|im_end|>" begins every response."""


def test_a_plain_loop_finds_the_same(drawn):
    table = classes_table(drawn.source)
    for row in table.iter_rows(named=True):
        responses = [pair[row["side"] == "rejected"] for pair in drawn.pairs]
        every = [reward for response in responses for reward in response]
        rewards = [
            reward
            for response in responses
            for word, reward in zip(WORDS, response, strict=False)
            if CLASS_OF_WORD[word] == row["token_class"]
        ]
        assert row["tokens"] == len(rewards)
        assert row["share_of_tokens"] == pytest.approx(len(rewards) / len(every))
        assert row["share_of_absolute"] == pytest.approx(sum(map(abs, rewards)) / sum(map(abs, every)))
        assert row["mean_reward"] == (pytest.approx(mean(rewards)) if rewards else None)
        assert row["low"] is None if len(rewards) < 2 else row["low"] <= mean(rewards) <= row["high"]


def test_every_token_is_in_one_class(drawn):
    table = classes_table(drawn.source)
    sums = table.group_by("side", maintain_order=True).agg(
        pl.col("tokens", "share_of_tokens", "share_of_absolute").sum()
    )
    counts = dict(query("SELECT side, COUNT(*) FROM tokens GROUP BY side", {"pairs": drawn.folder}).collect().rows())
    assert dict(zip(sums["side"], sums["tokens"], strict=True)) == counts
    assert sums["share_of_tokens"].to_list() == sums["share_of_absolute"].to_list() == [pytest.approx(1)] * 2


def test_a_query_counts_the_same_template_tokens(drawn):
    table = classes_table(drawn.source).filter(token_class="template")
    sql = (
        "SELECT side, COUNT(*) AS n, AVG(CAST(reward AS DOUBLE)) AS mean FROM tokens "
        "WHERE token = '<|im_end|>' GROUP BY side ORDER BY side"
    )
    answer = query(sql, {"pairs": drawn.folder}).collect()
    assert table["tokens"].to_list() == answer["n"].to_list()
    assert table["mean_reward"].to_list() == pytest.approx(answer["mean"].to_list())


def test_a_selection_has_the_selected_share(selected, scored):
    table = classes_table(open_sources([selected])[0])
    sql = "SELECT side, token, COUNT(*) AS n, SUM(CAST(selected AS INTEGER)) AS kept FROM tokens GROUP BY side, token"
    answer = query(sql, {"pairs": selected}).collect()
    of_word = {word.replace("Ġ", " "): found for word, found in CLASS_OF_WORD.items()}
    for row in table.iter_rows(named=True):
        rows = [each for each in answer.rows() if each[0] == row["side"] and of_word[each[1]] == row["token_class"]]
        count, kept = sum(each[2] for each in rows), sum(each[3] for each in rows)
        assert (row["tokens"], row["selected"]) == (count, kept)
        assert row["share_selected"] == (pytest.approx(kept / count) if count else None)
    assert table["selected"].sum() == 6
    assert "selected" not in classes_table(open_sources([scored])[0]).columns


def names(ids, responses, vocabulary):
    offsets = np.cumsum([0, *responses])
    return [CLASSES[place] for place in classes_of(Ragged(np.array(ids, np.int32), offsets), vocabulary)]


def test_words_continue_within_a_response_alone():
    vocabulary = classify(["go", "od", " day", "\n", "<s>", "。", "日", "本", "\ufffd"], {4})
    start, continuation = "word start", "word continuation"
    assert names([0, 1, 2, 1], [4], vocabulary) == [start, continuation, start, continuation]
    assert names([0, 1, 1], [1, 0, 2], vocabulary) == [start, start, continuation]
    assert names([0, 3, 1, 4, 1, 5], [6], vocabulary) == [
        *(start, "white space", start, "template", start, "punctuation")
    ]
    assert names([6, 7, 0], [3], vocabulary) == [start, start, start]  # no spaces between words
    assert names([8, 8], [2], vocabulary) == [start, continuation]  # the bytes of a character
    assert names([], [0], vocabulary) == []


def test_a_token_without_a_place_in_the_tokenizer_is_refused(tmp_path, rewards_of, write_rewards, texts):
    write_rewards(tmp_path / "rewards", [rewards_of([([0.5] * 6, [1.0])])], tokenizer=texts)
    for kind in ("classes", "tokens"):
        with pytest.raises(SepoError, match="token id 15 is not in the tokenizer of the directory, which has 15 ids"):
            make_figure(kind, [tmp_path / "rewards"])


def test_a_tokenizer_that_cannot_be_read_is_named(long_responses):
    for kind in ("classes", "tokens"):
        with pytest.raises(SepoError, match=r"tokenizer\.json cannot be read"):
            make_figure(kind, [long_responses.folder])


def test_the_picture_names_every_class_with_tokens(drawn):
    svg = make_figure("classes", [drawn.folder]).picture("svg").decode()
    assert {name for name in CLASSES if f">{name}<" in svg} == set(CLASS_OF_WORD.values())
