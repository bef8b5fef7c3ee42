"""Starting a run: what is resumed, what is refused, what `overwrite` replaces."""

import shutil

import pytest

from sepo_data.errors import RefusedError
from sepo_data.schemas.folder import RECORDS
from sepo_data.schemas.stages import Stage
from sepo_data.stages import runs
from sepo_data.stages.directory import read_manifest
from sepo_data.stages.runs import exclusive_run, find_run, open_run
from sepo_data.stages.writer import open_stage
from sepo_data.storage.atomic import SUFFIX, write_text
from tests.sepo_data.stages.test_writer import OTHER, PLAN, content, write


@pytest.mark.parametrize("complete", [False, True])
def test_another_plan_is_refused_with_its_keys(tmp_path, tables, complete):
    path = tmp_path / "out"
    stage = open_stage(path, PLAN, shards=3)
    stage.write_shard(0, tables[0])
    if complete:
        write(path, tables)
    (path / f"data{SUFFIX}").touch()
    before = content(path)
    with pytest.raises(RefusedError) as caught:
        open_stage(path, OTHER, shards=3)
    assert str(caught.value) == (
        f"{path} holds another rewards run; what differs (there -> here):\n  options.beta: 0.1 -> 0.2"
    )
    assert "--overwrite" in caught.value.hint
    assert content(path) == before, "not even a temporary file is touched: another run may be writing it"


def test_a_run_that_failed_before_any_work_does_not_block_another(tmp_path):
    path = tmp_path / "out"
    open_stage(path, PLAN, shards=3)
    (path / "tokenizer").mkdir()
    assert open_stage(path, OTHER, shards=3).manifest.differing_keys(OTHER) == []


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["notes.txt", f"notes.txt{SUFFIX}", f"inner/notes.txt{SUFFIX}", "state.json"])
def test_a_foreign_directory_is_refused_and_untouched(tmp_path, overwrite, name):
    file = tmp_path / "mine" / name
    file.parent.mkdir(parents=True)
    file.write_text("precious")
    with pytest.raises(RefusedError, match="holds something that sepo did not write"):
        open_run(tmp_path / "mine", PLAN, overwrite=overwrite)
    assert content(tmp_path / "mine") == {file.name: b"precious"}
    assert not (tmp_path / "mine" / "sepo.json").exists()


def test_the_parent_of_a_grid_is_refused_and_named(tmp_path, tables):
    for name in ("a", "b"):
        write(tmp_path / "grid" / name, tables)
    for overwrite in (False, True):
        with pytest.raises(RefusedError, match=r"holds stage directories \(a, b\)"):
            open_run(tmp_path / "grid", PLAN, overwrite=overwrite)


@pytest.mark.parametrize("finished", [False, True])
def test_a_run_that_begins_while_another_process_lists_the_directory_is_no_foreign_one(
    tmp_path, tables, monkeypatch, finished
):
    """Between two looks at one directory another process may have started the run, or finished it."""
    (tmp_path / RECORDS).mkdir()

    def while_another_process_works(entry):
        monkeypatch.undo()
        if finished:
            write(tmp_path, tables)
        else:
            open_stage(tmp_path, PLAN, shards=3).write_shard(0, tables[0])
        return runs._begins_a_run(entry)

    monkeypatch.setattr(runs, "_begins_a_run", while_another_process_works)
    assert find_run(tmp_path, PLAN).complete is finished


def test_a_run_that_is_no_dataset_has_its_directory_to_itself(tmp_path):
    path, plan = tmp_path / "policy", PLAN.model_copy(update={"stage": Stage.POLICY})
    with exclusive_run(path, plan) as started:
        for overwrite in (False, True):
            for begin in (find_run, open_run):
                with pytest.raises(RefusedError, match="another process is writing"):
                    begin(path, plan, overwrite=overwrite)
    assert list(path.iterdir()) == [path / "sepo.json"]
    with exclusive_run(path, plan) as again:
        assert again == started, "a later run resumes"
    (path / "sepo.json").write_text(started.model_copy(update={"complete": True}).to_json())
    with pytest.raises(RefusedError, match="another process has finished"), exclusive_run(path, plan):
        pytest.fail("nothing is left to do")
    assert list(path.iterdir()) == [path / "sepo.json"]


