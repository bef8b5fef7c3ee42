"""`sepo query`: rewards and selections in SQL."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from sepo_data.analysis.table_format import TableFormat, chosen_format
from sepo_data.commands.grouped_help import INPUT, OUTPUT
from sepo_data.commands.options import NoVerify, argument, option, parse_stage_folder
from sepo_data.console.interrupts import end_on_signals
from sepo_data.console.output import on_terminal, print_lines, print_notes, print_values, table_output
from sepo_data.errors import SepoError

EXAMPLES = (
    'sepo query rewards/ "SELECT side, AVG(reward) AS reward FROM tokens GROUP BY side"',
    "sepo query rewards/ @tokens-that-gain",
    "sepo query --table a=top30/ --table b=top50/ @agreement --out agreement.csv",
)


def complete_query(incomplete: str) -> list[tuple[str, str]]:
    """List the named queries that begin with `incomplete`, each with the question it answers."""
    from sepo_data.analysis.named_queries import named_queries

    named = ((f"@{query.name}", query.question) for query in named_queries().values())
    return [(name, question) for name, question in named if name.startswith(incomplete)]


def run(
    directory: Annotated[
        str | None,
        argument("DIR", autocompletion=complete_query, help="a directory that `sepo score` or `sepo select` wrote"),
    ] = None,
    sql: Annotated[
        str | None,
        argument(
            "SQL", autocompletion=complete_query, help="a query, @NAME of a shipped query, or - for standard input"
        ),
    ] = None,
    table: Annotated[
        list[str] | None, option(INPUT, metavar="NAME=DIR", help="a further directory by a name; may be repeated")
    ] = None,
    file: Annotated[Path | None, option(INPUT, metavar="FILE", help="read the query from this file")] = None,
    format: Annotated[  # noqa: A002 - the option's name
        TableFormat | None, option(OUTPUT, help="by the name of --out; else a table on a terminal, ndjson in a pipe")
    ] = None,
    out: Annotated[
        Path | None, option(OUTPUT, "--out", metavar="FILE", help="file to write, instead of standard output")
    ] = None,
    schema: Annotated[bool, option(OUTPUT, "--schema", help="print the tables and their columns")] = False,
    listing: Annotated[bool, option(OUTPUT, "--list", help="print the shipped queries; with @NAME, its SQL")] = False,
    csv_safe: Annotated[
        bool, option(OUTPUT, "--csv-safe", help="CSV for spreadsheets: an apostrophe before what begins as a formula")
    ] = False,
    overwrite: Annotated[bool, option(OUTPUT, "--overwrite", help="replace the file in --out")] = False,
    no_verify: NoVerify = False,
) -> None:
    """Query rewards and selections in SQL.

    `pairs` has a row a pair, `tokens` a row a token, `vocabulary` a row a token id; a directory that --table calls `a`
    has `a`, `a_tokens` and `a_vocabulary`. Only reading is possible.
    """
    if listing:
        from sepo_data.analysis.named_queries import listing as list_queries

        named = next((text for text in (directory, sql) if text and text.startswith("@")), None)
        print_lines(list_queries(named))
        return
    if table and sql is None and file is None and not schema:
        directory, sql = None, directory  # every directory has a name
    if not schema and (sql is None) == (file is None):
        raise typer.BadParameter("give one query: SQL, @NAME, - for standard input, or --file")
    text = _query_text(sql, file)
    end_on_signals()

    from sepo_data.analysis.query import query, schema_of
    from sepo_data.analysis.table_output import write, write_file
    from sepo_data.console.panics import without_panics

    tables = _tables(directory, table or [])
    verify = not no_verify
    with without_panics():
        answer = schema_of(tables, verify=verify).lazy() if schema else query(text, tables, verify=verify)
    terminal = on_terminal()
    chosen = chosen_format(format, out, terminal=terminal)
    if csv_safe and chosen != "csv":
        raise typer.BadParameter("only CSV has formulas: add --format csv", param_hint="--csv-safe")
    if out is None and chosen == "parquet" and terminal:
        raise SepoError("Parquet is not for a terminal", "add --out FILE, or pipe it on")
    width = shutil.get_terminal_size().columns if terminal else None
    with without_panics():
        if out is not None:
            note = write_file(answer, out, chosen, overwrite=overwrite, csv_safe=csv_safe)
            print_values([out])
        else:
            note = write(answer, table_output(chosen), chosen, width=width, csv_safe=csv_safe)
    if note:
        print_notes([note])


def _query_text(sql: str | None, file: Path | None) -> str:
    if file is None and sql != "-":
        return sql or ""
    try:
        return (file.read_bytes() if file else sys.stdin.buffer.read()).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise SepoError(f"{file or 'standard input'} is not UTF-8", "save the query as UTF-8") from None


def _tables(directory: str | None, named: list[str]) -> dict[str, str]:
    tables = {} if directory is None else {"pairs": str(parse_stage_folder(directory))}
    for entry in named:
        name, _, folder = entry.partition("=")
        if not folder or name in tables:
            raise typer.BadParameter(f"{entry!r}: write NAME=DIR, each name once", param_hint="--table")
        tables[name] = str(parse_stage_folder(folder))
    return tables
