"""SQLite and DuckDB databases: the answer to a query, forbidden statements, and files that are no database."""

import sqlite3
from contextlib import closing

import pytest

from sepo_data.errors import SepoError
from sepo_data.readers.rows import Row
from sepo_data.readers.source import open_source


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SEPO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=["sqlite", "duckdb"])
def database(request, tmp_path):
    """A database with the tables `pairs`, of 3 rows, and `votes`, of 2500."""
    script = """
    CREATE TABLE pairs (id INTEGER, prompt VARCHAR, chosen VARCHAR, rejected VARCHAR);
    INSERT INTO pairs VALUES (2, 'q2', 'yes ä', 'no'), (1, 'q1', 'yes', NULL), (3, 'q3', 'a ''quote''', '');
    CREATE TABLE votes (id INTEGER, score DOUBLE);
    INSERT INTO votes
        WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 2499) SELECT i, i / 2.0 FROM n;
    """
    path = tmp_path / f"x.{request.param}"
    if request.param == "sqlite":
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(script)
    else:
        duckdb = pytest.importorskip("duckdb")
        with duckdb.connect(str(path)) as connection:
            connection.execute(script)
    return path


def test_a_query(database):
    source = open_source(str(database), query="SELECT id, prompt, chosen, rejected FROM pairs ORDER BY id")
    assert source.columns == ("id", "prompt", "chosen", "rejected")
    assert [row.value for row in source] == [
        {"id": 1, "prompt": "q1", "chosen": "yes", "rejected": None},
        {"id": 2, "prompt": "q2", "chosen": "yes ä", "rejected": "no"},
        {"id": 3, "prompt": "q3", "chosen": "a 'quote'", "rejected": ""},
    ]
    counted = open_source(str(database), query="WITH n AS (SELECT count(*) AS rows FROM votes) SELECT * FROM n -- all")
    assert [row.value for row in counted] == [{"rows": 2500}]


def test_the_answer_decides_the_fingerprint(database):
    def fingerprint(query):
        return open_source(str(database), query=query).fingerprint

    first = fingerprint("SELECT prompt FROM pairs ORDER BY id")
    assert fingerprint("SELECT prompt FROM pairs ORDER BY id") == first
    assert fingerprint("SELECT prompt FROM pairs WHERE TRUE ORDER BY id ASC") == first
    assert fingerprint("SELECT prompt FROM pairs ORDER BY id DESC") != first


def test_a_changed_database_is_asked_again(tmp_path):
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
        assert open_source(str(tmp_path / "x.db")).rows == 1
        connection.execute("INSERT INTO t VALUES (2)")
        connection.commit()
        assert (tmp_path / "x.db-wal").stat().st_size, "the row is in the log alone"
        assert open_source(str(tmp_path / "x.db")).rows == 2


def test_a_limit(database):
    source = open_source(str(database), query="SELECT * FROM votes ORDER BY id", limit=1700)
    assert source.rows == 1700
    assert [row.value for row in source.slice(1698, 1800)] == [
        {"id": 1698, "score": 849.0},
        {"id": 1699, "score": 849.5},
    ]


def test_without_a_query_there_has_to_be_one_table(database):
    with pytest.raises(SepoError, match="holds the tables pairs, votes") as caught:
        open_source(str(database))
    assert "--query" in caught.value.hint


@pytest.mark.parametrize(
    "query",
    [
        "DROP TABLE pairs",
        "DELETE FROM pairs",
        "INSERT INTO pairs SELECT * FROM pairs RETURNING id",
        "CREATE TABLE t AS SELECT 1",
        "ATTACH 'other.db' AS other",
        "PRAGMA table_info(pairs)",
        "SELECT 1; DROP TABLE pairs",
        "SELECT load_extension('x')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_csv('/etc/passwd')",
        "COPY pairs TO 'out.csv'",
        "SELECT nothing FROM pairs",
        "SELEC 1",
        " ",
        ";",
    ],
)
def test_what_a_query_must_not_do(database, query, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = database.read_bytes()
    with pytest.raises(SepoError):
        open_source(str(database), query=query)
    assert database.read_bytes() == before
    assert {entry.name for entry in tmp_path.iterdir()} <= {"cache", database.name}
    assert not list((tmp_path / "cache" / "rows").glob("*")), "no answer is left"


def test_two_columns_of_one_name(database):
    with pytest.raises(SepoError, match="more than one column called a"):
        open_source(str(database), query="SELECT 1 AS a, 2 AS a")


def test_values_of_sqlite(tmp_path):
    with closing(sqlite3.connect(tmp_path / "x.db")) as connection:
        connection.execute('CREATE TABLE "a ""table""" (a)')
        values = [1, 1.5, None, "ä\n\0\u2028", "ä".encode(), b"\xff\xfe", 2**62, float("inf")]
        connection.executemany('INSERT INTO "a ""table""" VALUES (?)', [(value,) for value in values])
        connection.execute('INSERT INTO "a ""table""" VALUES (CAST(? AS TEXT))', (b"\xff",))
        connection.commit()
    rows = list(open_source(str(tmp_path / "x.db")))
    assert rows[5] == Row(5, None, "invalid_utf8", "row 6 of the answer of x.db: column a")
    assert rows[8].problem == "invalid_utf8"
    values[4], values[5:6] = "ä", []
    assert [row.value["a"] for row in rows if row.value] == values


def test_nested_values_of_duckdb(tmp_path):
    duckdb = pytest.importorskip("duckdb")
    with duckdb.connect(str(tmp_path / "x.duckdb")) as connection:
        turns, vote = "[{'role': 'user', 'content': 'q'}]", "'a'::ENUM('a', 'b')"
        connection.execute(f"CREATE TABLE t AS SELECT {turns} AS prompt, {vote} AS e")
    [row] = open_source(str(tmp_path / "x.duckdb"))
    assert row.value == {"prompt": [{"role": "user", "content": "q"}], "e": "a"}


def test_duckdb_that_is_not_installed(tmp_path, monkeypatch):
    duckdb = pytest.importorskip("duckdb")
    duckdb.connect(str(tmp_path / "x.db")).close()
    monkeypatch.setitem(__import__("sys").modules, "duckdb", None)
    with pytest.raises(SepoError, match="needs the duckdb package") as caught:
        open_source(str(tmp_path / "x.db"))
    assert caught.value.hint == "pip install 'sepo[duckdb]'"
