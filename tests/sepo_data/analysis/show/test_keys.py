"""Keys from bytes: in one piece, cut anywhere, unknown, and endless."""

import pytest

from sepo_data.analysis.show.keys import LONGEST_PASTE, Keys, Pasted

SENT = {
    b"n": ["n"],
    b" ": [" "],
    b"\r": ["enter"],
    b"\n": ["enter"],
    b"\x7f\b\x15\x04": ["backspace", "backspace", "clear", "end of file"],
    b"\x1b[A\x1b[B\x1b[C\x1b[D": ["up", "down", "right", "left"],
    b"\x1bOA\x1bOB\x1bOC\x1bOD": ["up", "down", "right", "left"],
    b"\x1b[H\x1b[F\x1bOH\x1bOF": ["home", "end", "home", "end"],
    b"\x1b[1~\x1b[4~\x1b[7~\x1b[8~": ["home", "end", "home", "end"],
    b"\x1b[5~\x1b[6~\x1b[5;2~": ["page up", "page down", "page up"],
    b"\x1b[1;5C": ["right"],
    "ä日🙂".encode(): ["ä", "日", "🙂"],
    b"\x1b[3~\x1b[15~\x1b[Z\x1b[<0;3;4Mq": ["q"],
    b"\x1bq": ["escape", "q"],
    b"\x1b\x1b[A": ["escape", "up"],
    b"p\x1b[200~quit\nq\x1b[C \x1b[201 \xc3\xa9\x1b[201~q": [
        "p",
        Pasted("quit\nq\x1b[C \x1b[201 é"),
        "q",
    ],
}


@pytest.mark.parametrize("sent", SENT)
def test_keys_in_one_piece_and_byte_by_byte(sent):
    assert Keys().feed(sent) == SENT[sent]
    keys = Keys()
    assert [key for byte in sent for key in keys.feed(bytes([byte]))] == SENT[sent]
    assert not keys.waits


def test_the_escape_key_is_one_that_nothing_follows():
    keys = Keys()
    assert keys.feed(b"\x1b") == []
    assert keys.waits
    assert keys.flush() == ["escape"]
    assert not keys.waits
    assert keys.flush() == []


def test_no_bytes_are_kept_for_ever():
    keys = Keys()
    for _ in range(1000):
        keys.feed(b"\x1b[" + b"1;" * 50)
    assert len(keys._rest) < 200
    assert keys.feed(b"\xff\xfeq")[-1] == "q"


def test_pasted_text_waits_for_its_end_and_is_bounded():
    keys = Keys()
    assert keys.feed(b"\x1b[200~a\x1b") == []
    assert not keys.waits, "no escape key"
    for _ in range(100):
        assert keys.feed(b"x" * 1000) == []
    [pasted] = keys.feed(b"\x1b[201~")
    assert isinstance(pasted, Pasted)
    assert len(pasted) == LONGEST_PASTE
    assert keys.feed(b"q") == ["q"]
