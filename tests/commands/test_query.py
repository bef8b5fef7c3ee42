"""`sepo query`: formats, the sources of a query, the targets of an answer, and the error of each mistake."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

SEPO = Path(sys.executable).with_name("sepo")

COUNT = "SELECT COUNT(*) AS n FROM pairs"
BEST = "SELECT side, token, reward FROM tokens ORDER BY reward DESC LIMIT 2"
MANY = "SELECT a.position * b.position + c.position * d.reward AS n FROM tokens a, tokens b, tokens c, tokens d"
"""17 ** 4 rows, more than a pipe holds."""
JOINED = (
    "SELECT SUM(a.reward) AS reward FROM a_tokens a JOIN b_tokens b "
    "ON a.pair_id = b.pair_id AND a.occurrence = b.occurrence AND a.side = b.side AND a.position = b.position "
    "WHERE b.selected"
)
WORST = """source_row,pair_id,margin,chosen_reward,rejected_reward,oracle_seen
1,0000000000000001,1.25,0.25,-1.0,false
2,0000000000000002,4.0,4.0,0.0,true
0,0000000000000000,4.25,2.25,-2.0,true
"""
AGREEMENT = f"""side,tokens,selected_a,selected_b,jaccard
chosen,10,3,5,{1 / 3}
rejected,7,3,3,0.2
together,17,6,8,{3 / 11}
"""

ANSWERS = {
    "ndjson": (
        [BEST, "--format", "ndjson"],
        '{"side":"rejected","token":" go","reward":4.0}\n{"side":"chosen","token":".","reward":2.0}\n',
    ),
    "a pipe gets ndjson": (
        [BEST],
        '{"side":"rejected","token":" go","reward":4.0}\n{"side":"chosen","token":".","reward":2.0}\n',
    ),
    "json": (
        [BEST, "--format", "json"],
        '[{"side":"rejected","token":" go","reward":4.0},{"side":"chosen","token":".","reward":2.0}]\n',
    ),
    "csv": ([BEST, "--format", "csv"], "side,token,reward\nrejected, go,4.0\nchosen,.,2.0\n"),
    "table": (
        [BEST, "--format", "table"],
        'side      token  reward\n--------  -----  ------\nrejected  " go"       4\nchosen    .           2\n',
    ),
    "no row as json": (["SELECT margin FROM pairs WHERE margin > 9", "--format", "json"], "[]\n"),
    "no row as ndjson": (["SELECT margin FROM pairs WHERE margin > 9"], ""),
    "no row as csv": (["SELECT margin FROM pairs WHERE margin > 9", "--format", "csv"], "margin\n"),
    "infinity is null": (["SELECT margin / 0 AS x FROM pairs LIMIT 1"], '{"x":null}\n'),
    "lists": (["SELECT rejected_rewards FROM pairs LIMIT 1"], '{"rejected_rewards":[1.0,-3.0]}\n'),
    "a file": (["--file", "count.sql"], '{"n":3}\n'),
    "a file with a byte order mark": (["--file", "bom.sql"], '{"n":3}\n'),
    "tables": (["SHOW TABLES", "--format", "csv"], "name\npairs\ntokens\nvocabulary\n"),
    "a named query": (
        ["@worst-pairs", "--format", "csv"],
        WORST,
    ),
    "a further directory": (
        ["SELECT SUM(b_tokens.reward) AS reward FROM b_tokens", "--table", "b=rewards_otherwise"],
        '{"reward":8.75}\n',  # 2.25 - 2 + 0.5 - 2 + 10 + 0
    ),
}
OWN_DIRECTORIES = {
    "named directories alone": (
        ["--table", "a=rewards", "--table", "b=selection", JOINED],
        '{"reward":-4.25}\n',  # 2 + 0.25 + 1 - 3 - 0.5 - 4
    ),
    "a named directory and a file": (["--table", "pairs=selection", "--file", "count.sql"], '{"n":3}\n'),
    "a named query of two": (
        ["--table", "a=selection", "--table", "b=half", "@agreement", "--format", "csv"],
        AGREEMENT,
    ),
}
READS = "a query only reads; it begins with SELECT, WITH, EXPLAIN or SHOW"
LISTED = "`--list` shows queries to start from"
NO_OTHER = "give further directories as --table name=DIR; in a text, write 'read' || '_csv'"
WROTE = "give a directory that `sepo score` or `sepo select` wrote"
COLUMNS = "there are pair_id, occurrence, side, position, token_id, token, reward"
LISTS = ", ".join(
    ["prompt_ids", "chosen_ids", "rejected_ids"]
    + [f"{side}_{model}_logps" for side in ("chosen", "rejected") for model in ("oracle", "ref")]
    + ["chosen_rewards", "rejected_rewards"]
)
MISTAKES = {
    "drop": (["rewards", "DROP TABLE pairs"], f"DROP: {READS}", LISTED),
    "insert": (["rewards", "insert into pairs select 1"], f"INSERT: {READS}", LISTED),
    "two statements": (
        ["rewards", "SELECT 1; DROP TABLE pairs"],
        "a query is one statement",
        "run `sepo query` once for each",
    ),
    "another file": (
        ["rewards", "SELECT * FROM read_csv('/etc/passwd')"],
        "read_csv: a query reads the given directories and no other file",
        NO_OTHER,
    ),
    "a wrong column": (
        ["rewards", "SELECT rewrd FROM tokens"],
        f"there is no column rewrd; {COLUMNS}, oracle_logp, ref_logp",
        "did you mean reward?",
    ),
    "a column of selections": (
        ["rewards", "SELECT selected FROM tokens"],
        f"there is no column selected; {COLUMNS}, oracle_logp, ref_logp",
        "a rewards directory has no selection: `sepo select` makes one",
    ),
    "a column of rewards": (
        ["selection", "SELECT oracle_logp FROM tokens"],
        f"there is no column oracle_logp; {COLUMNS}, selected",
        "a selection keeps no log-probabilities: query the rewards directory it was made from",
    ),
    "a wrong table": (
        ["rewards", "SELECT reward FROM token"],
        "there is no table token; there are pairs, tokens, vocabulary",
        "did you mean tokens?",
    ),
    "a table that needs a name": (
        ["--table", "a=rewards", COUNT],
        "there is no table pairs; there are a, a_tokens, a_vocabulary",
        "`--schema` lists the tables and columns",
    ),
    "nothing": (
        ["rewards", ""],
        "the query is empty",
        "for example: SELECT side, AVG(reward) FROM tokens GROUP BY side",
    ),
    "an unknown name": (
        ["rewards", "@worst-pair"],
        "there is no query named @worst-pair",
        "did you mean worst-pairs or agreement-by-pair?",
    ),
    "an unknown name to list": (
        ["--list", "@tokens-that-win"],
        "there is no query named @tokens-that-win",
        "did you mean tokens-that-gain or tokens-that-lose?",
    ),
    "a named query of two, for one": (
        ["selection", "@agreement"],
        "@agreement reads two selections",
        "give them as --table a=DIR --table b=DIR",
    ),
    "no directory": (["nowhere", "SELECT 1"], "nowhere does not exist", WROTE),
    "no directory by a name": (["--table", "a=nowhere", "SELECT 1"], "nowhere does not exist", WROTE),
    "a file as a directory": (["count.sql", "SELECT 1"], "count.sql is a file, not a directory", WROTE),
    "a folder of somebody": ([".", "SELECT 1"], ". is not a stage directory: it has no sepo.json", WROTE),
    "a name that is none": (
        ["--table", "a-b=rewards", "SELECT 1"],
        "'a-b' cannot be the name of a table",
        "use letters, digits and underscores",
    ),
    "schema of nothing": (
        ["--schema"],
        "there is no directory to query",
        "give a directory, or several as --table name=DIR",
    ),
    "lists in CSV": (
        ["rewards", "SELECT * FROM pairs", "--format", "csv"],
        f"CSV has no lists, and {LISTS} would be lists",
        "use --format ndjson, or select what you need of them, such as array_length(chosen_ids)",
    ),
    "a file that is not there": (
        ["rewards", "--file", "nowhere.sql"],
        "nowhere.sql: No such file or directory",
        "mend that and run the same command again; finished work is kept (SEPO_DEBUG=1 prints the traceback)",
    ),
    "a file that is no text": (["rewards", "--file", "latin.sql"], "latin.sql is not UTF-8", "save the query as UTF-8"),
    "half a character": (["rewards", "SELECT 1 AS \udcff"], "the query is not Unicode text", "write it in UTF-8"),
    "a value that is no number": (
        ["rewards", "SELECT CAST(prompt AS INT) AS n FROM pairs WHERE source_row = 2"],
        'the query failed: CAST of prompt: 1 of 1 values cannot be a whole number, such as "q2"',
        "TRY_CAST gives null for a value that cannot be cast",
    ),
    "an ending that tells nothing": (
        ["rewards", COUNT, "--out", "answer.xls"],
        "answer.xls: no format has the suffix '.xls'",
        "end it in .jsonl, .txt, .table, .ndjson, .json, .csv, .parquet or give --format",
    ),
    "a folder that is not there": (
        ["rewards", COUNT, "--out", "nowhere/answer.csv"],
        "nowhere is no directory",
        "make it first, or choose another --out",
    ),
}
ONE = "Invalid value: give one query: SQL, @NAME, - for standard input, or --file"
EACH_ONCE = "write NAME=DIR, each name once"
USAGE = {
    "nothing": ([], ONE),
    "no query": (["rewards"], ONE),
    "no directory": ([COUNT], ONE),
    "a query and a file": (["rewards", COUNT, "--file", "count.sql"], ONE),
    "a table twice": (
        ["--table", "a=rewards", "--table", "a=selection", COUNT],
        f"Invalid value for --table: 'a=selection': {EACH_ONCE}",
    ),
    "pairs twice": (
        ["--table", "pairs=rewards", "rewards", COUNT],
        f"Invalid value for --table: 'pairs=rewards': {EACH_ONCE}",
    ),
    "a table without a directory": (
        ["--table", "a", COUNT],
        f"Invalid value for --table: 'a': {EACH_ONCE}",
    ),
    "a format that is none": (
        ["rewards", COUNT, "--format", "xls"],
        "Invalid value for '--format': Value error, 'xls' is not one of 'table', 'ndjson', 'json', 'csv', 'parquet'.",
    ),
}


@pytest.fixture(scope="module")
def folder(selected):
    """Rewards and selections beside files with queries."""
    folder = selected.parent
    (folder / "count.sql").write_text(f"-- how many\n{COUNT};\n", encoding="utf-8")
    (folder / "bom.sql").write_text(COUNT, encoding="utf-8-sig")
    (folder / "latin.sql").write_bytes(b'SELECT 1 AS "\xe4"')
    return folder


@pytest.fixture(scope="module")
def results(folder, run_commands):
    commands = {("answer", name): ["rewards", *arguments] for name, (arguments, _) in ANSWERS.items()}
    commands |= {("answer", name): arguments for name, (arguments, _) in OWN_DIRECTORIES.items()}
    commands |= {("mistake", name): arguments for name, (arguments, *_) in MISTAKES.items()}
    commands |= {("usage", name): arguments for name, (arguments, _) in USAGE.items()}
    before = contents(folder)
    results = run_commands({" ".join(name): ["query", *arguments] for name, arguments in commands.items()}, folder)
    assert contents(folder) == before
    return results


def contents(folder):
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("name", ANSWERS | OWN_DIRECTORIES)
def test_answer(results, name):
    assert results[f"answer {name}"] == (0, (ANSWERS | OWN_DIRECTORIES)[name][1], "")


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(results, name):
    _, message, hint = MISTAKES[name]
    assert results[f"mistake {name}"] == (1, "", f"Error: {message}\n" + (f"Hint: {hint}\n" if hint else ""))


@pytest.mark.parametrize("name", USAGE)
def test_usage(results, name):
    code, out, err = results[f"usage {name}"]
    assert (code, out, err.splitlines()[-1]) == (2, "", f"Error: {USAGE[name][1]}")


def test_out_writes_a_file_whose_name_decides_the_format(folder, run_commands, tmp_path):
    names = ["a.csv", "a.jsonl", "a.ndjson", "a.json", "a.txt", "a.parquet"]
    commands = {name: ["query", "rewards", BEST, "--out", tmp_path / name] for name in names}
    commands["a.xls"] = ["query", "rewards", BEST, "--format", "csv", "--out", tmp_path / "a.xls"]
    results = run_commands(commands, folder)
    assert results == {name: (0, f"{tmp_path / name}\n", "") for name in commands}
    written = {name: (tmp_path / name).read_bytes() for name in commands}
    expected = {name: ANSWERS[name][1].encode() for name in ("csv", "ndjson", "json", "table")}
    assert written["a.csv"] == written["a.xls"] == expected["csv"]
    assert written["a.jsonl"] == written["a.ndjson"] == expected["ndjson"]
    assert (written["a.json"], written["a.txt"]) == (expected["json"], expected["table"])
    assert pl.read_parquet(tmp_path / "a.parquet").rows() == [("rejected", " go", 4.0), ("chosen", ".", 2.0)]


def test_out_is_replaced_only_with_overwrite_and_only_by_an_answer(folder, run_commands, tmp_path):
    out, fails = tmp_path / "answer.csv", "SELECT CAST(prompt AS INT) AS n FROM pairs"
    out.write_text("years of work", encoding="utf-8")
    command = ["query", "rewards", COUNT, "--out", out]
    refused = run_commands({"": command}, folder)[""]
    hint = "choose another --out, or replace it with --overwrite"
    assert refused == (3, "", f"Error: {out} exists\nHint: {hint}\n")
    assert run_commands({"": ["query", "rewards", fails, "--out", out, "--overwrite"]}, folder)[""][:2] == (1, "")
    assert out.read_text(encoding="utf-8") == "years of work"
    assert run_commands({"": [*command, "--overwrite"]}, folder)[""] == (0, f"{out}\n", "")
    assert out.read_text(encoding="utf-8") == "n\n3\n"
    assert [path.name for path in tmp_path.iterdir()] == ["answer.csv"]


def test_out_replaces_no_dataset_no_folder_and_no_device(folder, run_commands, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    before = contents(folder)
    outs = {
        "manifest": "rewards/sepo.json",
        "beside": "rewards/answer.json",
        "below": "rewards/tokenizer/tokenizer.json",
        "folder": tmp_path,
        "pipe": tmp_path / "pipe",
    }
    tail = ["--format", "json", "--overwrite"]
    results = run_commands(
        {name: ["query", "rewards", COUNT, "--out", out, *tail] for name, out in outs.items()}, folder
    )
    assert {code for code, *_ in results.values()} == {3}
    hint = "Hint: choose another --out\n"
    inside = f"is inside {folder / 'rewards'}, a stage directory"
    assert results["manifest"][2] == f"Error: rewards/sepo.json {inside}\n{hint}"
    assert results["below"][2] == f"Error: rewards/tokenizer/tokenizer.json {inside}\n{hint}"
    assert results["folder"][2] == f"Error: {tmp_path} is not a file\n{hint}"
    assert results["pipe"][2] == f"Error: {tmp_path / 'pipe'} is not a file\n{hint}"
    assert (tmp_path / "pipe").is_fifo()
    assert contents(folder) == before


def test_schema_prints_the_tables(folder, run_commands):
    results = run_commands(
        {
            "one": ["query", "rewards", "--schema"],
            "two": ["query", "--table", "a=rewards", "--table", "b=selection", "--schema", "--format", "csv"],
        },
        folder,
    )
    rows = [json.loads(line) for line in results["one"][1].splitlines()]
    assert {
        "table": "tokens",
        "column": "reward",
        "type": "Float32",
        "description": "reward of the token: beta * (log p_oracle - log p_ref), in nats times beta",
    } in rows
    assert list(dict.fromkeys(row["table"] for row in rows)) == ["pairs", "tokens", "vocabulary"]
    lines = pl.read_csv(io.StringIO(results["two"][1]))
    both = ["a", "a_tokens", "a_vocabulary", "b", "b_tokens", "b_vocabulary"]
    assert lines["table"].unique(maintain_order=True).to_list() == both
    assert lines.filter(column="selected")["table"].to_list() == ["b_tokens"]
    assert lines.filter(column="chosen_selected")["table"].to_list() == ["b", "b_vocabulary"]


def test_list_shows_every_query_and_the_sql_of_one_which_runs(folder, run_commands, tmp_path):
    listings = {"all": ["query", "--list"], "one": ["query", "--list", "@worst-pairs"]}
    listings["with a directory"] = ["query", "rewards", "--list", "@worst-pairs"]
    results = run_commands(listings, folder)
    lines = results["all"][1].splitlines()
    assert lines[0] == "@reward-by-position  (rewards or selection)"
    assert lines[1] == "    How does the mean reward change along the responses? In steps of five tokens."
    assert "@agreement  (two selections, --table a=DIR --table b=DIR)" in lines
    assert results["one"] == results["with a directory"]
    (tmp_path / "own.sql").write_text(results["one"][1], encoding="utf-8")
    again = run_commands({"": ["query", "rewards", "--file", tmp_path / "own.sql", "--format", "csv"]}, folder)[""]
    assert again == (0, ANSWERS["a named query"][1], "")


def run(environment, folder, *arguments, stdin=b""):
    return subprocess.run(
        [SEPO, "query", *arguments], cwd=folder, env=environment, input=stdin, capture_output=True, check=False
    )


def test_the_query_may_come_from_standard_input(environment, folder):
    done = run(environment, folder, "rewards", "-", stdin=f"\ufeff{COUNT}".encode())
    assert (done.returncode, done.stdout, done.stderr) == (0, b'{"n":3}\n', b"")
    nothing = run(environment, folder, "rewards", "-")
    assert (nothing.returncode, nothing.stdout) == (1, b"")
    assert nothing.stderr.startswith(b"Error: the query is empty\n")
    latin = run(environment, folder, "rewards", "-", stdin=b'SELECT 1 AS "\xe4"')
    assert latin.returncode == 1
    assert latin.stderr == b"Error: standard input is not UTF-8\nHint: save the query as UTF-8\n"


def test_a_panic_prints_no_stack(environment, folder):
    """Code in Rust reports a panic on standard error by itself."""
    done = run(environment, folder, "rewards", "SELECT COLUMNS('(') FROM tokens")
    assert b"a regular expression is wrong: unclosed group" in done.stderr
    assert not {b"panicked", b"stack"} & set(done.stderr.split())


def test_parquet_goes_into_a_pipe(environment, folder):
    done = run(environment, folder, "rewards", BEST, "--format", "parquet")
    assert (done.returncode, done.stderr) == (0, b"")
    assert pl.read_parquet(io.BytesIO(done.stdout)).rows() == [("rejected", " go", 4.0), ("chosen", ".", 2.0)]


def test_a_table_ends_after_forty_rows_with_a_note(environment, folder):
    done = run(environment, folder, "rewards", "SELECT a.reward FROM tokens a, tokens b", "--format", "table")
    assert done.stdout.count(b"\n") == 2 + 40
    assert done.stderr == b"the first 40 rows; --format ndjson or --out FILE gives all\n"


def test_a_terminal_gets_a_table_that_fits_and_no_parquet(on_terminal, folder):
    def sent(columns, *arguments):
        code, text, talk = on_terminal(
            "stdout", "query", "rewards", *arguments, cwd=folder, TERM="xterm", COLUMNS=columns
        )
        return code, text.replace("\r\n", "\n"), talk

    assert sent("80", BEST) == (0, ANSWERS["table"][1], "")
    assert sent("20", f"{BEST[:-1]}1") == (0, '-- row 0 --\nside    rejected\ntoken   " go"\nreward  4\n', "")
    assert sent("80", BEST, "--format", "ndjson") == (0, ANSWERS["ndjson"][1], "")
    assert sent("80", BEST, "--format", "parquet") == (
        1,
        "",
        "Error: Parquet is not for a terminal\nHint: add --out FILE, or pipe it on\n",
    )


@pytest.mark.parametrize("form", ["ndjson", "json", "csv", "parquet"])
def test_closed_pipe_is_no_error(environment, folder, form):
    with subprocess.Popen(
        [SEPO, "query", "rewards", MANY, "--format", form],
        cwd=folder,
        env=environment | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.close()
        talk = process.stderr.read()
    assert (process.returncode, talk) == (1, b"")


def test_head_gets_its_line(environment, folder):
    done = subprocess.run(
        ["bash", "-c", f"'{SEPO}' query rewards '{MANY}' | head -1"],
        cwd=folder,
        env=environment,
        capture_output=True,
        check=True,
    )
    assert (done.stdout, done.stderr) == (b'{"n":0.0}\n', b"")


IMPORTS = """
import sys
from sepo_train.entry import load_cli
for command in (["query", "rewards", "@tokens-that-gain"], ["query", "rewards", "--schema"], ["diff", "half", "half"]):
    sys.argv = ["sepo", *command]
    try:
        load_cli().main()
    except SystemExit as exit:
        assert not exit.code
print("imported:", *sorted(set(sys.modules) & {"torch", "transformers", "datasets", "polars"}))
"""


def test_torch_is_never_imported(environment, folder):
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], cwd=folder, env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "imported: polars"
