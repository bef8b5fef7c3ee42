"""`sepo select`: mark the tokens that matter."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from sepo_data.commands.filter_options import complete_rule, rule_rows, takes_filters
from sepo_data.commands.grouped_help import INPUT, OUTPUT, SELECTION
from sepo_data.commands.options import (
    AsJson,
    DryRun,
    NoProgress,
    NoVerify,
    Overwrite,
    Quiet,
    StageOut,
    Yes,
    argument,
    option,
    parse_quota,
    parse_row_limit,
    parse_stage_folder,
)
from sepo_data.commands.session import confirm_overwrite, note_skipped, print_answers, session
from sepo_data.errors import RefusedError

if TYPE_CHECKING:
    from sepo_data.console.terminal import Terminal
    from sepo_data.schemas.manifest import Manifest
    from sepo_data.selection.filter import Filter

EXAMPLES = (
    "sepo select rewards/ --chosen 30% --rejected 30% --out selection/",
    "sepo select rewards/ --rule 'mass(80%)' --skip-tokens punctuation,whitespace --protect-tokens eos --out mass/",
    "sepo select rewards/ --grid 'chosen=10%,30%,50% rejected=10%,30%' --out selections/",
)

SECTIONS = {"Rules": rule_rows}


@takes_filters
def run(
    rewards: Annotated[
        Path, argument("REWARDS", parser=parse_stage_folder, help="a directory that `sepo score` wrote")
    ],
    out: StageOut,
    filters: tuple[Filter, ...],
    rule: Annotated[
        str,
        option(
            SELECTION,
            autocompletion=complete_rule,
            metavar="RULE",
            help="one of the rules below, with arguments: mass(80%)",
        ),
    ] = "top",
    chosen: Annotated[
        str,
        option(
            SELECTION,
            parser=parse_quota,
            metavar="QUOTA",
            help="share (30%) or number (16t) of tokens to select from each chosen response",
        ),
    ] = "",
    rejected: Annotated[
        str,
        option(
            SELECTION,
            parser=parse_quota,
            metavar="QUOTA",
            help="share or number of tokens to select from each rejected response",
        ),
    ] = "",
    grid: Annotated[
        list[str] | None,
        option(SELECTION, metavar="NAME=A,B", help="values of the rule's arguments; a dataset for each combination"),
    ] = None,
    token_weights: Annotated[
        str, option(OUTPUT, metavar="NAME", help="soft weights beside the mask: softmax, tis, linear")
    ] = "",
    max_skipped: Annotated[
        str,
        option(
            INPUT,
            parser=parse_row_limit,
            metavar="SHARE|N",
            help="exit 1 when more rows are skipped, as those with wrong spans are: 1%, or 20",
        ),
    ] = "1%",
    overwrite: Overwrite = False,
    yes: Yes = False,
    dry_run: DryRun = False,
    no_verify: NoVerify = False,
    json: AsJson = False,
    quiet: Quiet = False,
    no_progress: NoProgress = False,
) -> None:
    """Mark the tokens that matter: by default the highest rewards of chosen, the lowest of rejected.

    Response by response: max(1, floor(share x n)) of its n tokens, the earlier of two equal rewards first.
    """
    with session(quiet=quiet, no_progress=no_progress) as terminal:
        from sepo_data.schemas.folder import MANIFEST
        from sepo_data.selection.parse import grid_rules, parse_rule, parse_weights
        from sepo_data.selection.select import select_many
        from sepo_data.selection.selection import Selection

        sides = {side: quota for side, quota in (("chosen", chosen), ("rejected", rejected)) if quota}
        if grid and sides:
            raise typer.BadParameter("write the quotas in --grid: 'chosen=10%,30% rejected=30%'")
        if grid and (out / MANIFEST).exists():
            raise RefusedError(f"{out} is a dataset, --grid makes a directory of several", "choose another --out")
        rules = {out / name: made for name, made in grid_rules(rule, grid).items()} if grid else None
        soft = parse_weights(token_weights) if token_weights else None
        selections = {
            path: Selection(made, filters, soft) for path, made in (rules or {out: parse_rule(rule, sides)}).items()
        }
        for path in selections:
            confirm_overwrite(path, overwrite=overwrite and not dry_run, yes=yes)
        manifests = select_many(
            rewards, selections, overwrite=overwrite, dry_run=dry_run, verify=not no_verify, progress=terminal
        )
        made = list(zip(selections, manifests, strict=True))
        if dry_run:
            print_answers(made, as_json=json, dry_run=True)
        for path, manifest in made:
            _check_skipped(terminal, path, manifest, max_skipped)
        if not dry_run:
            terminal.note(f"next: sepo train {quote(str(next(iter(selections))))} --policy MODEL --out policy/")
    if not dry_run:
        print_answers(made, as_json=json, dry_run=False)


def _check_skipped(terminal: Terminal, out: Path, manifest: Manifest, max_skipped: str) -> None:
    """Note the skipped rows, if any; raise when they are, or in a dry run would be, more than `max_skipped` allows."""
    from sepo_data.preferences.skipped import check_skipped, reasons_text

    expected: dict[str, int] = manifest.results.get("skipped", {})  # type: ignore[assignment] # of a dry run
    reasons = expected or manifest.total("skipped")
    if expected:
        terminal.note(f"dry run: {reasons_text(reasons)}")
    elif reasons:
        note_skipped(terminal, f"{manifest.rows:,} pairs selected from", reasons, out)
    where = (
        "the run would end with exit code 1, too"
        if expected
        else f"{out} is complete, and {out}/skipped.jsonl lists the reasons"
    )
    check_skipped(reasons, manifest.input.rows, max_skipped, consequence=where)
