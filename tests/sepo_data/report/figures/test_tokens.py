"""Tokens of the vocabulary by mean reward, against a plain loop and against queries."""

from __future__ import annotations

from collections import defaultdict
from statistics import mean

import numpy as np
import pytest

from sepo_data.analysis.query import query
from sepo_data.report.figure import make_figure
from sepo_data.report.figures.tokens import LABEL_CHARACTERS, SHOWN, token_label, tokens_table
from sepo_data.report.source import open_sources


@pytest.fixture(scope="module")
def words(tmp_path_factory, rewards_of, write_rewards):
    """200 pairs over a vocabulary of 60 words; the rarer, the higher its id. The folder and the (id, reward) pairs."""
    import pyarrow as pa
    from tokenizers import Tokenizer, decoders, models

    tokenizer = Tokenizer(models.WordLevel({f"w{number}": number for number in range(60)}, unk_token="w0"))
    tokenizer.decoder = decoders.Fuse()
    rng = np.random.default_rng(5)
    seen, tables = [], []
    for first in (0, 150):
        pairs = [
            tuple([float(reward) for reward in rng.integers(-8, 9, rng.integers(1, 9)) / 8] for _ in range(2))
            for _ in range(150 if not first else 50)
        ]
        table = rewards_of(pairs, first=first)
        for place, side in enumerate(("chosen", "rejected")):
            ids = [rng.integers(0, 60 - 3 * (number % 20), len(pair[place])) for number, pair in enumerate(pairs)]
            column = pa.array([each.tolist() for each in ids], table.schema.field(f"{side}_ids").type)
            at = table.schema.get_field_index(f"{side}_ids")
            table = table.set_column(at, table.schema.field(at), column)
            for each, pair in zip(ids, pairs, strict=True):
                seen += [(side, int(token), reward) for token, reward in zip(each, pair[place], strict=True)]
        tables.append(table)
    folder = tmp_path_factory.mktemp("words") / "rewards"
    write_rewards(folder, tables, tokenizer=tokenizer.to_str())
    return folder, seen


def test_a_plain_loop_finds_the_same(words):
    folder, seen = words
    rewards = defaultdict(list)
    for _, token, reward in seen:
        rewards[token].append(reward)
    ranked = sorted((-mean(values), token) for token, values in rewards.items() if len(values) >= 20)
    assert len(ranked) > 2 * SHOWN
    assert len(ranked) < len(rewards)  # some are too rare
    table = tokens_table(open_sources([folder])[0])
    assert table["token_id"].to_list() == [token for _, token in ranked[:SHOWN] + ranked[-SHOWN:]]
    assert table["end"].to_list() == ["highest"] * SHOWN + ["lowest"] * SHOWN
    assert table["min_count"].unique().to_list() == [20]
    for row in table.iter_rows(named=True):
        assert row["token"] == row["label"] == f"w{row['token_id']}"
        assert row["tokens"] == len(rewards[row["token_id"]])
        chosen = [reward for side, token, reward in seen if (side, token) == ("chosen", row["token_id"])]
        assert (row["chosen_tokens"], row["rejected_tokens"]) == (len(chosen), row["tokens"] - len(chosen))
        assert row["mean_reward"] == pytest.approx(mean(rewards[row["token_id"]]))
        assert row["low"] < row["mean_reward"] < row["high"]


def test_counts_and_means_equal_those_of_a_query(words):
    folder, _ = words
    sql = "SELECT token_id, token, count, mean_reward, chosen_count, rejected_count FROM vocabulary"
    answer = {row[0]: row[1:] for row in query(sql, {"pairs": folder}).collect().rows()}
    for row in tokens_table(open_sources([folder])[0]).iter_rows(named=True):
        token, count, reward, chosen, rejected = answer[row["token_id"]]
        assert (row["token"], row["tokens"]) == (token, count)
        assert (row["chosen_tokens"], row["rejected_tokens"]) == (chosen, rejected)
        assert row["mean_reward"] == pytest.approx(reward)


def test_little_data_shows_every_token_once(scored):
    table = tokens_table(open_sources([scored])[0])
    assert table.select("end", "label", "tokens").rows() == [
        ("highest", "·go", 6),
        ("highest", "·day", 2),
        ("highest", ".", 3),
        ("lowest", "<|im_end|>", 1),
        ("lowest", "od", 5),
    ]
    assert table["min_count"].unique().to_list() == [1]
    assert "at least 1 times" in make_figure("tokens", [scored]).caption


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (" the", "·the"),
        ("\n\n", "\\n\\n"),
        ("\t a", "\\t·a"),
        ("\u202eabc", "\\u202eabc"),
        ("\x1b[31m", "\\x1b[31m"),
        ("<0xE2>", "<0xE2>"),
        ("שלום", "שלום"),
        ("x" * 18, "x" * 18),
        ("x" * 19, "x" * 17 + "…"),
        ("日本" * 9, "日本日本日本日本…"),
        ("a" + "\u0301" * 40, "a" + "\u0301" * 16 + "…"),
        ("", ""),
    ],
)
def test_a_label_is_one_short_line_of_what_can_be_seen(text, label):
    assert token_label(text) == label
    assert len(label) <= LABEL_CHARACTERS
