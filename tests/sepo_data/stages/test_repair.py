"""Repair of a complete dataset: what was lost is pending again, and the rest is neither written nor forgotten."""

import shutil

import pytest

from sepo_data.errors import RefusedError, SepoError
from sepo_data.schemas.folder import RECORDS
from sepo_data.shapes.pairs import SkippedRow
from sepo_data.stages.directory import read_manifest
from sepo_data.stages.repair import changed_text, damage, damage_text
from sepo_data.stages.runs import find_run
from sepo_data.stages.writer import open_stage
from sepo_data.storage.download import fetched
from sepo_data.storage.location import location
from tests.fixtures.damage import OF_FILES, OF_PLANS, OF_SHARDS, cut, flip, lose, lose_shards
from tests.sepo_data.stages.test_writer import PLAN

SKIPPED = [[SkippedRow(0, "null", "ü\u2028\x85"), SkippedRow(1, "tie", "")], [], [SkippedRow(5, "null", "")]]


def write(path, tables):
    """Do what a command does: keep the shards that are whole, write the others; returns the numbers of these."""
    stage = open_stage(path, PLAN, shards=3)
    stage.write_folder("tokenizer", lambda folder: (folder / "tokenizer.json").write_text("{}"))
    for index in stage.lock_shards(stage.unlisted()):
        stage.keep_shard(index, SKIPPED[index])
    written = list(map(int, stage.pending()))
    for index in written:
        stage.write_shard(index, tables[index], skipped=SKIPPED[index], notes={"truncated": index})
    results = {"measured": len(written)}
    return stage.finish_if_complete(seconds=float(len(written)), results=results), written


def everything(path):
    return {str(file.relative_to(path)): file.read_bytes() for file in path.rglob("*") if file.is_file()}


@pytest.fixture
def whole(tmp_path, tables):
    write(tmp_path / "out", tables)
    return tmp_path / "out"


@pytest.mark.parametrize("name", [*OF_SHARDS, *OF_FILES])
def test_the_same_command_makes_again_what_was_lost(whole, tables, name):
    harm, lost = OF_SHARDS.get(name) or (OF_FILES[name], [])
    lost = [0, 1, 2] if lost is None else lost
    before = everything(whole)
    times = {file.name: file.stat().st_mtime_ns for file in whole.glob("*.arrow")}
    harm(whole)
    run = find_run(whole, PLAN)
    assert (run.complete, len(run.shards)) == (False, 3)
    assert damage(whole, run)
    manifest, written = write(whole, tables)
    assert written == lost
    assert manifest.complete
    assert everything(whole) == before, "the manifest as well, with its time and its results"
    kept = [file for index, file in enumerate(sorted(times)) if index not in lost]
    assert all((whole / file).stat().st_mtime_ns == times[file] for file in kept)
    assert damage(whole, manifest) == []
    assert find_run(whole, PLAN).complete
    times = {file: file.stat().st_mtime_ns for file in whole.rglob("*")}
    assert write(whole, tables) == (manifest, [])
    assert {file: file.stat().st_mtime_ns for file in whole.rglob("*")} == times, "nothing is left to do"


@pytest.mark.parametrize("name", OF_PLANS)
def test_an_edited_plan_is_not_repaired(whole, tables, name):
    OF_PLANS[name](whole)
    edited = everything(whole)
    plan = read_manifest(whole)
    for asked in (PLAN, plan):  # the options of then, and those that the edited manifest names
        with pytest.raises(RefusedError, match=r"is damaged: sepo\.json ") as caught:
            open_stage(whole, asked, shards=3)
        assert "--overwrite" in caught.value.hint
    assert everything(whole) == edited
    assert open_stage(whole, PLAN, shards=3, overwrite=True).pending() == [0, 1, 2]


def test_an_edited_plan_of_an_incomplete_dataset_is_not_resumed(tmp_path, tables):
    open_stage(tmp_path, PLAN, shards=3).write_shard(0, tables[0])
    OF_PLANS["another option"](tmp_path)
    with pytest.raises(RefusedError, match=r"sepo\.json is edited"):
        open_stage(tmp_path, read_manifest(tmp_path), shards=3)


def test_what_a_newer_version_would_write_is_no_damage(whole, tables):
    """The tokenizer is the recorded one; only its files are written in another way today."""
    before = everything(whole)
    stage = open_stage(whole, PLAN, shards=3)
    assert stage.write_folder("tokenizer", lambda folder: (folder / "tokenizer.json").write_text("{ }")) == []
    assert everything(whole) == before
    lose("tokenizer")(whole)
    stage = open_stage(whole, PLAN, shards=3)
    assert stage.write_folder("tokenizer", lambda folder: (folder / "tokenizer.json").write_text("{ }"))
    manifest = stage.finish_if_complete(seconds=0.0)
    assert damage(whole, manifest) == []
    assert write(whole, tables) == (manifest, [])


def test_what_is_wrong_is_named(whole):
    lose("state.json", "skipped.jsonl")(whole)
    lose_shards(0)(whole)
    flip(whole)  # the second of those that are left
    text = damage_text(whole, find_run(whole, PLAN))
    assert text.startswith(f"repairing {whole}: ")
    for name in ("state.json", "skipped.jsonl", "data-00000-of-00003.arrow is missing", "data-00002-of-00003.arrow"):
        assert name in text
    assert "data-00001" not in text


