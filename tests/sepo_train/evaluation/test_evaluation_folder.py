"""The directory of an evaluation: one writer, begun again after a kill, and nothing of anybody else is deleted."""

import pytest

from sepo_data.errors import RefusedError
from sepo_data.storage.locks import try_lock
from sepo_train.evaluation.evaluation_folder import EVALUATION, emptied, evaluation_folder, refuse_existing

RECORDS = ".sepo"


def names(out):
    return sorted(str(file.relative_to(out)) for file in out.rglob("*"))


def write(out, *, overwrite=False):
    with evaluation_folder(out, overwrite=overwrite):
        (emptied(out) / EVALUATION).write_text("{}")


def killed(out, *files):
    """What a process that was killed leaves."""
    for file in (f"{RECORDS}/directory.lock", *files):
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        (out / file).write_text("")


def test_a_complete_evaluation_has_no_lock_and_is_refused(tmp_path):
    out = tmp_path / "out"
    write(out)
    assert names(out) == [EVALUATION]
    with pytest.raises(RefusedError, match="holds an evaluation"):
        refuse_existing(out, overwrite=False)
    write(out, overwrite=True)
    assert names(out) == [EVALUATION]


@pytest.mark.parametrize("left", [(), ("alpaca_eval/a.json",), ("alpaca_eval/b.json", "evaluation.json.1a.sepo-tmp")])
def test_a_killed_evaluation_is_begun_again(tmp_path, left):
    killed(tmp_path, *left)
    refuse_existing(tmp_path, overwrite=False)
    write(tmp_path)
    assert names(tmp_path) == [EVALUATION]


def test_a_kill_at_the_very_end_leaves_nothing_behind(tmp_path):
    killed(tmp_path, EVALUATION, "evaluation.json.1a.sepo-tmp")
    with pytest.raises(RefusedError, match="holds an evaluation"):
        refuse_existing(tmp_path, overwrite=False)
    assert names(tmp_path) == [EVALUATION]


@pytest.mark.parametrize("foreign", ["notes.txt", "sepo.json"])
def test_a_foreign_file_is_never_deleted(tmp_path, foreign):
    killed(tmp_path, foreign)
    for overwrite in (False, True):
        with pytest.raises(RefusedError, match="no evaluation"):
            refuse_existing(tmp_path, overwrite=overwrite)
    assert (tmp_path / foreign).exists()


def test_answers_of_another_tool_are_not_taken_for_leftovers(tmp_path):
    (tmp_path / "alpaca_eval").mkdir()
    with pytest.raises(RefusedError, match="holds an evaluation"):
        refuse_existing(tmp_path, overwrite=False)


def test_a_second_process_is_refused_and_deletes_nothing(tmp_path):
    killed(tmp_path, "alpaca_eval/a.json")
    lock = try_lock(tmp_path / RECORDS / "directory.lock")
    with pytest.raises(RefusedError, match="another process is writing"):
        write(tmp_path)
    lock.release()
    assert "alpaca_eval/a.json" in names(tmp_path)


def test_an_evaluation_that_fails_leaves_no_folder_or_what_it_had_written(tmp_path):
    out = tmp_path / "out"
    with pytest.raises(FileNotFoundError), evaluation_folder(out, overwrite=False):
        (out / "no folder" / "a.json").write_text("")
    assert not out.exists()
    with pytest.raises(FileExistsError), evaluation_folder(out, overwrite=False):
        [(out / "alpaca_eval").mkdir() for _ in range(2)]
    write(out)
    assert names(out) == [EVALUATION]


def test_without_a_directory_nothing_is_locked():
    with evaluation_folder(None, overwrite=False):
        pass
