"""Progress on standard error: lines where nobody watches, a bar where somebody does, and data is never markup."""

import io

import pytest
from rich.console import Console

from sepo_data.console.terminal import Terminal


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
    monkeypatch.setattr("sepo_data.console.terminal.Console", lambda **_: console)
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
    monkeypatch.setattr("sepo_data.console.terminal.Console", lambda **_: console)
    with Terminal(bars=False) as terminal:
        terminal.step(1, 2, "a")
    assert screen.getvalue() == "1/2  a\n"


STEP = {
    "loss": 0.51234,
    "rewards/margins": 0.25,
    "rewards/accuracies": 0.75,
    "tokens/selected_fraction": 0.3,
    "learning_rate": 1e-5,
}
EVALUATION = {"eval_loss": 0.6, "eval_rewards/accuracies": 0.5, "eval_all/accuracies": 0.25}


def test_metrics_in_plain_lines(capsys):
    with Terminal() as terminal:
        terminal.metrics(3, 12, STEP)
        terminal.metrics(3, 12, EVALUATION)
        terminal.metrics(4, 12, EVALUATION | {"eval_kl": 0.0123, "eval_length": 40.0})
    assert capsys.readouterr().err.splitlines() == [
        " 3/12  loss 0.5123  margin 0.250  accuracy 75%",
        " 3/12  holdout: loss 0.6000  accuracy 50%, on all tokens 25%",
        " 4/12  holdout: loss 0.6000  accuracy 50%, on all tokens 25%  kl 0.012  length 40.0",
    ]


def test_metrics_in_a_table(monkeypatch):
    """The last ten steps, the last evaluations below them, and a bar; what is noted in between stays."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120, highlight=False)
    monkeypatch.setattr("sepo_data.console.terminal.Console", lambda **_: console)
    with Terminal() as terminal:
        for step in range(1, 13):
            terminal.metrics(step, 12, STEP | {"loss": step / 100})
        terminal.note("between [/]")
        terminal.metrics(12, 12, EVALUATION)
    last = screen.getvalue().rpartition("training")[2]
    for text in ("0.0300", "0.1200", "selected_fraction", "30%", "75%", "holdout", "0.6000", "12/12"):
        assert text in last, text
    assert "0.0200" not in last
    assert "between [/]" in screen.getvalue()
