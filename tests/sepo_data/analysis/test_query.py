"""SQL over stage datasets: the tables, what is refused, and errors that name the nearest column or table."""

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sepo_data.analysis.query import open_tables, query, schema_of
from sepo_data.analysis.read_only import FILE_READERS, check_read_only
from sepo_data.analysis.tokens import tokens
from sepo_data.errors import SepoError
from sepo_data.selection.select import select
from sepo_data.stages.scan import scan
from tests.sepo_data.analysis.conftest import PAIRS


@pytest.fixture(scope="module")
def selection(rewards):
    out = rewards.parent / "selection"
    select(rewards, out)
    return out


def refused(sql, tables):
    """The message and the hint."""
    with pytest.raises(SepoError) as caught:
        query(sql, tables)
    return str(caught.value), caught.value.hint


def test_tables_of_one_directory(rewards):
    tables = {"pairs": rewards}
    sums = query("SELECT side, SUM(reward) AS reward FROM tokens GROUP BY side ORDER BY side", tables)
    assert sums.collect().rows() == [("chosen", 1.75), ("rejected", 0.5)]
    assert query("SELECT pair_id, margin FROM pairs ORDER BY margin DESC", tables).collect()["margin"].to_list() == [
        0.75,  # 0.25 - (-0.5 + 0.0)
        0.5,  # (0.5 - 1.0 + 2.0) - 1.0
    ]
    assert query("SELECT SUM(count) FROM vocabulary", tables).collect().item() == 7
    assert query("SHOW TABLES", tables).collect()["name"].sort().to_list() == ["pairs", "tokens", "vocabulary"]
    assert query("EXPLAIN SELECT reward FROM tokens", tables).collect().height > 0


def test_two_directories_are_joined(rewards, selection):
    answer = query(
        """
        SELECT b.selected, SUM(a.reward) AS reward, COUNT(*) AS tokens
        FROM a_tokens AS a JOIN b_tokens AS b
          ON a.pair_id = b.pair_id AND a.occurrence = b.occurrence AND a.side = b.side AND a.position = b.position
        GROUP BY b.selected ORDER BY b.selected
        """,
        {"a": rewards, "b": selection},
    )
    # selected: 2.0 and 1.0 of the first pair, 0.25 and -0.5 of the second
    assert answer.collect().rows() == [(False, -0.5, 3), (True, 2.75, 4)]
    mixed = query("SELECT COUNT(*) FROM pairs, other_vocabulary", {"pairs": rewards, "other": selection})
    assert mixed.collect().item() == 2 * 3


def test_the_same_in_python(rewards):
    by_sql = query("SELECT token_id, AVG(reward) AS reward FROM tokens GROUP BY token_id", {"pairs": rewards})
    by_python = scan(rewards).pipe(tokens).group_by("token_id").agg(pl.col("reward").mean())
    assert_frame_equal(by_sql.sort("token_id").collect(), by_python.sort("token_id").collect())


@pytest.mark.unstable_api
def test_wrong_columns_name_the_nearest(rewards, selection):
    tables = {"pairs": rewards}
    message, hint = refused("SELECT rewrd FROM tokens", tables)
    assert message.startswith("there is no column rewrd; there are pair_id, occurrence, side, position, token_id")
    assert "\n" not in message
    assert hint == "did you mean reward?"
    assert refused("SELECT tokens.positon FROM tokens", tables)[1] == "did you mean position or token?"
    assert refused("SELECT t.rewrd FROM tokens t", tables) == (
        "there is no column rewrd",
        "did you mean reward or mean_reward or chosen_reward?",
    )
    assert refused("SELECT reward FROM tokens WHERE zzzzzz = 1", tables)[1] == "`--schema` lists the tables and columns"
    assert refused('SELECT reward FROM tokens WHERE side = "chosen"', tables)[1].endswith("single quotes: 'chosen'")
    assert "sepo select" in refused("SELECT selected FROM tokens", tables)[1]
    assert "rewards directory" in refused("SELECT oracle_logp FROM tokens", {"pairs": selection})[1]


@pytest.mark.unstable_api
def test_wrong_tables_and_functions_are_named(rewards):
    tables = {"pairs": rewards}
    message, hint = refused("SELECT reward FROM token", tables)
    assert message == "there is no table token; there are pairs, tokens, vocabulary"
    assert hint == "did you mean tokens?"
    assert refused("SELECT reward FROM '/etc/hosts'", tables)[0].startswith("there is no table /etc/hosts")
    assert refused("SELECT nofunction(reward) FROM tokens", tables)[0] == "there is no function nofunction"
    assert refused("SELECT x.reward FROM tokens", tables)[0].startswith("there is no table x;")
    assert refused("SELECT side FROM tokens GROUP", tables)[0].startswith("the query cannot be answered: line 1, ")
    assert refused("SELECT reward + pair_id FROM tokens", tables)[0].startswith("the query cannot be answered: ")


@pytest.mark.parametrize(
    "sql",
    [
        "DROP TABLE pairs",
        "delete from pairs",
        "  -- a comment\n TRUNCATE TABLE pairs",
        "/* one /* two */ still one */ CREATE TABLE a AS SELECT 1",
        "((DROP TABLE pairs))",
        "FROM pairs",
        "VALUES (1)",
        "EXPLAIN DELETE FROM pairs",
        "EXPLAIN ANALYZE VERBOSE DELETE FROM pairs",
        "EXPLAIN",
        "'SELECT' DROP",
        "; SELECT 1",
    ],
)
def test_only_reading_statements(sql, rewards):
    message, _hint = refused(sql, {"pairs": rewards})
    assert "a query only reads" in message or "only a SELECT can be explained" in message
    assert query("SELECT COUNT(*) FROM pairs", {"pairs": rewards}).collect().item() == 2


