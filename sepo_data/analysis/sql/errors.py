"""Errors of the query engine in plain English: each wording is known and has a sentence of ours, or is left out."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from sepo_data.analysis.sql.wordings import ENGINE_WORDS, EXPECTED, FUNCTIONS, TYPES, WORDINGS
from sepo_data.console.text import did_you_mean, listed, shortened
from sepo_data.errors import SepoError
from sepo_data.preferences.holdout import HOLDOUT, TRAIN
from sepo_data.schemas.stages import SIDES

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

EXAMPLES = "`--schema` shows the tables, `--list` shows queries to start from"
SCHEMA = "`--schema` lists the tables and columns"

_NO_COLUMN = re.compile(r"unable to find column \"(?P<name>.*?)\"(?:; valid columns: (?P<valid>\[.*?\]))?(?:\n|$)")
_NO_COLUMN_OF = re.compile(r"no column named '(?P<name>.*?)' found in table '(?P<table>.*?)'")
_NO_DISTINCT = re.compile(r"^\"(?P<name>[^\"]*)\" not found")
_NO_TABLE = re.compile(r"relation '(?P<name>.*?)' was not found|no table or struct column named '(?P<other>.*?)' found")
_NO_FUNCTION = re.compile(r"unsupported function '(?P<name>.*?)'|'(?P<other>\w+)' is not a supported table function")

_NO_MASKS = "a rewards directory has no selection: `sepo select` makes one"
_NO_LOGPS = "a selection keeps no log-probabilities: query the rewards directory it was made from"
_OTHER_STAGE = {
    "selected": _NO_MASKS,
    **{f"{side}_{name}": _NO_MASKS for side in SIDES for name in ("mask", "selected")},
    **{f"{model}_logp": _NO_LOGPS for model in ("oracle", "ref")},
    **{f"{side}_{model}_logps": _NO_LOGPS for side in SIDES for model in ("oracle", "ref")},
}
"""The hint for a column that only the other stage has."""

_VALUES = (*SIDES, TRAIN, HOLDOUT)
"""Values of text columns that are easily taken for columns, where double quotes or none are around them."""


def query_error(error: BaseException, frames: Mapping[str, pl.LazyFrame]) -> SepoError:
    """The error for a query that has no plan on the tables `frames`; the hint has the nearest names."""
    message = str(error)
    if found := next(filter(None, (each.search(message) for each in (_NO_COLUMN, _NO_COLUMN_OF, _NO_DISTINCT))), None):
        return _no_column(found, frames)
    if found := _NO_TABLE.search(message):
        name = found["name"] or found["other"]
        return SepoError(f"there is no table {name}; there are {listed(frames)}", did_you_mean(name, frames) or SCHEMA)
    if found := _NO_FUNCTION.search(message):
        return SepoError(f"there is no function {found['name'] or found['other']}", "`--list` shows functions in use")
    if "one (and only one) statement" in message:
        return SepoError("a query is one statement", "run `sepo query` once for each")
    return SepoError(*_sentence(message, "the query cannot be answered", EXAMPLES))


def data_error(error: BaseException) -> SepoError:
    """The error for a query that has a plan and fails on the data."""
    return SepoError(*_sentence(str(error), "the query failed", "`--schema` lists the columns and their types"))


def _sentence(message: str, beginning: str, hint: str) -> tuple[str, str]:
    """The message and the hint for one of `WORDINGS`; else the message itself where it is plain."""
    for wording in WORDINGS:
        if found := wording.pattern.search(message):
            words = {name: _word(name, value) for name, value in found.groupdict().items()}
            return f"{beginning}: {wording.sentence.format(**words)}", wording.hint or hint
    first = message.strip().split("\n", 1)[0].removeprefix("sql parser error: ")
    first = re.sub(r" at Line: (\d+), Column: (\d+)", r" (line \1, column \2)", first)
    if re.fullmatch(r"\S+", first):  # the error for a field of an object is its name alone
        return f"{beginning}: there is no field {shortened(first)}", hint
    if not first or ENGINE_WORDS.search(first):
        return f"{beginning}: a part of it does not fit the types of the columns, or is not supported", hint
    return f"{beginning}: {shortened(first)}", hint


def _word(name: str, value: str | None) -> str:
    """The text of a group: a function as SQL calls it, a type as people say it, anything else as it is."""
    if value is None:
        return ""
    if name == "function":
        return FUNCTIONS.get(value, value.upper())
    if name == "wanted":
        return EXPECTED.get(value, value)
    if not name.startswith("type"):
        return shortened(value)
    known = (words for pattern, words in TYPES if pattern.match(value.strip("`")))
    return next(known, "another type")


def _no_column(found: re.Match[str], frames: Mapping[str, pl.LazyFrame]) -> SepoError:
    name = found["name"]
    if found.groupdict().get("valid") == "[]":
        return SepoError(f"there is no column {name}: the query names no table", "add FROM tokens, or FROM pairs")
    present = _known_columns(found, frames)
    known = present or dict.fromkeys(column for frame in frames.values() for column in frame.collect_schema())
    return SepoError(
        f"there is no column {name}" + (f"; there are {listed(present)}" if present else ""),
        _OTHER_STAGE.get(name) or _quotes(name) or did_you_mean(name, known) or SCHEMA,
    )


def _quotes(name: str) -> str:
    return f"a text stands in single quotes: '{name}'" if name in _VALUES else ""


def _known_columns(found: re.Match[str], frames: Mapping[str, pl.LazyFrame]) -> list[str]:
    """The columns of the table without the one asked for; none where the error does not list them."""
    groups = found.groupdict()
    if groups.get("table") in frames:
        return list(frames[groups["table"]].collect_schema())
    try:
        return list(map(str, json.loads(groups.get("valid") or "[]")))
    except ValueError:
        return []
