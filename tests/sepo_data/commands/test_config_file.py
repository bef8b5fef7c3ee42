"""Options from a TOML file."""

import pytest

from sepo_data.commands.config_file import read_config
from sepo_data.errors import SepoError

KNOWN = {
    "score": {"beta": False, "max_length": False, "ref": False},
    "select": {"chosen": False, "rejected": False, "skip": False, "grid": True},
}


def read(tmp_path, text):
    path = tmp_path / "sepo.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_config(path, KNOWN)


def test_dashes_and_underscores_are_the_same(tmp_path):
    assert read(tmp_path, '[score]\nbeta = 0.1\nmax-length = 5\nref = "ä"\n[select]\nchosen = "30%"\n') == {
        "score": {"beta": 0.1, "max_length": 5, "ref": "ä"},
        "select": {"chosen": "30%"},
    }
    assert read(tmp_path, "") == {}


def test_lists_are_what_the_command_line_would_give(tmp_path):
    assert read(tmp_path, '[select]\nskip = ["punctuation", "template"]\ngrid = ["chosen=10%", "rejected=20%"]\n') == {
        "select": {"skip": "punctuation,template", "grid": ["chosen=10%", "rejected=20%"]}
    }
    assert read(tmp_path, '[select]\ngrid = "chosen=10%"\n') == {"select": {"grid": ["chosen=10%"]}}


def test_all_unknown_keys_come_at_once_with_guesses(tmp_path):
    with pytest.raises(SepoError) as caught:
        read(tmp_path, "beta = 1\n[scor]\nx = 1\n[score]\nbeat = 1\nbeta = 2\nzzz = 3\n[select]\nchsen = 1\n")
    assert str(caught.value).endswith("has unknown keys: beta, scor, score.beat, score.zzz, select.chsen")
    assert caught.value.hint == (
        "for scor, did you mean score?; for score.beat, did you mean beta?; for select.chsen, did you mean chosen?"
    )


def test_a_command_that_is_no_table(tmp_path):
    with pytest.raises(SepoError, match=r"unknown keys: score$"):
        read(tmp_path, "score = 3")


@pytest.mark.parametrize("text", ["[score", "beta: 1", b"\xff", "[score]\nbeta = 1\nbeta = 2"])
def test_what_is_no_toml(tmp_path, text):
    with pytest.raises(SepoError, match="is not TOML") as caught:
        read(tmp_path, text)
    assert "[score]" in caught.value.hint


def test_what_is_no_file(tmp_path):
    with pytest.raises(SepoError, match="does not exist"):
        read_config(tmp_path / "sepo.toml", KNOWN)
    with pytest.raises(SepoError, match="cannot be read: Is a directory"):
        read_config(tmp_path, KNOWN)
