"""Files of a folder of a stage directory: the folders inside of it as well, and those that are no longer saved."""

from sepo_data.schemas.manifest import InputRecord, Manifest
from sepo_data.schemas.stages import Stage
from sepo_data.stages.folder_files import file_hashes, recorded_files, saved_files, write_files

PLAN = Manifest(stage=Stage.REWARDS, input=InputRecord(name="toy", fingerprint="f", rows=6))


def save(folder):
    (folder / "tokenizer.json").write_text("{}")
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "tools.jinja").write_text("x")


def test_files_are_written_once_and_again_where_they_differ(tmp_path):
    files = {f"tokenizer/{name}": content for name, content in saved_files(save).items()}
    names = ["tokenizer/additional_chat_templates/tools.jinja", "tokenizer/tokenizer.json"]
    assert sorted(files) == names
    assert sorted(write_files(tmp_path, PLAN, files)) == names
    assert write_files(tmp_path, PLAN, files) == []
    (tmp_path / names[0]).write_text("y")
    assert write_files(tmp_path, PLAN, files) == names[:1]
    recorded = PLAN.model_copy(update={"files": file_hashes(files)})
    assert recorded_files(tmp_path, recorded) == recorded.files


def test_files_without_a_record_go_where_they_would_be_loaded(tmp_path):
    files = {f"tokenizer/{name}": content for name, content in saved_files(save).items()}
    recorded = PLAN.model_copy(update={"files": file_hashes(files)})
    write_files(tmp_path, recorded, files)
    for name in ("added_tokens.json", "LICENSE"):
        (tmp_path / "tokenizer" / name).write_text("{}")
    assert recorded_files(tmp_path, recorded) == {}
    assert write_files(tmp_path, recorded, files) == []
    assert not (tmp_path / "tokenizer" / "added_tokens.json").exists()
    assert (tmp_path / "tokenizer" / "LICENSE").exists()
    assert recorded_files(tmp_path, recorded) == recorded.files
