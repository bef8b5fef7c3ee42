"""The `sepo` command: the list of its commands, and the exit code of each way to end.

A command is a file in `sepo_data/commands` or `sepo_train/commands`: `run` parses, calls one library function and
prints its answer. Standard output carries the answer, standard error everything else. Heavy packages are imported by
the command that needs them.
"""

from __future__ import annotations

import logging
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from sepo_data.commands import config, diff, help, info, plot, query, report, select, show  # noqa: A004
from sepo_data.commands.command_group import command_group
from sepo_data.commands.config_file import use_config
from sepo_data.commands.grouped_help import RUN
from sepo_data.commands.options import option
from sepo_data.console.descriptors import flush_output, open_closed_streams, outlive_stderr
from sepo_data.console.interrupts import leave_on_signals, raise_on_signals, stopped_by
from sepo_data.console.output import print_lines, print_notes, print_traceback
from sepo_data.console.streams import guard_streams
from sepo_data.errors import SepoError
from sepo_train.commands import check, env, evaluate, oracle, score, train

if TYPE_CHECKING:
    from collections.abc import Sequence

MENDABLE = "mend that and run the same command again; finished work is kept (SEPO_DEBUG=1 prints the traceback)"
BUG = (
    "This is a bug in sepo. A report of it needs the lines above, from Traceback to the last one, the command, and",
    "what `sepo env` prints.",
)

HELP = """Selective Preference Optimization: align a language model on only the tokens that matter.

\b
Four steps, each reads a dataset and writes one:
  sepo oracle DATASET --ref MODEL --out oracle/
  sepo score DATASET --oracle oracle/ --ref MODEL --out rewards/
  sepo select rewards/ --chosen 30% --rejected 30% --out selection/
  sepo train selection/ --policy MODEL --out policy/

`sepo help COMMAND` explains one. Every option can also be set in the environment (SEPO_SCORE_BETA=0.2) or in a file
(sepo COMMAND --config FILE), in this order: command line, environment, file, default. `sepo config` prints the values.

Exit codes: 0 done, 1 something you can fix, 2 usage, 3 refused (the output holds something else), 4 Hub or
authentication, 70 a bug in sepo, 130 interrupted (finished shards are kept, the same command resumes), 143 terminated
(the same, and training saves a checkpoint first).
"""

app = typer.Typer(
    cls=command_group(
        check, oracle, score, select, train, evaluate, show, plot, report, info, query, diff, config, env, help
    ),
    help=HELP,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"auto_envvar_prefix": "SEPO", "help_option_names": ["-h", "--help"]},
)


def print_versions(wanted: bool) -> None:
    """Print the versions of sepo and its dependencies, and end."""
    if wanted:
        from sepo_data.stages.versions import installed_versions

        print_lines(f"{name} {number}" for name, number in installed_versions().items())
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    config: Annotated[
        Path | None, option(RUN, metavar="FILE", help="a TOML file with a table of options for each command")
    ] = None,
    _version: Annotated[
        bool,
        option(
            RUN,
            "--version",
            help="print the versions of sepo and its dependencies",
            callback=print_versions,
            is_eager=True,
        ),
    ] = False,
) -> None:
    use_config(context, config)


def main() -> NoReturn:
    """Run the command; every failure ends here, with the exit code that `sepo --help` documents."""
    silence_libraries()
    open_closed_streams()
    outlive_stderr()
    guard_streams()
    raise_on_signals()
    try:
        run()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt:
        code = 130
    leave_on_signals()
    if number := stopped_by():
        code = 128 + number
    try:
        heard = flush_output()
    except OSError as error:
        fail([f"standard output: {error.strerror}"], MENDABLE)
    sys.exit(code or int(not heard))


def run() -> None:
    """Run the command, and report what it raises."""
    try:
        app()
    except Exception as error:  # noqa: BLE001 - the last resort
        if stopped_by():  # a library made another error of the interrupt
            return
        report_error(error)


def report_error(error: Exception) -> NoReturn:
    """Print what a command raised, and end with the exit code for it."""
    if isinstance(error, SepoError):
        fail(error.lines, error.hint, error.exit_code)
    from sepo_data.storage.atomic import disk_full
    from sepo_data.storage.location import is_store_error

    if is_store_error(error):
        fail([f"the store failed: {error}"], MENDABLE)
    if isinstance(error, OSError):
        # With a number it is the system's answer to what the user asked for: a full disk, a path that does not exist.
        if error.errno is None and not isinstance(error, shutil.Error):
            report_bug()
        where = error.filename2 or error.filename
        what = error.strerror or (error.args[0][0][-1] if isinstance(error, shutil.Error) else error)
        fail([f"{where}: {what}" if where else str(what)], MENDABLE)
    if not disk_full(error):  # safetensors and torch report it by errors of their own
        report_bug()
    fail([str(error)], MENDABLE)


def silence_libraries() -> None:
    """Keep the bars, advice and warnings of libraries off the user's terminal; they read this when imported."""
    for switch in ("HF_HUB_DISABLE_PROGRESS_BARS", "HF_DATASETS_DISABLE_PROGRESS_BARS", "TQDM_DISABLE"):
        os.environ.setdefault(switch, "1")  # with SEPO_DEBUG, too: standard error escapes what bars are drawn with
    if os.environ.get("SEPO_DEBUG"):
        return
    logging.captureWarnings(capture=True)
    logging.disable(logging.ERROR)


def fail(message: Sequence[str], hint: str, code: int = 1) -> NoReturn:
    """Print the lines of an error and its hint, and end with `code`."""
    if os.environ.get("SEPO_DEBUG"):
        print_traceback()
    print_notes(["Error: " + message[0], *message[1:], *([f"Hint: {hint}"] if hint else [])])
    sys.exit(code)


def report_bug() -> NoReturn:
    """Print the traceback of a bug and what a report of it needs, and end with code 70."""
    print_traceback()
    print_notes(BUG)
    sys.exit(70)


if __name__ == "__main__":
    main()
