"""Rewards and selections that are not what their manifest says: every reader refuses them, or gives right values."""

import copy
import hashlib
import json
import os
import random
import shutil

import polars as pl
import pyarrow as pa
import pytest

from sepo_data.analysis.diff import diff
from sepo_data.analysis.query import query
from sepo_data.analysis.show.pair import read_pair
from sepo_data.errors import SepoError
from sepo_data.preferences.reading import Reading
from sepo_data.readers.source import open_source
from sepo_data.schemas.stages import Stage
from sepo_data.selection.select import select
from sepo_data.stages.directory import read_manifest
from sepo_data.stages.scan import scan
from sepo_data.stages.writer import open_stage
from sepo_train.evaluation.holdout_pairs import read_holdout_pairs
from sepo_train.training.reference_logps import stored_ref_logps
from sepo_train.training.selected_pairs import SelectedPairs

SHARDS = 3


class Draw(random.Random):
    """Choices of one damage; `number` counts the damages of its kind, so that each edit of a list has its turn."""

    number = 0


@pytest.fixture(scope="module")
def datasets_of(tmp_path_factory, rewards_of, write_rewards, tiny_model):
    """A rewards directory, a foreign one of the same names, rows and sizes, and a selection of each."""
    folder = tmp_path_factory.mktemp("whole")
    tokenizer = (tiny_model / "tokenizer.json").read_text(encoding="utf-8")
    for name, beta in (("rewards", 0.1), ("foreign", 0.2)):
        numbers = Draw(1)
        sizes = [(2, 3), (4, 1)]
        tables = [
            rewards_of(
                [tuple([beta * numbers.random() for _ in range(size)] for size in pair) for pair in sizes],
                first=first * len(sizes),
                messages=True,
            )
            for first in range(SHARDS)
        ]
        write_rewards(folder / name, tables, tokenizer=tokenizer, beta=beta)
        with_tokenizer(folder / name, tiny_model)
        select(folder / name, folder / f"{name}-selection")
    return {
        Stage.REWARDS: (folder / "rewards", folder / "foreign"),
        Stage.SELECTION: (folder / "rewards-selection", folder / "foreign-selection"),
    }


def with_tokenizer(folder, model):
    """Give the dataset the tokenizer of `model`, and the record of its files."""

    def save(place):
        for file in model.glob("*token*"):
            shutil.copy(file, place)

    open_stage(folder, read_manifest(folder), shards=SHARDS).write_folder("tokenizer", save)


def rewrite(file, change):
    value = json.loads(file.read_text(encoding="utf-8"))
    changed = change(value)
    file.write_text(json.dumps(value if changed is None else changed), encoding="utf-8")


def flip(folder, draw, _foreign):
    file = draw.choice(sorted(folder.glob("*.arrow")))
    content = bytearray(file.read_bytes())
    place = draw.randrange(len(content))
    content[place] ^= 1 << draw.randrange(8)
    file.write_bytes(content)


def swap(folder, draw, _foreign):
    one, other = draw.sample(sorted(folder.glob("*.arrow")), 2)
    contents = one.read_bytes(), other.read_bytes()
    one.write_bytes(contents[1])
    other.write_bytes(contents[0])


def duplicate(folder, draw, _foreign):
    shutil.copy(*draw.sample(sorted(folder.glob("*.arrow")), 2))


