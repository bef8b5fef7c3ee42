"""The unstable interface of Polars that `scan`, the token view and the vocabulary stand on: custom scan sources."""

import polars as pl
import pytest
from polars.io.plugins import register_io_source

FRAME = pl.DataFrame({"a": [1, 2, 3], "b": [4, 5, 6]})
ENGINES = ["in-memory", "streaming"]

pytestmark = pytest.mark.unstable_api


@pytest.fixture
def source():
    """A lazy frame over FRAME, and the arguments of each call: columns, whether there is a predicate, rows."""
    calls = []

    def batches(columns, predicate, rows, _batch_size):
        calls.append((columns, predicate is not None, rows))
        frame = FRAME.head(rows or FRAME.height)
        frame = pl.DataFrame(height=frame.height) if columns == [] else frame.select(columns or pl.all())
        yield frame.filter(predicate) if predicate is not None else frame

    return register_io_source(batches, schema=FRAME.schema, is_pure=True, explain_name="sepo"), calls


@pytest.mark.parametrize("engine", ENGINES)
def test_a_source_gets_the_columns_that_a_query_uses(source, engine):
    frame, calls = source
    assert frame.select("a").collect(engine=engine).rows() == [(1,), (2,), (3,)]
    assert frame.collect(engine=engine).rows() == FRAME.rows()
    assert calls == [(["a"], False, None), (None, False, None)], "None stands for all columns"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_source_gets_no_column_where_only_rows_are_counted(source, engine):
    frame, calls = source
    assert frame.with_row_index().select("index").collect(engine=engine).rows() == [(0,), (1,), (2,)]
    assert calls == [([], False, None)]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_source_applies_the_row_limit_before_the_predicate(source, engine):
    frame, calls = source
    assert frame.head(2).filter(pl.col("b") > 4).collect(engine=engine).rows() == [(2, 5)]
    assert frame.filter(pl.col("b") > 4).head(1).collect(engine=engine).rows() == [(2, 5)]
    assert calls[0] == (None, True, 2)
    assert calls[1][2] is None, "a limit after the predicate stays outside of the source"


def test_the_name_of_a_source_is_in_the_plan(source):
    assert "PYTHON[sepo] SCAN" in source[0].explain()


def test_batches_are_collected_in_order_and_not_before_they_are_asked_for():
    started = []

    def batches(_columns, _predicate, _rows, _batch_size):
        for number in range(4):
            started.append(number)
            yield pl.DataFrame({"a": [number] * 10})

    collected = register_io_source(batches, schema={"a": pl.Int64}, is_pure=True).collect_batches(lazy=True)
    assert started == []
    assert pl.concat(list(collected))["a"].to_list() == [number for number in range(4) for _ in range(10)]
    assert started == [0, 1, 2, 3]
