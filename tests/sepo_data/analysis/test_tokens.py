"""The token view and the vocabulary against tables written out by hand and a plain walk over the pairs."""

import subprocess
import sys

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from tokenizers import Tokenizer, decoders, models

from sepo_data.analysis.tokens import LIST_COLUMNS, SIDE, tokens
from sepo_data.analysis.vocabulary import vocabulary
from sepo_data.errors import SepoError
from sepo_data.schemas.stages import SIDES
from sepo_data.selection.rules.top import top
from sepo_data.selection.select import select
from sepo_data.stages.scan import scan
from sepo_data.stages.token_text import single_texts

PAIRS = [([0.5, -1.0, 2.0], [1.0]), ([0.25], [-0.5, 0.0])]
"""Rewards of two pairs; their token ids are 10, 11, 12 and 10; 10 and 10, 11."""

LENGTH = pl.sum_horizontal(pl.col(f"{side}_ids").list.len() for side in SIDES)


@pytest.fixture
def rewards(tmp_path, rewards_of, write_rewards):
    """The two pairs in a shard each, with a tokenizer that knows the three ids."""
    vocab = {"a": 0, "Ġyes": 10, "âĢ": 11, "âĢĻ": 12}
    tokenizer = Tokenizer(models.BPE(vocab | {f"f{i}": i for i in range(1, 10)}, []))
    tokenizer.decoder = decoders.ByteLevel()
    tables = [rewards_of([pair], first=number) for number, pair in enumerate(PAIRS)]
    write_rewards(tmp_path / "rewards", tables, tokenizer=tokenizer.to_str())
    return tmp_path / "rewards"


def by_hand(frame):
    """The same view, one Python object at a time."""
    rows = []
    pairs = frame.to_dicts()
    for number, pair in enumerate(pairs):
        occurrence = sum(earlier["pair_id"] == pair["pair_id"] for earlier in pairs[:number])
        for side in SIDES:
            lists = {
                name: pair[column.format(side)] for name, column in LIST_COLUMNS.items() if column.format(side) in pair
            }
            for position in range(len(pair[f"{side}_ids"])):
                row = {"pair_id": pair["pair_id"], "occurrence": occurrence, "side": side, "position": position}
                rows.append(row | {name: values[position] for name, values in lists.items()})
    return rows


def in_batches(parts):
    """A lazy frame whose source hands over one of `parts` after the other."""

    def source(columns, _predicate, _rows, _size):
        yield from (part.select(columns or pl.all()) for part in parts)

    return pl.io.plugins.register_io_source(source, schema=parts[0].schema)


def test_two_pairs_written_out(rewards):
    view = scan(rewards).pipe(tokens, rewards)
    first, second = f"{0:016x}", f"{1:016x}"
    assert view.collect().rows() == [
        (first, 0, "chosen", 0, 10, " yes", 0.5, -8.5, -9.0),
        (first, 0, "chosen", 1, 11, "<0xE2><0x80>", -1.0, -10.0, -9.0),
        (first, 0, "chosen", 2, 12, "\N{RIGHT SINGLE QUOTATION MARK}", 2.0, -7.0, -9.0),
        (first, 0, "rejected", 0, 10, " yes", 1.0, -8.0, -9.0),
        (second, 0, "chosen", 0, 10, " yes", 0.25, -8.75, -9.0),
        (second, 0, "rejected", 0, 10, " yes", -0.5, -9.5, -9.0),
        (second, 0, "rejected", 1, 11, "<0xE2><0x80>", 0.0, -9.0, -9.0),
    ]
    assert view.collect_schema() == view.collect().schema
    assert view.collect_schema() == {
        "pair_id": pl.String, "occurrence": pl.Int32, "side": SIDE, "position": pl.Int32, "token_id": pl.Int32,
        "token": pl.String, "reward": pl.Float32, "oracle_logp": pl.Float32, "ref_logp": pl.Float32,
    }  # fmt: skip


