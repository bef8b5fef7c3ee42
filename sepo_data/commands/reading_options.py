"""The options that describe a command's input, built into one `Reading`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from sepo_data.commands.built_options import takes
from sepo_data.commands.grouped_help import INPUT
from sepo_data.commands.options import Limit, argument, option, parse_holdout_size, parse_names
from sepo_data.preferences.holdout import HoldoutSize
from sepo_data.shapes.pairs import PairChoice

if TYPE_CHECKING:
    from sepo_data.preferences.reading import Reading


def parse_roles(text: str) -> dict[str, str]:
    """Parse the columns that play a role: `chosen=response_j,prompt=question`."""
    entries = [entry.partition("=")[::2] for entry in parse_names(text)]
    roles = dict(entries)
    if not all(roles.values()):
        raise typer.BadParameter(f"{text!r}: write ROLE=COLUMN, such as chosen=response_j,prompt=question")
    if len(roles) < len(entries):
        raise typer.BadParameter(f"{text!r}: a role is named twice; each is played by one column")
    return roles


def parse_mixture_part(text: str) -> tuple[str, float]:
    """Parse one part of a mixture: `prefs.jsonl=0.7`."""
    from sepo_data.preferences.mixture import parse_part

    try:
        return parse_part(text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--mix") from None


def build_reading(
    dataset: Annotated[
        list[str] | None, argument("DATASET", help="a file, a folder, a glob, a Hub id, a URL, or - for standard input")
    ] = None,
    *,
    mix: Annotated[
        list[str] | None,
        option(INPUT, metavar="NAME=WEIGHT", help="mix datasets: --mix a.jsonl=0.7 hub/id=0.3"),
    ] = None,
    split: Annotated[
        str | None, option(INPUT, metavar="NAME", help="split to read; `train` where there is one")
    ] = None,
    subset: Annotated[
        str | None, option(INPUT, metavar="NAME", help="configuration of a Hub dataset that has several")
    ] = None,
    revision: Annotated[
        str | None, option(INPUT, metavar="NAME", help="branch, tag or commit of a Hub dataset")
    ] = None,
    streaming: Annotated[bool, option(INPUT, "--streaming", help="read a Hub dataset row by row")] = False,
    query: Annotated[str | None, option(INPUT, metavar="SQL", help="rows of a SQLite or DuckDB file")] = None,
    delimiter: Annotated[
        str | None,
        option(INPUT, metavar="CHARACTER", help="between the fields of a CSV file: semicolon, tab, pipe, ..."),
    ] = None,
    columns: Annotated[
        dict[str, str],
        option(
            INPUT,
            parser=parse_roles,
            metavar="ROLE=COLUMN",
            help="roles of columns with other names: chosen=response_j,prompt=question",
        ),
    ] = "",  # type: ignore[assignment]
    ignore: Annotated[
        str,
        option(
            INPUT,
            metavar="A,B",
            help="columns that look like context and are none; <image> for marks of pictures in texts",
        ),
    ] = "",
    pairs_from_ranking: Annotated[
        PairChoice, option(INPUT, help="the pairs that a row of ranked responses gives")
    ] = "best-worst",
    limit: Limit = None,
    shuffle: Annotated[bool, option(INPUT, "--shuffle", help="read in random order; --limit is a sample")] = False,
    seed: Annotated[int, option(INPUT, min=0, help="random seed of --shuffle")] = 0,
    dedupe: Annotated[bool, option(INPUT, "--dedupe", help="skip pairs that repeat an earlier one")] = False,
    holdout: Annotated[
        HoldoutSize,
        option(
            INPUT,
            parser=parse_holdout_size,
            metavar="SHARE|N",
            help="size of the holdout, a share or a number of pairs; complete prompts only",
        ),
    ] = "0",  # type: ignore[assignment]
) -> Reading:
    """Build a `Reading` of the options of every command that reads preferences."""
    from sepo_data.preferences.reading import Reading

    names = dataset or []
    if not mix and len(names) != 1:
        raise typer.BadParameter(f"{len(names)} datasets: name one, or mix several with --mix NAME=WEIGHT NAME=WEIGHT")
    return Reading(
        dataset="" if mix else names[0],
        mix=tuple(parse_mixture_part(text) for text in (*mix, *names)) if mix else (),
        split=split,
        subset=subset,
        revision=revision,
        query=query,
        delimiter=delimiter,
        streaming=streaming,
        columns=columns,
        ignore=parse_names(ignore),
        pairs_from_ranking=pairs_from_ranking,
        limit=limit,
        shuffle=shuffle,
        seed=seed,
        dedupe=dedupe,
        holdout=holdout.option,
    )


reads_preferences = takes("reading", build_reading)


def typed_reading(reading: Reading) -> str:
    """The dataset and how it is read, as a person types it on the command line.

    Without a seed that nothing is shuffled by: it would be that of something else in the next command.
    """
    reading = reading if reading.shuffle else replace(reading, seed=0)
    parts = [f"{name}={weight}" for name, weight in reading.mix]
    words = ["--mix", *parts] if parts else [reading.dataset]
    for entry in fields(reading):
        value = getattr(reading, entry.name)
        if entry.name in {"dataset", "mix", "keep_columns"} or not value or value == entry.default:
            continue
        words += [f"--{entry.name.replace('_', '-')}", *([] if value is True else [_typed(value)])]
    return " ".join(map(quote, words))


def _typed(value: object) -> str:
    """The value of an option as a person types it."""
    if isinstance(value, Mapping):
        return ",".join(f"{role}={column}" for role, column in value.items())
    return ",".join(value) if isinstance(value, tuple) else str(value)