def resize(folder, draw, _foreign):
    file = draw.choice(sorted(folder.glob("*.arrow")))
    content = file.read_bytes()
    ends = [0, 1, 8, len(content) // 2, len(content) - 8, len(content) - 1]
    file.write_bytes(draw.choice([*(content[:end] for end in ends), content + b"\0", content + content]))


def lose(folder, draw, _foreign):
    file = draw.choice(sorted(folder.glob("*.arrow")))
    replaced = ["nothing", "folder", "pipe", "itself", "renamed"][draw.number % 5]
    if replaced == "renamed":
        file.rename(file.with_name(file.name.replace("data", "date")))
        return
    file.unlink()
    if replaced == "folder":
        file.mkdir()
    elif replaced == "pipe":
        os.mkfifo(file)
    elif replaced == "itself":
        file.symlink_to(file)


def foreign(folder, draw, other):
    file = draw.choice(sorted(folder.glob("*.arrow")))
    theirs = draw.choice(sorted(other.glob("*.arrow")))
    file.unlink()
    if draw.random() < 0.5:
        file.symlink_to(theirs)
    else:
        shutil.copy(theirs, file)


STATES = {
    "cut": lambda names, _other: names[:1],
    "empty": lambda names, _other: [],
    "reversed": lambda names, _other: names[::-1],
    "repeated": lambda names, _other: [*names, names[0]],
    "twice the first": lambda names, _other: [names[0], names[0], *names[2:]],
    "above": lambda names, other: [f"../{other.name}/{names[0]}", *names[1:]],
    "absolute": lambda names, other: [str(other / names[0]), *names[1:]],
    "roundabout": lambda names, _other: [f"./{names[0]}", *names[1:]],
    "nothing": lambda names, _other: ["data-00007-of-00008.arrow", *names[1:]],
    "null": lambda names, _other: [None, *names[1:]],
    "numbers": lambda names, _other: list(range(len(names))),
    "lists": lambda names, _other: [[name] for name in names],
    "newline": lambda names, _other: [f"{names[0]}\n", *names[1:]],
}


def state(folder, draw, other):
    change = STATES[sorted(STATES)[draw.number]]

    def edit(fields):
        names = [entry["filename"] for entry in fields["_data_files"]]
        fields["_data_files"] = [{"filename": name} for name in change(names, other)]

    rewrite(folder / "state.json", edit)


def broken_json(folder, draw, _other):
    file = folder / draw.choice(["state.json", "dataset_info.json", "sepo.json"])
    deep = "[" * 100_000
    file.write_text(draw.choice(["", "{", "[]", "null", "3", '{"a": 1}', deep, '{"_data_files": 3}']), encoding="utf-8")
    if draw.random() < 0.2:
        file.unlink()


RECORDS = {
    "more rows": lambda records, _other: records[0].update(rows=records[0]["rows"] + 1),
    "fewer rows": lambda records, _other: records[1].update(rows=0),
    "negative rows": lambda records, _other: records[1].update(rows=-2),
    "rows as text": lambda records, _other: records[1].update(rows="2"),
    "other size": lambda records, _other: records[2].update(bytes=records[2]["bytes"] - 8),
    "huge size": lambda records, _other: records[2].update(bytes=10**30),
    "other hash": lambda records, _other: records[0].update(sha256="0" * 64),
    "hash of another": lambda records, _other: records[0].update(sha256=records[1]["sha256"]),
    "hash in capitals": lambda records, _other: records[0].update(sha256=records[0]["sha256"].upper()),
    "no hash": lambda records, _other: records[0].update(sha256=""),
    "other tokens": lambda records, _other: records[0]["tokens"].update(chosen=10**9),
    "above": lambda records, other: records[0].update(file=f"../{other.name}/{records[0]['file']}"),
    "absolute": lambda records, other: records[0].update(file=str(other / records[0]["file"])),
    "another name": lambda records, _other: records[0].update(file="data-00000-of-00004.arrow"),
    "another number": lambda records, _other: records[0].update(file="data-00009-of-00003.arrow"),
    "no name": lambda records, _other: records[0].update(file=""),
    "a line": lambda records, _other: records[0].update(file=records[0]["file"] + "\nrows 7"),
    "the manifest": lambda records, _other: records[0].update(file="sepo.json"),
    "swapped names": lambda records, _other: (
        records[0].update(file=records[1]["file"]),
        records[1].update(file=records[0]["file"]),
    ),
    "reversed": lambda records, _other: records.reverse(),
    "dropped": lambda records, _other: records.pop(),
    "dropped first": lambda records, _other: records.pop(0),
    "repeated": lambda records, _other: records.append(copy.deepcopy(records[0])),
    "empty": lambda records, _other: records.clear(),
    "unknown field": lambda records, _other: records[0].update(more=1),
}


def records(folder, draw, other):
    change = RECORDS[sorted(RECORDS)[draw.number]]
    rewrite(folder / "sepo.json", lambda fields: change(fields["shards"], other) and None)


def records_and_state(folder, draw, other):
    """Edits of both lists that agree with one another."""
    keep = draw.sample(range(SHARDS), draw.randrange(1, SHARDS)) + draw.choice([[], [0, 0]])
    rewrite(folder / "sepo.json", lambda fields: fields.update(shards=[fields["shards"][place] for place in keep]))
    rewrite(
        folder / "state.json",
        lambda fields: fields.update(_data_files=[fields["_data_files"][place] for place in keep]),
    )


def columns(folder, draw, _other):
    """A shard with a column less, of another type or under another name, and the record that fits it."""
    file = draw.choice(sorted(folder.glob("*.arrow")))
    table = pa.ipc.open_stream(file.read_bytes()).read_all()
    place = draw.randrange(table.num_columns)
    name = table.column_names[place]
    table = draw.choice(
        [
            table.drop_columns([name]),
            table.set_column(place, name, pa.nulls(table.num_rows, pa.int8())),
            table.rename_columns([f"{each}_" if each == name else each for each in table.column_names]),
            table.append_column(name, table.column(name)),
            table.append_column("more", table.column(name)),
        ]
    )
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    with_record(folder, file)


def with_record(folder, file):
    content = file.read_bytes()

    def edit(fields):
        for record in fields["shards"]:
            if record["file"] == file.name:
                record.update(bytes=len(content), sha256=hashlib.sha256(content).hexdigest())

    rewrite(folder / "sepo.json", edit)


def tokenizer(folder, draw, other):
    """Another file of the tokenizer, one less, or one more."""
    files = sorted((folder / "tokenizer").iterdir())
    changes = [
        lambda: files[0].write_bytes(files[0].read_bytes() + b"\n"),
        lambda: files[-1].write_bytes(b""),
        lambda: draw.choice(files).unlink(),
        lambda: shutil.rmtree(folder / "tokenizer"),
        lambda: (folder / "tokenizer" / "special_tokens_map.json").write_text("{}"),
    ]
    changes[draw.number]()


def plans(folder, draw, _other):
    """Another option, alone or with the fingerprint that fits it."""
    rewrite(folder / "sepo.json", lambda fields: fields["options"].update(beta=1000.0))
    if draw.number:
        plan = read_manifest(folder)
        (folder / "sepo.json").write_text(plan.to_json(), encoding="utf-8")


KINDS = {
    flip: 12, swap: 2, duplicate: 2, resize: 6, lose: 8, foreign: 4, state: len(STATES), broken_json: 12,
    records: len(RECORDS), records_and_state: 4, columns: 10,
    tokenizer: 5, plans: 2,
}  # fmt: skip
"""Damages, each with the number of times that it is drawn."""


def readers(folder, out, stage, whole, model):
    """The results of every reader of a directory, by name."""
    yield "scan", lambda: scan(folder).collect().to_dicts()
    yield (
        "query",
        lambda: query("SELECT SUM(reward) AS r, COUNT(*) AS n FROM tokens", {"pairs": folder}).collect().rows(),
    )
    yield "show", lambda: [read_pair(folder, str(row)) for row in (0, 5)]
    yield "diff", lambda: diff(whole, folder)
    yield "diff, first", lambda: diff(folder, whole)
    yield (
        "check, score",
        lambda: [[row.value for row in source] for source in [open_source(str(folder))] if source.fingerprint],
    )
    if stage is Stage.REWARDS:
        yield "select", lambda: [select(folder, out).rows, scan(out).select(pl.exclude("prompt")).collect().to_dicts()]
        yield "train, stored", lambda: stored_ref_logps(folder, _pairs_of(whole)).tolist()
    else:
        yield "train", lambda: [(pair.pair_id, pair.tree) for pair in SelectedPairs.open(folder)]
    if model:
        options = {"max_length": None, "truncate": None, "chat_template": None, "progress": None}
        yield "evaluate", lambda: read_holdout_pairs(Reading(str(folder)), [str(model)], **options).trees


def _pairs_of(rewards):
    return SelectedPairs.open(rewards.with_name("rewards-selection"))


@pytest.mark.parametrize("stage", [Stage.REWARDS, Stage.SELECTION])
@pytest.mark.parametrize("damage", KINDS, ids=lambda damage: damage.__name__)
def test_no_reader_gives_a_wrong_value(tmp_path, datasets_of, tiny_model, damage, stage):
    whole, other = datasets_of[stage]
    expected = {name: read() for name, read in readers(whole, tmp_path / "expected", stage, whole, tiny_model)}
    folder, out = whole.with_name("damaged"), tmp_path / "out"
    for number in range(KINDS[damage]):
        draw = Draw(f"{stage} {number}")
        draw.number = number
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(whole, folder)
        damage(folder, draw, other)
        refused = 0
        for name, read in readers(folder, out, stage, whole, tiny_model if number == 0 else None):
            try:
                assert read() == expected[name], f"{name} after {damage.__name__} {number}"
            except SepoError:
                refused += 1
            finally:
                shutil.rmtree(out, ignore_errors=True)
        if damage in {flip, swap, duplicate, resize, lose, foreign, records_and_state, columns, tokenizer, plans}:
            assert refused == len(expected) - (number > 0), "bytes that are not those of the manifest"


def test_the_error_names_the_file_the_reason_and_the_next_step(tmp_path, datasets_of):
    whole, _ = datasets_of[Stage.REWARDS]
    folder = tmp_path / "rewards"
    shutil.copytree(whole, folder)
    first, second, third = sorted(folder.glob("*.arrow"))
    shutil.copy(second, first)
    third.unlink()
    rewrite(folder / "state.json", lambda fields: fields["_data_files"].pop() and None)
    with pytest.raises(SepoError) as caught:
        scan(folder)
    assert str(caught.value).splitlines() == [
        f"{folder} is damaged:",
        f"  {first.name} holds the bytes of {second.name}",
        f"  {third.name} is missing",
        f"  state.json names 2 of 3 shards; {third.name} is left out",
    ]
    assert caught.value.hint == (
        f"`sepo info {folder} --verify` checks every file; the same `sepo score` makes what is damaged again"
    )


def test_without_hashes_names_sizes_rows_and_columns_are_compared(tmp_path, datasets_of):
    whole, foreign_rewards = datasets_of[Stage.REWARDS]
    for damage in (swap, foreign, duplicate):
        folder = tmp_path / damage.__name__
        shutil.copytree(whole, folder)
        damage(folder, Draw(0), foreign_rewards)
        with pytest.raises(SepoError, match="is damaged"):
            scan(folder)
        assert scan(folder, verify=False).collect().height == read_manifest(whole).rows
    for damage in (resize, lose, records_and_state, columns):
        folder = tmp_path / damage.__name__
        shutil.copytree(whole, folder)
        damage(folder, Draw(0), foreign_rewards)
        with pytest.raises(SepoError, match="is damaged"):
            scan(folder, verify=False)