def test_columns_that_a_stage_lacks_are_absent(rewards, tmp_path):
    assert "selected" not in scan(rewards).pipe(tokens).collect_schema()
    assert "token" not in scan(rewards).pipe(tokens).collect_schema()
    select(rewards, tmp_path / "selection")
    view = scan(tmp_path / "selection").pipe(tokens)
    assert view.collect_schema().names() == [
        "pair_id",
        "occurrence",
        "side",
        "position",
        "token_id",
        "reward",
        "selected",
    ]
    # 30% of three tokens is one token, of one or two tokens too: the highest chosen, the lowest rejected rewards
    assert view.collect()["selected"].to_list() == [False, False, True, True, True, True, False]


def test_a_frame_without_tokens_is_refused():
    with pytest.raises(SepoError, match="has no tokens"):
        tokens(pl.LazyFrame({"pair_id": ["a"]}))


@pytest.mark.parametrize("engine", ["streaming", "in-memory"])
def test_any_columns_in_any_order_any_filter_any_limit(rewards, engine):
    view = scan(rewards).pipe(tokens, rewards)
    whole = view.collect()
    for columns in (
        ["side"],
        ["pair_id"],
        ["occurrence"],
        ["position"],
        ["token"],
        ["reward", "token_id"],
        whole.columns[::-1],
    ):
        assert_frame_equal(view.select(columns).collect(engine=engine), whole.select(columns))
    assert view.select(pl.len()).collect(engine=engine).item() == 7
    for predicate in (
        pl.col("side") == "rejected",
        pl.col("pair_id") == f"{1:016x}",
        pl.col("token") == " yes",
        (pl.col("position") > 0) & (pl.col("reward") < 1),
        pl.col("reward") > 99,
    ):
        for columns in (["position"], ["side", "reward"]):
            kept = view.filter(predicate).select(columns).collect(engine=engine)
            assert_frame_equal(kept, whole.filter(predicate).select(columns))
    for limit in (0, 1, 4, 5, 99):
        assert_frame_equal(view.head(limit).collect(engine=engine), whole.head(limit))
    for frame in (scan(rewards), view, scan(rewards).pipe(vocabulary, rewards)):
        # a row index alone asks for no column at all
        rows = frame.collect().height
        assert frame.with_row_index("row").select("row").collect(engine=engine)["row"].to_list() == list(range(rows))
        assert frame.join(view, how="cross").select(pl.len()).collect(engine=engine).item() == rows * 7
    both = view.join(view, on=["pair_id", "side", "position"])
    assert both.select(pl.len()).collect(engine=engine).item() == 7


def test_lists_that_are_not_asked_for_are_not_read(rewards):
    class Watched:
        def __init__(self):
            self.read = set()

        def source(self, columns, predicate, rows, _size):
            self.read |= set(columns)
            frame = scan(rewards).select(columns).collect()
            yield frame.filter(predicate) if predicate is not None else frame

    watched = Watched()
    frame = pl.io.plugins.register_io_source(watched.source, schema=scan(rewards).collect_schema())
    tokens(frame).group_by("token_id").agg(pl.col("reward").mean()).collect()
    assert watched.read == {"chosen_ids", "chosen_rewards", "rejected_ids", "rejected_rewards"}
    watched.read.clear()
    vocabulary(frame).select("token_id", "count").collect()
    assert watched.read == {"chosen_ids", "rejected_ids"}


REWARDS = st.lists(st.floats(-4, 4, width=32), min_size=1, max_size=6)


