"""Lines, values, notes, JSON and tracebacks: a line is a line, and what is for programs is exact."""

import json
import os
import sys

import pytest

from sepo_data.console import output
from sepo_data.errors import SepoError
from tests.fixtures.hostile import ALL, forged, unsafe


def test_lines_and_notes(capsys):
    output.print_lines(["a", ALL])
    output.print_notes([ALL, "b"])
    out, err = capsys.readouterr()
    assert out.startswith("a\n")
    assert err.endswith("\nb\n")
    for text in (out, err):
        assert text.count("\n") == 2
        assert unsafe(text) == ""


@pytest.mark.parametrize("terminal", [True, False])
def test_values_and_json(capsys, monkeypatch, terminal):
    monkeypatch.setattr(output, "on_terminal", lambda: terminal)
    output.print_values([ALL])
    value = capsys.readouterr().out
    output.print_json({ALL: ALL})
    text = capsys.readouterr().out
    assert json.loads(text) == {ALL: ALL}
    if terminal:
        assert unsafe(value + text) == ""
        assert value.count("\n") == 1
    else:
        assert value == f"{ALL}\n"
        assert text == json.dumps({ALL: ALL}) + "\n"


def test_a_path_that_is_no_text_is_exact_in_a_pipe(capfdbinary):
    output.print_values([os.fsdecode(b"a\xff"), "\xe4"])
    sys.stdout.flush()
    assert capfdbinary.readouterr().out == b"a\xff\n\xc3\xa4\n"


def test_a_message_in_a_traceback_begins_no_line(capsys):
    def fail(error, cause=None):
        raise error from cause

    try:
        fail(ValueError(f"second\n\n{ALL}"), SepoError(f"first {ALL}", details=["one"]))
    except ValueError:
        output.print_traceback()
    text = capsys.readouterr().err
    assert forged(text) == []
    assert "sepo_data.errors.SepoError: first" in text
    assert "\nThe above exception was the direct cause of the following exception:\n\nTraceback" in text


def test_details_of_an_error_are_lines_of_their_own():
    error = SepoError("two problems:", "mend them", details=["a", "b\nc"])
    assert error.lines == ["two problems:", "  a", "  b\nc"]
    assert str(error) == "two problems:\n  a\n  b\nc"
