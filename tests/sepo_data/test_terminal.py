"""Progress on standard error: lines where nobody watches, a bar where somebody does, and data is never markup."""

import io

import pytest
from rich.console import Console

from sepo_data.terminal import Terminal


def test_plain_lines(capsys):
    with Terminal() as terminal:
        terminal.note("[red]note[/] [/nothing] :smile:")
        terminal.step(3, 12, "4 pairs [INST]")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "[red]note[/] [/nothing] :smile:\n 3/12  4 pairs [INST]\n"


def test_long_notes_are_not_wrapped(capsys):
    Terminal().note("x" * 500)
    assert capsys.readouterr().err == "x" * 500 + "\n"


def test_quiet(capsys):
    with Terminal(quiet=True) as terminal:
        terminal.note("a")
        terminal.step(1, 2, "b")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("text", ["4 pairs [INST]", "[/]", "\\[x]", "[red]x"])
def test_a_bar(monkeypatch, text):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=100, highlight=False)
    monkeypatch.setattr("sepo_data.terminal.Console", lambda **_: console)
    with Terminal() as terminal:
        terminal.step(1, 2, text)
        terminal.note("between [/]")
        terminal.step(2, 2, text)
    assert "2/2" in screen.getvalue()
    assert text in screen.getvalue()
    assert "between [/]" in screen.getvalue()


def test_no_bars_on_a_terminal(monkeypatch):
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, highlight=False, soft_wrap=True)
    monkeypatch.setattr("sepo_data.terminal.Console", lambda **_: console)
    with Terminal(bars=False) as terminal:
        terminal.step(1, 2, "a")
    assert screen.getvalue() == "1/2  a\n"