def test_a_run_that_loses_its_directory_tells_why_it_ended(tmp_path):
    path, plan = tmp_path / "policy", PLAN.model_copy(update={"stage": Stage.POLICY})

    def run():
        with exclusive_run(path, plan):
            shutil.rmtree(path)
            path.touch()
            raise ValueError("the real reason")

    with pytest.raises(ValueError, match="the real reason"):
        run()


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "out").write_text("precious")
    with pytest.raises(RefusedError, match="is a file"):
        open_run(tmp_path / "out", PLAN, overwrite=True)
    assert (tmp_path / "out").read_text() == "precious"


def test_overwrite_replaces_all_of_another_run_and_no_more(tmp_path, tables):
    path = tmp_path / "parent" / "out"
    write(path, tables)
    (path.parent / "beside").touch()
    stage = open_stage(path, OTHER, shards=1, overwrite=True)
    assert stage.pending() == [0]
    assert {file.name for file in path.iterdir()} == {"sepo.json", ".sepo"}
    assert read_manifest(path).options == {"beta": 0.2}
    assert (path.parent / "beside").exists()


def test_overwrite_starts_the_same_plan_anew_as_well(tmp_path, tables):
    write(tmp_path / "out", tables)
    assert open_stage(tmp_path / "out", PLAN, shards=3, overwrite=True).pending() == [0, 1, 2]


def test_overwrite_behind_a_symbolic_link(tmp_path, tables):
    write(tmp_path / "real", tables)
    (tmp_path / "link").symlink_to("real")
    write_text(tmp_path / "beside", "precious")
    assert open_stage(tmp_path / "link", OTHER, shards=1, overwrite=True).pending() == [0]
    assert (tmp_path / "link").is_symlink()
    assert {file.name for file in (tmp_path / "real").iterdir()} == {"sepo.json", ".sepo"}


def test_overwrite_never_deletes_what_is_read(tmp_path, tables, monkeypatch):
    write(tmp_path / "rewards", tables)
    (tmp_path / "rewards" / "inner").mkdir()
    before = content(tmp_path / "rewards")
    monkeypatch.chdir(tmp_path)
    for source in (tmp_path / "rewards", (tmp_path / "rewards").relative_to(tmp_path), tmp_path / "rewards" / "inner"):
        plan = OTHER.model_copy(update={"input": OTHER.input.model_copy(update={"name": str(source)})})
        with pytest.raises(RefusedError, match=r"--overwrite would delete .*rewards.*, which this run reads"):
            open_run(tmp_path / "rewards", plan, overwrite=True)
    assert content(tmp_path / "rewards") == before


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("there", list(Stage))
@pytest.mark.parametrize("wanted", list(Stage))
def test_another_stage_is_refused_whatever_the_flags(tmp_path, tables, there, wanted, overwrite):
    """A typo in --out: neither a complete run of another stage is replaced, nor one that has only begun."""
    for path, complete in ((tmp_path / "begun", False), (tmp_path / "complete", True)):
        plan = PLAN.model_copy(update={"stage": there, "complete": complete})
        path.mkdir()
        (path / "precious").write_text("x")
        write_text(path / "sepo.json", plan.to_json())
        new = OTHER.model_copy(update={"stage": wanted})
        if there is not wanted:
            for begin in (find_run, open_run):
                with pytest.raises(RefusedError, match=f"{path} holds {there}, not {wanted}") as caught:
                    begin(path, new, overwrite=overwrite)
                assert caught.value.hint == f"choose another --out; --overwrite replaces {wanted} only"
            assert content(path) == {"precious": b"x"}
        elif overwrite:
            assert open_run(path, new, overwrite=True).options == OTHER.options


@pytest.mark.parametrize("inner", ["selection", "grid/top"])
def test_overwrite_never_deletes_a_directory_inside(tmp_path, tables, inner):
    path = tmp_path / "rewards"
    write(path, tables)
    write(path / inner, tables, PLAN.model_copy(update={"stage": Stage.REWARDS}))
    before = content(path)
    with pytest.raises(RefusedError, match=f"--overwrite would delete {path / inner} as well"):
        open_run(path, OTHER, overwrite=True)
    assert content(path) == before


def test_a_run_killed_at_its_first_write_begins_again(tmp_path):
    (tmp_path / f"sepo.json.0a1b2c3d{SUFFIX}").write_text("{")
    assert open_run(tmp_path, PLAN).fingerprint == PLAN.fingerprint
    assert {file.name for file in tmp_path.iterdir()} == {"sepo.json", ".sepo"}
