"""Options of reading: the text of a `Reading` on the command line, and roles of columns."""

from __future__ import annotations

import shlex

import pytest
import typer
import typer.main
from typer.testing import CliRunner

from sepo_data.commands.built_options import with_built_options
from sepo_data.commands.reading_options import parse_roles, reads_preferences, typed_reading
from sepo_data.preferences.reading import Reading

pytestmark = pytest.mark.unstable_api  # Typer's signatures, panels and completion

READINGS = [
    Reading("prefs.jsonl"),
    Reading("a b.csv", split="train", columns={"chosen": "better one", "prompt": "q"}),
    Reading("user/data", subset="en", revision="v1", streaming=True, pairs_from_ranking="adjacent"),
    Reading(mix=(("a.jsonl", 0.7), ("b.jsonl", 0.3)), shuffle=True, seed=3, limit=20, dedupe=True),
    Reading(mix=(("a.jsonl", 1 / 3), ("b.jsonl", 2.0))),
    Reading("table.db", query="SELECT 'x' FROM t", holdout=2000),
    Reading("prefs.jsonl", holdout="5%"),
    Reading("prefs.csv", delimiter=";", columns={"prompt": "input.messages"}),
    Reading("prefs.jsonl", ignore=("context", "a picture")),
]


@pytest.mark.parametrize("reading", READINGS, ids=typed_reading)
def test_what_is_typed_is_read_as_the_same(reading):
    received = []

    @reads_preferences
    def run(reading: Reading) -> None:
        received.append(reading)

    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command()(with_built_options(run))
    arguments = shlex.split(typed_reading(reading))
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert received == [reading]


def test_side_columns_are_not_typed():
    assert typed_reading(Reading("a.jsonl", keep_columns=("x",))) == "a.jsonl"


@pytest.mark.parametrize("text", ["better", "chosen=", "chosen=a,chosen=b"])
def test_roles_that_are_none(text):
    with pytest.raises(typer.BadParameter, match=r"ROLE=COLUMN|named twice"):
        parse_roles(text)