@pytest.mark.slow
@given(pairs=st.lists(st.tuples(REWARDS, REWARDS), min_size=1, max_size=6), size=st.integers(1, 7))
def test_views_equal_a_walk_over_the_pairs(pairs, size):
    columns = {"pair_id": [str(number % 3) for number in range(len(pairs))]}
    for side, rewards in zip(SIDES, zip(*pairs, strict=True), strict=True):
        columns[f"{side}_rewards"] = pl.Series(list(rewards), dtype=pl.List(pl.Float32))
        ids = [[abs(int(reward * 3)) for reward in values] for values in rewards]
        columns[f"{side}_ids"] = pl.Series(ids, dtype=pl.List(pl.Int32))
    masked = top("30%", rejected="50%").with_masks(pl.LazyFrame(columns)).collect()
    parts = [masked.slice(start, size) for start in range(0, len(pairs), size)]
    batches = in_batches(parts)
    view = tokens(batches)
    # a batch hands over its chosen responses first, then its rejected ones
    rows = iter(by_hand(masked))
    of_part = [[next(rows) for _ in range(part.select(LENGTH).sum().item())] for part in parts]
    expected = [row for rows in of_part for side in SIDES for row in rows if row["side"] == side]
    assert view.collect().to_dicts() == expected

    grouped = view.group_by("token_id").agg(
        pl.len().cast(pl.Int64).alias("count"),
        *((pl.col("side") == side).sum().cast(pl.Int64).alias(f"{side}_count") for side in SIDES),
        pl.col("reward").cast(pl.Float64).mean().alias("mean_reward"),
        *(
            pl.col("reward").cast(pl.Float64).filter(pl.col("side") == side).sum().alias(f"{side}_reward")
            for side in SIDES
        ),
        *(
            ((pl.col("side") == side) & pl.col("selected")).sum().cast(pl.Int64).alias(f"{side}_selected")
            for side in SIDES
        ),
    )
    table = vocabulary(batches)
    assert table.collect_schema() == table.collect().schema
    assert_frame_equal(table.collect(), grouped.collect().sort("token_id"), check_column_order=False)


def test_vocabulary_written_out(rewards):
    table = scan(rewards).pipe(vocabulary, rewards)
    # id 10: chosen 0.5 and 0.25, rejected 1.0 and -0.5; id 11: chosen -1.0, rejected 0.0; id 12: chosen 2.0
    assert table.collect().rows() == [
        (10, " yes", 4, 0.3125, 2, 2, 0.75, 0.5),
        (11, "<0xE2><0x80>", 2, -0.5, 1, 1, -1.0, 0.0),
        (12, "\N{RIGHT SINGLE QUOTATION MARK}", 1, 2.0, 1, 0, 2.0, 0.0),
    ]
    assert table.filter(pl.col("token") == " yes").select("count").collect().item() == 4
    assert table.select("token").head(2).collect()["token"].to_list() == [" yes", "<0xE2><0x80>"]
    assert table.select(pl.len()).collect().item() == 3


def test_vocabulary_of_a_shard_without_rows(tmp_path, rewards_of, write_rewards):
    full = rewards_of(PAIRS)
    write_rewards(tmp_path / "rewards", [full.slice(0, 0), full])
    assert scan(tmp_path / "rewards").pipe(vocabulary).collect()["count"].to_list() == [4, 2, 1]
    assert scan(tmp_path / "rewards").pipe(tokens).collect().height == 7


def byte_level(vocab):
    tokenizer = Tokenizer(models.BPE(vocab, []))
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def test_text_of_byte_level_tokens():
    # in GPT-2's alphabet: Ġ a space, Ċ a line feed, Ã¤ the two bytes C3 A4 of ä, Ã alone the first of them
    texts = single_texts(byte_level({"a": 0, "Ġthe": 1, "Ċ": 2, "Ã¤": 3, "Ã": 4, "xÃ": 5, "ï¿½": 6}))
    assert texts == ["a", " the", "\n", "ä", "<0xC3>", "x<0xC3>", "\N{REPLACEMENT CHARACTER}"]


def test_text_of_sentencepiece_tokens():
    blank = "\N{LOWER ONE EIGHTH BLOCK}"
    tokenizer = Tokenizer(models.BPE({"a": 0, f"{blank}the": 1, "<0xE2>": 2, "<0x0A>": 3}, []))
    blanks = decoders.Replace(blank, " ")
    tokenizer.decoder = decoders.Sequence([blanks, decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    assert single_texts(tokenizer) == ["a", " the", "<0xE2>", "\n"]


def test_text_without_a_plain_letter_and_with_gaps_in_the_ids():
    assert single_texts(byte_level({"Ġb": 0, "c": 3})) == [" b", "", "", "c"]


def test_no_torch_no_tokenizers_no_datasets(rewards):
    """A query of numbers imports no more than polars and pyarrow."""
    code = (
        "import sys; from sepo_data.analysis.query import query; "
        "query('SELECT token_id, AVG(reward) FROM tokens GROUP BY token_id', {'pairs': sys.argv[1]}).collect(); "
        "print([name for name in ('torch', 'transformers', 'datasets', 'tokenizers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(rewards)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
