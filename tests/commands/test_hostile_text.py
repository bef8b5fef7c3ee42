"""Hostile text in every place of data and manifests x every command that prints: a terminal gets none of it raw."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from sepo_data.schemas.manifest import Manifest
from tests.fixtures.hostile import ALL, BAR, COLOURS, HOSTILE, forged, unsafe

if TYPE_CHECKING:
    from pathlib import Path

TEXTS = "SELECT pair_id, prompt, chosen, COLUMNS('(?s)^n[0-9].*$') FROM pairs"
NAME = "\x1b[31m\x1b]0;x\a\b\x9b\r\nFORGED\u2028FORGED\u202e\u200b\U000e0041"
"""Of a file, an option, a column of a query."""

NAMES = [f"n{number}{text}" for number, text in enumerate(HOSTILE.values())]
"""Names of side columns."""


@pytest.fixture(scope="module")
def place(tmp_path_factory, scored, rewards_of, write_rewards, texts) -> Path:
    """A folder of hostile directories, datasets and files."""
    folder = tmp_path_factory.mktemp("hostile")
    table = rewards_of([([0.5, -0.25, 2.0], [1.0, -3.0]), ([0.25], [-0.5, 0.0, -0.5])])
    table = planted(table)
    tokenizer = texts.replace('"x3"', json.dumps(ALL)).replace("Ġgo", json.dumps(f"Ġ{ALL}")[1:-1])
    for name, tables in {"rewards": [table], "others": [other_tokens(table)]}.items():
        write_rewards(folder / name, tables, tokenizer=tokenizer)
        plant_manifest(folder / name / "sepo.json")
    rows = [
        {"prompt": f"q{ALL}", "chosen": f"{text} yes", "rejected": f"{text} no", f"side{ALL}": ALL}
        for text in HOSTILE.values()
    ]
    rows[3] |= {"chosen": {ALL: ALL}}
    rows[4] |= {"rejected": [ALL]}
    lines = [json.dumps(row) for row in rows]
    lines.insert(2, f'{{"prompt": "{ALL}" ')
    (folder / "prefs.jsonl").write_text("\n".join(lines).replace("\\u2028", "\u2028") + "\n", encoding="utf-8")
    (folder / "shapeless.jsonl").write_text(json.dumps(dict.fromkeys(NAMES, ALL)) + "\n", encoding="utf-8")
    (folder / "unusable.jsonl").write_text(json.dumps({"prompt": ALL, "chosen": ALL, "rejected": ALL}) + "\n")
    (folder / "files").mkdir()
    for suffix in (".csv", ".jsonl"):
        (folder / "files" / f"a{NAME}{suffix}").write_text("{}\n")
    shutil.copy(folder / "prefs.jsonl", folder / f"prefs{NAME}.jsonl")
    shutil.copytree(folder / "rewards", folder / f"rewards{NAME}")
    shutil.copytree(folder / "rewards", folder / "unknown")
    unknown = folder / "unknown" / "sepo.json"
    unknown.write_text(unknown.read_text().replace('"stage": "rewards"', f'"stage": {json.dumps(ALL)}'))
    shutil.copytree(folder / "rewards", folder / "planned")
    shutil.copytree(folder / "rewards", folder / "renamed")
    renamed = folder / "renamed" / "sepo.json"
    fields = json.loads(renamed.read_text())
    fields["shards"][0]["file"] = f"../{ALL}"
    renamed.write_text(json.dumps(fields))
    quoted = json.dumps(NAME, ensure_ascii=True).replace("\\udb40\\udc41", "\\U000e0041")
    tables = {
        "values": f"[score]\noracle = {quoted}\nref = {quoted}\n",
        "keys": f"[check]\n{quoted} = 1\n[{quoted}]\nbeta = {quoted}\n",
        "broken": f"[check\n{NAME}",
        "wrong": f"[check]\nmax_length = {quoted}\nlimit = {quoted}\n",
        "choice": f"[check]\non_bad_row = {quoted}\n",
    }
    for name, text in tables.items():
        (folder / f"{name}.toml").write_text(text, encoding="utf-8")
    return folder


def planted(table: pa.Table) -> pa.Table:
    """Hostile values in every text column of a rewards table, and side columns with hostile names."""
    for name in ("pair_id", "prompt", "chosen", "rejected"):
        values = pa.array([f"{text}{ALL}" for text in table[name].to_pylist()], table.schema.field(name).type)
        table = table.set_column(table.schema.get_field_index(name), table.schema.field(name), values)
    for name, text in zip(NAMES, HOSTILE.values(), strict=True):
        table = table.append_column(name, pa.array([text, ALL]))
    return table


def other_tokens(table: pa.Table) -> pa.Table:
    at = table.schema.get_field_index("chosen_ids")
    ids = pa.array(
        [[number + 1 for number in row] for row in table["chosen_ids"].to_pylist()], table.schema.field(at).type
    )
    return table.set_column(at, table.schema.field(at), ids)


def plant_manifest(file: Path) -> None:
    fields = json.loads(file.read_text(encoding="utf-8"))
    model = {"name": ALL, "revision": ALL, "weights": ALL, "parameters": 1}
    fields["input"] |= {"name": ALL, "split": ALL, "shape": ALL, "fingerprint": ALL}
    fields["models"] = {"oracle": model, ALL: model}
    fields["tokenizer"] = {"name": ALL, "tokenizer": ALL, "chat_template": ALL, "vocabulary": 1}
    for name in ("options", "runtime", "results", "versions"):
        fields[name] = {"beta" if name == "options" else "seed": ALL, ALL: ALL}
    fields |= {"parent": ALL, "created": ALL}
    fields["shards"][0]["skipped"] = fields["shards"][0]["notes"] = {ALL: 1}
    del fields["fingerprint"]
    manifest = Manifest.model_validate(fields)
    file.write_text(manifest.to_json(), encoding="utf-8")
    state = file.with_name("state.json")
    state.write_text(json.dumps(json.loads(state.read_text()) | {"_fingerprint": manifest.fingerprint}))


PLAN = f"EXPLAIN SELECT * FROM pairs WHERE prompt = '{HOSTILE['colour']}'"  # noqa: S608 - no database of anybody
NO_COLUMN, NO_TABLE, NO_SQL = (
    text.replace("NAME", NAME)
    for text in ('SELECT "NAME" FROM pairs', 'SELECT a FROM "NAME"', "SELECT 'NAME' FROM FROM")
)
A_LIST = 'SELECT * FROM (SELECT [1] AS "\x1b[31m\nFORGED")'
ANSWERS = {
    "info": ["info", "rewards"],
    "info as JSON": ["info", "rewards", "--json"],
    "show": ["show", "rewards", "--pair", "1"],
    "show as JSON": ["show", "rewards", "--pair", "1", "--json"],
    "show two": ["show", "rewards", f"rewards{NAME}", "--sort", "disagreement", "--limit", "2"],
    "show two as JSON": ["show", "rewards", f"rewards{NAME}", "--json"],
    "show other tokens": ["show", f"rewards{NAME}", "others"],
    "show found": ["show", "rewards", "--find", HOSTILE["colour"], "--where", f"prompt <> '{NAME}'", "--limit", "2"],
    "query": ["query", "rewards", "SELECT * FROM pairs", "--format", "table"],
    "query tokens": ["query", "rewards", "SELECT * FROM tokens", "--format", "table"],
    "query a query": ["query", "rewards", "@worst-pairs", "--format", "table"],
    "query a plan": [
        "query",
        "rewards",
        PLAN,
        "--format",
        "table",
    ],
    "query as ndjson": ["query", "rewards", TEXTS, "--format", "ndjson"],
    "query as JSON": ["query", "rewards", TEXTS, "--format", "json"],
    "query as CSV": ["query", "rewards", TEXTS, "--format", "csv"],
    "query as safe CSV": ["query", "rewards", TEXTS, "--format", "csv", "--csv-safe"],
    "query --schema": ["query", "rewards", "--schema"],
    "query --schema as CSV": ["query", "rewards", "--schema", "--format", "csv"],
    "diff": ["diff", "rewards", "rewards"],
    "diff as JSON": ["diff", "rewards", "rewards", "--json"],
    "report": ["report", "rewards", "rewards", "--out", f"report{NAME}.html", "--overwrite"],
    "report as JSON": ["report", "rewards", "--out", f"other report{NAME}.html", "--overwrite", "--json"],
    "plot": ["plot", "distribution", "rewards", "--out", f"plot{NAME}.svg", "--overwrite"],
    "plot of tokens": ["plot", "tokens", "rewards", "--out", f"tokens{NAME}.svg", "--overwrite"],
    "plot as JSON": ["plot", "agreement", "rewards", "rewards", "--out", f"p{NAME}.svg", "--overwrite", "--json"],
    "check": ["check", "prefs.jsonl"],
    "check as JSON": ["check", "prefs.jsonl", "--json"],
    "config": ["config", "--config", "values.toml"],
    "config as JSON": ["config", "--config", "values.toml", "--json"],
    "select": ["select", "rewards", "--out", f"selection{NAME}"],
    "select as JSON": ["select", "rewards", "--out", f"other selection{NAME}", "--json"],
    "check a file": ["check", f"prefs{NAME}.jsonl"],
    "info of a folder": ["info", f"rewards{NAME}"],
}
MISTAKES = {
    "show no pair": ["show", "rewards", "--pair", NAME],
    "show no text": ["show", "rewards", "--find", NAME],
    "show no condition": ["show", "rewards", "--where", NAME],
    "show no column": ["show", "rewards", "--where", f'"{NAME}" > 1'],
    "show in no format": ["show", "rewards", "--svg", f"a.{NAME}"],
    "query no column": ["query", "rewards", NO_COLUMN],
    "query no table": ["query", "rewards", NO_TABLE],
    "query no function": ["query", "rewards", "SELECT FORGED\n(1) FROM pairs"],
    "query no SQL": ["query", "rewards", NO_SQL],
    "query no cast": ["query", "rewards", "SELECT CAST(prompt AS INT) AS n FROM pairs"],
    "query no list in CSV": ["query", "rewards", A_LIST, "--format", "csv"],
    "query no named query": ["query", "rewards", f"@{NAME}"],
    "query nowhere": ["query", f"nowhere{NAME}", "SELECT 1"],
    "query as no table": ["query", "--table", f"{NAME}=rewards", "SELECT 1"],
    "query to no file": ["query", "rewards", "SELECT 1", "--out", f"no/{NAME}.csv"],
    "query to no format": ["query", "rewards", "SELECT 1", "--out", f"a.{NAME}"],
    "diff of other tokens": ["diff", "rewards", "others"],
    "diff of a manifest of another kind": ["diff", "rewards", "unknown"],
    "report of other tokens": ["report", "rewards", "others", "--out", "x.html"],
    "report of a manifest of another kind": ["report", "unknown", "--out", "x.html"],
    "report of strange shards": ["report", "renamed", "--out", "x.html"],
    "report to no format": ["report", "rewards", "--out", f"a.{NAME}"],
    "report nowhere": ["report", f"nowhere{NAME}", "--out", f"{NAME}.html"],
    "plot nothing": ["plot", NAME, "rewards", "--out", "x.svg"],
    "plot of other tokens": ["plot", "agreement", "rewards", "others", "--out", "x.svg"],
    "plot to no format": ["plot", "distribution", "rewards", "--out", f"a.{NAME}"],
    "plot nowhere": ["plot", "distribution", f"nowhere{NAME}", "--out", f"{NAME}.svg"],
    "check no shape": ["check", "shapeless.jsonl"],
    "check no columns": ["check", "shapeless.jsonl", "--columns", f"chosen={NAME}"],
    "check files of many kinds": ["check", "files"],
    "check no pair": ["check", "unusable.jsonl"],
    "check at the first bad row": ["check", "prefs.jsonl", "--on-bad-row", "fail"],
    "check no split": ["check", "prefs.jsonl", "--split", NAME],
    "check no file": ["check", f"nowhere{NAME}.jsonl"],
    "check with no template": ["check", "prefs.jsonl", "--tokenizer", "rewards", "--chat-template", f"no{NAME}"],
    "info of a changed manifest": ["info", "rewards", "--verify"],
    "info of strange shards": ["info", "renamed", "--verify"],
    "query of strange shards": ["query", "renamed", "SELECT 1 FROM pairs"],
    "select from strange shards": ["select", "renamed", "--out", "x"],
    "config with unknown keys": ["config", "--config", "keys.toml"],
    "config that is no TOML": ["config", "--config", "broken.toml"],
    "config of other values": ["check", "prefs.jsonl", "--config", "wrong.toml"],
    "config of no choice": ["check", "prefs.jsonl", "--config", "choice.toml"],
    "select a wrong rule": ["select", "rewards", "--out", "x", "--rule", f"top{NAME}"],
    "select with another plan": ["select", "rewards", "--out", "planned", "--chosen", "10%"],
    "no command": [NAME],
    "no option": ["info", "rewards", f"--{NAME}"],
    "help of no command": ["help", NAME],
    "one argument too many": ["info", "rewards", NAME],
}
COMMANDS = {name: (command, {}) for name, command in (ANSWERS | MISTAKES).items()}
COMMANDS |= {f"{name} without colours": (ANSWERS[name], {"NO_COLOR": "1"}) for name in ("show", "check", "query")}
COMMANDS |= {f"{name} on a narrow screen": (ANSWERS[name], {"COLUMNS": "30"}) for name in ("show", "query", "diff")}

EXACT = {
    name
    for name in ANSWERS
    if name.endswith(("JSON", "CSV"))
    or name in {"query as ndjson", "query --schema", "select", "report", "plot", "plot of tokens"}
}
"""Commands whose answers are for programs."""
VARYING = {"seconds", "created", "path"}


@pytest.fixture(scope="module")
def screens(place, on_screen) -> dict[str, tuple[int, str]]:
    return on_screen(COMMANDS, place)


@pytest.fixture(scope="module")
def pipes(place, run_commands) -> dict[str, tuple[int, str, str]]:
    for folder in place.glob("*selection*"):
        shutil.rmtree(folder)
    return run_commands({name: command for name, (command, _) in COMMANDS.items()}, place)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_screen_gets_visible_characters_and_no_line_of_the_data(screens, name):
    code, text = screens[name]
    assert code in ({0} if name.split(" without")[0].split(" on ")[0] in ANSWERS else {1, 2, 3}), text
    text = BAR.sub("", text)
    if name.endswith("without colours"):
        assert "\x1b" not in text
    text = COLOURS.sub("", text)
    assert unsafe(text) == ""
    assert forged(text) == []


@pytest.mark.parametrize("name", sorted(set(COMMANDS) - EXACT))
def test_text_for_people_is_the_same_in_a_pipe(pipes, name):
    code, out, err = pipes[name]
    assert code in ({0} if name.split(" without")[0].split(" on ")[0] in ANSWERS else {1, 2, 3}), err
    assert unsafe(out + err) == ""
    assert forged(out) + forged(err) == []


@pytest.mark.parametrize("name", [name for name in ANSWERS if name.endswith("as JSON")])
def test_json_on_a_screen_is_the_json_of_a_pipe(screens, pipes, name):
    def parsed(text):
        answer = json.loads(BAR.sub("", text).rstrip("\n").split("\n")[-1])
        return {key: answer[key] for key in answer if key not in VARYING} if isinstance(answer, dict) else answer

    assert parsed(screens[name][1]) == parsed(pipes[name][1])


def test_json_in_a_pipe_has_what_was_planted(pipes, place):
    assert json.loads(pipes["info as JSON"][1])["results"]["seed"] == ALL
    assert json.loads(pipes["show as JSON"][1])["pair_id"] == f"{1:016x}{ALL}"
    assert json.loads(pipes["config as JSON"][1])["score"]["oracle"]["value"] == NAME
    assert json.loads(pipes["select as JSON"][1])["path"] == f"other selection{NAME}"
    rows = [json.loads(line) for line in pipes["query as ndjson"][1].split("\n") if line]
    assert rows == json.loads(pipes["query as JSON"][1]) == expected()


def expected() -> list[dict[str, str]]:
    """The answer to `TEXTS`."""
    texts = {"pair_id": "{:016x}", "prompt": "q{}", "chosen": "yes ä"}
    rows = [{name: text.format(number) + ALL for name, text in texts.items()} for number in (0, 1)]
    return [rows[0] | dict(zip(NAMES, HOSTILE.values(), strict=True)), rows[1] | dict.fromkeys(NAMES, ALL)]


def test_csv_in_a_pipe_is_exact_and_a_record_is_a_line_of_a_screen(screens, pipes):
    [names, *rows] = csv.reader(io.StringIO(pipes["query as CSV"][1], newline=""))
    assert [dict(zip(names, row, strict=True)) for row in rows] == expected()
    lines = screens["query as CSV"][1].splitlines()
    assert [len(row) for row in csv.reader(lines)] == [len(names)] * 3
    assert ascii(HOSTILE["line break"])[1:-1] in lines[1]


def test_a_path_in_a_pipe_is_exact(pipes):
    assert pipes["select"][1] == f"selection{NAME}\n"


OURS = re.compile(r"\x1b\[(?:H|K|J|2J|\?(?:1049|2004|7|25)[hl])|\r")
"""The screen entered, drawn and left."""

BROWSED = {
    "one": (["rewards"], {}),
    "two": (["rewards", f"rewards{NAME}"], {"columns": 140, "lines": 60}),
    "two, narrow": ([f"rewards{NAME}", "rewards"], {"columns": 24, "lines": 60}),
    "no colours": ([f"rewards{NAME}"], {"NO_COLOR": "1"}),
    "an unfinished one": ([f"unfinished{NAME}"], {}),
    "two of other tokens": ([f"rewards{NAME}", "others"], {"columns": 140, "lines": 60}),
}


@pytest.mark.parametrize("name", BROWSED)
def test_a_browser_gets_visible_characters_alone(place, window, name):
    """In its texts, in what is typed and found, in the names of directories; scrolled, in every order."""
    arguments, settings = BROWSED[name]
    unfinished = place / f"unfinished{NAME}"
    if not unfinished.exists():
        shutil.copytree(place / "rewards", unfinished)
        (unfinished / "state.json").unlink()
    screen = window("show", *arguments, cwd=place, **settings)
    screen.until("1 of 2")
    for keys, word in (("n", "2 of 2"), ("CR", "35%"), ("s", "sort margin"), ("?", "any other key"), ("x", "of 2")):
        screen.press(keys)
        screen.until(word)
    screen.press(
        f"jjjjkG/{HOSTILE['direction']}{HOSTILE['tags']}{HOSTILE['zero width']}{HOSTILE['private and unknown']}"
    )
    screen.until("find:")
    screen.press("\r")
    screen.until("no pair has the text", gone="find:")
    screen.press("/" + "".join(letter for letter in ALL if letter.isprintable()) + "\r")
    screen.until("no pair has the text")
    screen.press("q")
    assert screen.end() == 0
    text = COLOURS.sub("", OURS.sub("", screen.received.decode()))
    assert unsafe(text) == ""
    assert forged(text) == []
    if name == "no colours":
        assert screen.grid.styles == ""


def test_a_browser_that_an_error_ends_prints_visible_characters(place, window):
    damaged = place / f"damaged{NAME}"
    shutil.copytree(place / "rewards", damaged)
    (damaged / "tokenizer" / "tokenizer.json").write_text("{", encoding="utf-8")
    screen = window("show", damaged.name, cwd=place)
    assert screen.end() == 1
    text = COLOURS.sub("", OURS.sub("", screen.received.decode()))
    assert "cannot be read" in text.replace("\n", "")
    assert unsafe(text) == ""
    assert forged(text) == []