def test_other_bytes_are_noted_and_are_no_error(whole, tables, rewards_of):
    before = find_run(whole, PLAN)
    lose_shards(1)(whole)
    other = [tables[0], rewards_of([([3.5], [0.5])], first=10, messages=True), tables[2]]
    manifest, written = write(whole, other)
    assert written == [1]
    assert manifest.results == {"measured": 1}, "measurements of other bytes do not stay"
    assert "data-00001-of-00003.arrow" in changed_text(before, manifest)
    assert changed_text(before, before) == ""
    assert write(whole, tables) == (manifest, [])


def test_rows_that_only_a_model_finds_unusable_are_found_again(whole, tables):
    """Without the list of skipped rows, a shard is kept only if as many rows are skipped without a model."""
    lose("skipped.jsonl")(whole)
    stage = open_stage(whole, PLAN, shards=3)
    assert stage.pending() == stage.unlisted() == [0, 2]
    assert not stage.keep_shard(0, SKIPPED[0][:1])
    assert stage.keep_shard(2, SKIPPED[2])
    assert stage.pending() == [0]
    stage.write_shard(0, tables[0], skipped=SKIPPED[0], notes={"truncated": 0})
    assert stage.finish_if_complete(seconds=0.0).results == {"measured": 3}


@pytest.mark.parametrize("harm", ["empty", "cut", "damaged", "another shard's", "no JSON object", "no UTF-8"])
def test_a_damaged_record_is_a_lost_one(tmp_path, tables, harm):
    path = tmp_path / "out"
    write(tmp_path / "clean", tables)
    shutil.copytree(tmp_path / "clean" / "tokenizer", path / "tokenizer")
    shutil.rmtree(path)
    stage = open_stage(path, PLAN, shards=3)
    for index in (0, 1):
        stage.write_shard(index, tables[index], skipped=SKIPPED[index], notes={"truncated": index})
    stage.release()
    record = path / RECORDS / "00001.json"
    content = record.read_text()
    record.write_bytes(
        {
            "empty": b"",
            "cut": content[: len(content) // 2].encode(),
            "damaged": content.replace('"chosen": 3', '"chosen": 4').encode(),
            "another shard's": (path / RECORDS / "00000.json").read_bytes(),
            "no JSON object": b"[" * 100_000,
            "no UTF-8": b"\xff" + content.encode(),
        }[harm]
    )
    assert record.read_text(errors="replace") != content
    again = open_stage(path, PLAN, shards=3)
    assert (again.pending(), again.done()) == ([1, 2], 1)
    _, written = write(path, tables)
    assert written == [1, 2]
    for file in (tmp_path / "clean").glob("[!s]*.*"):
        assert (path / file.name).read_bytes() == file.read_bytes()


@pytest.mark.parametrize("same_size", [True, False])
def test_a_shard_that_changed_between_a_kill_and_the_next_run_is_made_again(tmp_path, tables, same_size):
    write(tmp_path / "clean", tables)
    path = tmp_path / "out"
    stage = open_stage(path, PLAN, shards=3)
    for index in (0, 1):
        stage.write_shard(index, tables[index], skipped=SKIPPED[index], notes={"truncated": index})
    stage.release()
    if same_size:
        flip(path)
    else:
        with (path / "data-00001-of-00003.arrow").open("ab") as file:
            file.write(b"x")
    manifest, written = write(path, tables)
    assert written == [1, 2]
    assert everything(path).keys() == everything(tmp_path / "clean").keys()
    assert damage(path, manifest) == []


def test_a_shard_that_changes_while_the_run_goes_on_is_never_finished_with_a_false_hash(tmp_path, tables):
    path = tmp_path / "out"
    stage = open_stage(path, PLAN, shards=3)
    for index in range(3):
        stage.write_shard(index, tables[index], skipped=SKIPPED[index], notes={"truncated": index})
    flip(path)
    with pytest.raises(SepoError, match=r"data-00001-of-00003\.arrow of .* changed after it was written"):
        stage.finish_if_complete(seconds=0.0)
    stage.release()
    manifest, written = write(path, tables)
    assert written == [1]
    assert damage(path, manifest) == []


def test_a_copy_of_an_incomplete_dataset_goes_on(tmp_path, tables):
    """Its files are new, so that they are hashed; they are the same, so that they are kept."""
    stage = open_stage(tmp_path / "out", PLAN, shards=3)
    stage.write_shard(1, tables[1], skipped=SKIPPED[1], notes={"truncated": 1})
    stage.release()
    shutil.copytree(tmp_path / "out", tmp_path / "copy")
    assert write(tmp_path / "copy", tables)[1] == [0, 2]


def test_a_dataset_in_a_store(store, tables, tmp_path):
    out = location(store) / "out"
    manifest, _ = write(out, tables)
    local = fetched(out, recursive=True)
    before = everything(local)
    harmed = shutil.copytree(local, tmp_path / "local")
    lose("skipped.jsonl", "tokenizer")(harmed)
    cut(harmed)
    after = everything(harmed)
    for name, content in before.items():
        if name not in after:
            (out / name).unlink()
        elif after[name] != content:
            (out / name).write_bytes(after[name])
    assert write(out, tables) == (manifest, [1])
    assert everything(fetched(out, recursive=True)) == before


def test_a_dataset_in_a_store_is_compared_by_names_and_sizes(store, tables, monkeypatch):
    """Hundreds of late workers find that nothing is left to do: none of them downloads the dataset."""
    out = location(store) / "out"
    manifest, _ = write(out, tables)
    monkeypatch.setattr("sepo_data.readers.shard_faults.fetched", None)
    assert write(out, tables) == (manifest, [])
