"""A single file: its format by the suffix, complete or absent, never replaced unasked."""

import pytest

from sepo_data.analysis.output_file import format_of, new_file
from sepo_data.errors import RefusedError, SepoError


def test_the_suffix_is_the_format(tmp_path):
    formats = {".svg": "svg", ".txt": "table"}
    assert format_of(tmp_path / "a.svg", formats) == format_of(tmp_path / "a.SVG", formats) == "svg"
    for name in ("a.png", "a", "svg", ".svg", "a.svg.gz"):
        with pytest.raises(SepoError, match="no format has the suffix") as caught:
            format_of(tmp_path / name, formats)
        assert caught.value.hint == "end it in .svg, .txt"
        assert caught.value.exit_code == 1


def test_a_file_is_replaced_only_with_overwrite(tmp_path):
    file = tmp_path / "a.svg"
    (tmp_path / "link.svg").symlink_to(tmp_path / "nowhere")
    with new_file(file, overwrite=False) as stream:
        stream.write(b"first")
    for taken in (file, tmp_path / "link.svg"):
        with pytest.raises(RefusedError) as caught, new_file(taken, overwrite=False, option="--svg"):
            pass
        assert str(caught.value) in {f"{taken} exists", f"{taken} is not a file"}
    assert file.read_bytes() == b"first"
    with new_file(file, overwrite=True) as stream:
        stream.write(b"second")
    assert file.read_bytes() == b"second"
    with pytest.raises(RefusedError, match="is not a file"), new_file(tmp_path, overwrite=True):
        pass


def test_a_failure_leaves_what_was_there(tmp_path):
    file = tmp_path / "a.svg"
    file.write_bytes(b"first")
    with pytest.raises(TypeError), new_file(file, overwrite=True) as stream:
        stream.writelines([b"second", None])
    assert [path.name for path in tmp_path.iterdir()] == ["a.svg"]
    assert file.read_bytes() == b"first"


def test_what_a_killed_command_left_in_the_folder_is_removed(tmp_path):
    (tmp_path / "other.csv.0123abcd.sepo-tmp").write_bytes(b"half")
    with new_file(tmp_path / "a.svg", overwrite=False) as stream:
        stream.write(b"whole")
    assert [file.name for file in tmp_path.iterdir()] == ["a.svg"]