def test_nothing_is_no_query(rewards):
    for sql in ("", " \n", "-- SELECT 1", "/* SELECT 1", "(("):
        assert refused(sql, {"pairs": rewards})[0] == "the query is empty"


@pytest.mark.unstable_api
def test_one_statement(rewards):
    assert refused("SELECT 1; DROP TABLE pairs", {"pairs": rewards})[0] == "a query is one statement"
    assert query("SELECT 1 AS one; -- the end", {"pairs": rewards}).collect().item() == 1
    assert query("( SELECT 1 )", {"pairs": rewards}).collect().item() == 1
    for verb in ("DELETE FROM pairs", "INSERT INTO pairs SELECT 2", "DROP TABLE pairs"):
        with pytest.raises(SepoError):
            query(f"WITH t AS (SELECT 1) {verb}", {"pairs": rewards})


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('{file}')",
        "select * from READ_Csv('{file}')",
        "SELECT * FROM \"read_csv\"('{file}')",
        "SELECT * FROM `read_csv`('{file}')",
        "SELECT * FROM read_csv/* here */('{file}')",
        "SELECT * FROM read_csv -- here\n ('{file}')",
        "SELECT '--', a FROM read_csv('{file}')",
        "SELECT '/*', a FROM read_csv('{file}') -- */",
        "WITH t AS (SELECT * FROM read_csv('{file}')) SELECT * FROM t",
        "SELECT (SELECT a FROM read_csv('{file}'))",
        "SELECT margin FROM pairs JOIN read_csv('{file}') AS c ON pairs.source_row = c.a",
        "SELECT 1 AS a UNION ALL SELECT a FROM read_csv('{file}')",
        "EXPLAIN SELECT * FROM read_csv('{file}')",
        "SELECT * FROM scan_csv('{file}')",
    ],
)
def test_no_other_file_is_read(sql, rewards, tmp_path):
    file = tmp_path / "secret.csv"
    file.write_text("a\n5\n")
    message, _hint = refused(sql.format(file=file), {"pairs": rewards})
    assert message.lower().startswith(("read_csv: ", "scan_csv: "))


@pytest.mark.unstable_api
def test_every_file_reader_of_polars_is_known(tmp_path):
    """A table function of the installed Polars that opens a file is one that a query may not call."""
    context, missing = pl.SQLContext(), tmp_path / "nothing"
    formats = ["csv", "ipc", "json", "ndjson", "parquet", "avro", "lines", "text", "arrow", "delta", "iceberg", "excel"]
    readers = set()
    for name in (f"{verb}_{form}" for verb in ("read", "scan") for form in formats):
        try:
            context.execute("SELECT * FROM " + name + f"('{missing}')").collect()  # noqa: S608 - names of our own
        except pl.exceptions.SQLInterfaceError:  # not a supported table function
            continue
        except OSError:  # it opened the file
            readers.add(name)
    assert "read_csv" in readers
    assert readers <= FILE_READERS


def test_a_column_may_be_called_like_a_reader():
    check_read_only("SELECT read_time FROM pairs", {"read_time"})
    with pytest.raises(SepoError, match=r"^read_time: "):
        check_read_only("SELECT read_time FROM pairs")
    with pytest.raises(SepoError, match=r"^read_csv: "):
        check_read_only("SELECT read_csv FROM pairs", {"read_csv"})


def test_names_of_tables(rewards):
    with pytest.raises(SepoError, match="no directory to query"):
        open_tables({})
    for name in ("a-b", "1a", "", "a b"):
        with pytest.raises(SepoError, match="cannot be the name of a table"):
            open_tables({name: rewards})
    with pytest.raises(SepoError, match="two directories would make the table a_tokens"):
        open_tables({"a": rewards, "a_tokens": rewards})
    with pytest.raises(SepoError, match="does not exist"):
        open_tables({"pairs": rewards / "nowhere"})


def test_schema(rewards, selection):
    table = schema_of({"pairs": rewards, "b": selection})
    assert table.columns == ["table", "column", "type", "description"]
    assert table["table"].unique(maintain_order=True).to_list() == [
        "pairs", "tokens", "vocabulary", "b", "b_tokens", "b_vocabulary",
    ]  # fmt: skip
    types = {(row["table"], row["column"]): row["type"] for row in table.to_dicts()}
    assert types["pairs", "chosen_rewards"] == "List(Float32)"
    assert types["tokens", "side"] == "Enum"
    assert types["b_tokens", "selected"] == "Boolean"
    assert ("tokens", "selected") not in types
    assert table["description"].str.len_chars().min() > 10


def test_a_side_column_is_described(tmp_path, rewards_of, write_rewards):
    table = rewards_of(PAIRS)
    write_rewards(tmp_path / "rewards", [table.append_column("topic", [["a", "b"]])])
    schema = schema_of({"pairs": tmp_path / "rewards"}).filter(pl.col("column") == "topic")
    assert schema.rows() == [("pairs", "topic", "String", "a side column of the input")]
