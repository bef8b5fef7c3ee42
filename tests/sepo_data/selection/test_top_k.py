"""Exactly so many of the highest scores, the earliest among equals: against sorting, in plain Python."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepo_data.errors import SepoError
from sepo_data.selection import top_k
from sepo_data.selection.kth_highest import kth_highest
from sepo_data.selection.ragged import Ragged, ragged
from sepo_data.selection.top_k import top_k_expr, top_k_mask

TINY = 2.0**-149  # the smallest float32 above 0
REWARD = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.sampled_from(
    [0.0, -0.0, 1.0, -1.0, TINY, -TINY]
)
ROWS = st.lists(st.lists(REWARD, max_size=30), max_size=8)


def of(rows, dtype=np.float32):
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Ragged(np.array([value for row in rows for value in row], dtype), offsets)


def rows_of(flat):
    return [flat.values[start:end].tolist() for start, end in zip(flat.offsets[:-1], flat.offsets[1:], strict=True)]


def reference(scores, k):
    """By sorting (score, position)."""
    kept = set(sorted(range(len(scores)), key=lambda token: (-scores[token], token))[: max(k, 0)])
    return [token in kept for token in range(len(scores))]


@given(ROWS, st.lists(st.integers(-1, 35), min_size=8, max_size=8), st.integers(1, 40))
@settings(deadline=None)
def test_equals_sorting(rows, counts, block):
    scores, wanted = of(rows), [counts[: len(rows)], counts[::-1][: len(rows)]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(top_k, "BLOCK_TOKENS", block)
        made = top_k_mask(scores, [np.array(each, np.int64) for each in wanted])
    for mask, each in zip(made, wanted, strict=True):
        assert rows_of(scores.with_values(mask)) == [reference(row, k) for row, k in zip(rows, each, strict=True)]


@given(ROWS.filter(len), st.integers(1, 9))
@settings(deadline=None)
def test_the_expression_equals_sorting(rows, k):
    frame = pl.LazyFrame({"scores": rows}, schema={"scores": pl.List(pl.Float32)})
    expected = [reference(row, k) for row in rows]
    for engine in ("in-memory", "streaming"):
        made = frame.select(top_k_expr(pl.col("scores"), pl.lit(k))).collect(engine=engine)
        assert made["scores"].to_list() == expected
        assert made["scores"].dtype == pl.List(pl.Boolean)


@pytest.mark.parametrize("rewards", [[1.0] * 100_000, [float(i % 7) for i in range(100_000)]])
def test_a_long_response(rewards):
    scores = of([rewards])
    [mask] = top_k_mask(scores, [np.array([30_000])])
    assert mask.tolist() == reference(rewards, 30_000)


def test_whole_numbers_rank_too():
    # 2^64 - 1 and its neighbour are the same number as floats
    scores = of([[2**64 - 2, 2**64 - 1, 0]], np.uint64)
    [mask] = top_k_mask(scores, [np.array([1])])
    assert mask.tolist() == [False, True, False]


def test_infinite_scores_come_first():
    scores = of([[1.0, float("inf"), -float("inf"), float("inf")]])
    [two, three] = top_k_mask(scores, [np.array([2]), np.array([3])])
    assert two.tolist() == [False, True, False, True]
    assert three.tolist() == [True, True, False, True]


def test_nan_is_refused():
    with pytest.raises(SepoError, match="NaN"):
        top_k_mask(of([[1.0], [2.0, float("nan"), 3.0]]), [np.array([1, 1])])


def test_nulls_are_refused():
    for rows in ([[1.0], None], [[1.0, None]]):
        with pytest.raises(SepoError, match="column r has nulls"):
            ragged(pl.Series("r", rows, dtype=pl.List(pl.Float32)))


@given(ROWS)
def test_a_list_column_there_and_back(rows):
    series = pl.Series("r", [[], *rows], dtype=pl.List(pl.Float32))
    # A slice starts within the values, and an append leaves two pieces.
    for column in (series, series.slice(1), series.append(series)):
        flat = ragged(column)
        assert flat.to_series("r").equals(column)
        assert flat.sums(np.ones(len(flat.values), np.bool_)).tolist() == column.list.len().to_list()
        assert flat.positions.tolist() == [place for row in column.to_list() for place in range(len(row))]


@given(ROWS.filter(any), st.data())
def test_the_kth_highest_of_all(rows, data):
    values = sorted((value for row in rows for value in row), reverse=True)
    k = data.draw(st.integers(1, len(values)))
    found, higher = kth_highest(lambda: (np.array(row, np.float32) for row in rows), k)
    assert found == values[k - 1]
    assert higher == sum(value > found for value in values)
