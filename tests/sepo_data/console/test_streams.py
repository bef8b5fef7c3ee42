"""Streams that escape what is written to them, whoever writes it."""

import io
import sys

import pytest

from sepo_data.console.streams import Escaping, below, guard_streams
from sepo_data.console.text import printable
from tests.fixtures.hostile import HOSTILE, unsafe


class Screen(io.BytesIO):
    """A terminal."""

    def isatty(self):
        return True


def stream(buffer, encoding="utf-8"):
    return io.TextIOWrapper(buffer, encoding=encoding, write_through=True)


@pytest.mark.parametrize("name", ["stdout", "stderr"])
@pytest.mark.parametrize("terminal", [True, False])
def test_standard_error_is_always_escaped_and_standard_output_on_a_terminal(monkeypatch, name, terminal):
    raw = Screen() if terminal else io.BytesIO()
    monkeypatch.setattr(sys, name, stream(raw))
    guard_streams()
    guarded = getattr(sys, name)
    guard_streams()
    assert getattr(sys, name) is guarded
    text = "".join(HOSTILE.values())
    print(text, file=guarded)
    exact = name == "stdout" and not terminal
    assert raw.getvalue().decode() == f"{text if exact else printable(text)}\n"
    assert guarded.isatty() is terminal


def test_bytes_are_escaped_like_text(monkeypatch):
    raw = Screen()
    monkeypatch.setattr(sys, "stdout", stream(raw))
    guard_streams()
    for byte in "é\x9b31m\n".encode() + b"\xff":
        sys.stdout.buffer.write(bytes([byte]))
    assert raw.getvalue().decode() == "é\\x9b31m\n\\xff"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252"])
def test_other_encodings_of_terminals(monkeypatch, encoding):
    raw = Screen()
    monkeypatch.setattr(sys, "stdout", stream(raw, encoding))
    guard_streams()
    sys.stdout.write("ä\x9b31m日\n")
    shown = raw.getvalue().decode(encoding)
    assert unsafe(shown) == ""
    assert shown.endswith("\\x9b31m\\u65e5\n")


def test_text_with_colours_of_ours_goes_below(monkeypatch):
    raw = Screen()
    monkeypatch.setattr(sys, "stdout", below_it := stream(raw))
    guard_streams()
    assert below(sys.stdout) is below_it
    assert below(below_it) is below_it
    assert below(None) is None


def test_closing_leaves_the_stream_below_open():
    sink = io.StringIO()
    with Escaping(sink, printable) as escaping:
        escaping.write(b"a\x1b")
    assert sink.getvalue() == "a\\x1b"
