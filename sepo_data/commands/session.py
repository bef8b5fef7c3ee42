"""Session of a command: progress, interrupts, the question before --overwrite, and the answer."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from signal import SIGINT
from typing import TYPE_CHECKING

import typer

from sepo_data.console.interrupts import stopped_by
from sepo_data.console.output import print_json, print_values
from sepo_data.console.text import spelt_out
from sepo_data.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from sepo_data.console.terminal import Terminal
    from sepo_data.schemas.manifest import Manifest

SHARDS_RESUME = "finished shards are kept, the same command resumes"


@contextmanager
def session(
    *, quiet: bool, no_progress: bool, after_interrupt: str | Callable[[], str] = SHARDS_RESUME
) -> Iterator[Terminal]:
    """Show progress on standard error; when a signal stops the command, print what to do next.

    Typer turns KeyboardInterrupt into exit code 130 before `main` sees it.
    """
    from sepo_data.console.terminal import Terminal

    with Terminal(quiet=quiet, bars=not no_progress) as terminal:
        try:
            yield terminal
        except BaseException:
            if number := stopped_by():  # also where a library made another error of the interrupt
                advice = after_interrupt if isinstance(after_interrupt, str) else after_interrupt()
                terminal.note(f"{'interrupted' if number == SIGINT else 'terminated'}; {advice}")
            raise


def confirm_overwrite(out: Path, *, overwrite: bool, yes: bool) -> None:
    """Ask before `out` is deleted.

    Raises:
        RefusedError: standard input is not a terminal, and `yes` was not given.
    """
    if not overwrite or yes or not out.exists():
        return
    if not sys.stdin.isatty():
        raise RefusedError(f"--overwrite would delete {out}", "add --yes to do so without being asked")
    typer.confirm(f"Delete {spelt_out(str(out))} and start again?", abort=True, err=True)


def note_skipped(terminal: Terminal, used: str, reasons: dict[str, int], out: Path) -> None:
    """Note the number of rows that were used and skipped."""
    from sepo_data.preferences.skipped import reasons_text

    where = f"; {out}/skipped.jsonl lists each row and its reason" if reasons else ""
    terminal.note(f"{used}, {reasons_text(reasons)}{where}")


def print_answer(out: Path, manifest: Manifest, *, as_json: bool, dry_run: bool = False) -> None:
    """Print the answer of a command that wrote the directory `out`."""
    print_answers([(out, manifest)], as_json=as_json, dry_run=dry_run)


def print_answers(made: list[tuple[Path, Manifest]], *, as_json: bool, dry_run: bool) -> None:
    """Print the answer of a command that wrote one directory, or a list of them."""
    if not as_json and not dry_run:
        print_values(out for out, _ in made)
        return
    from sepo_data.analysis.info import planned, summary

    answers = [planned(out, manifest) if dry_run else summary(out, manifest) for out, manifest in made]
    print_json(answers[0] if len(answers) == 1 else {"selections": answers}, indent=None if as_json else 2)
