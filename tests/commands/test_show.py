"""`sepo show` as it is used: paged through by keys in a terminal, printed where there is none, or refused."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from functools import partial
from pathlib import Path

import pyarrow as pa
import pytest

from sepo_data.schemas.manifest import InputRecord, Manifest, TokenizerRecord
from sepo_data.schemas.stages import Stage
from sepo_data.selection.select import select
from sepo_data.stages.scan import scan
from sepo_data.stages.writer import open_stage
from tests.fixtures.commands import SEPO

TOKENS = "2 of 7 tokens"


def opened(window, *arguments, words=("1 of 3",), **settings):
    """A window with the browser in it."""
    made = window("show", *arguments, **settings)
    made.until(*words)
    return made


def ended(window, code=0):
    """Wait for the end of the process; the terminal is as it was."""
    assert window.end() == code
    assert not window.grid.alternate
    assert window.attributes == window.before
    assert window.received.endswith(b"\x1b[?25h\x1b[?7h\x1b[?2004l\x1b[?1049l")


def test_a_pair_and_its_selection_are_on_the_screen(window, selected):
    screen = opened(window, selected)
    assert screen.grid.alternate
    assert screen.attributes != screen.before
    text = screen.until("pair 0  0000000000000000  margin +4.250  seen by the oracle", "q quit")
    assert "chosen  reward +2.250  1 of 5 tokens selected" in text
    assert "rejected  reward -2.000  1 of 2 tokens selected" in text
    assert "1 of 3  sort row ascending" in text
    # 2.0 and -3.0 of 0.5, 0.25, 2, 1, 1, 1, 3 are selected.
    assert f"stored masks: {TOKENS}, 57.1% of |reward|, margin of the selected +5.000" in text
    screen.press("q")
    ended(screen)


def test_every_key(window, scored):
    screen = opened(window, scored, columns=120)
    for keys, place in [
        ("n", 2), (" ", 3), ("p", 2), ("b", 1), ("\x1b[C", 2), ("\x1bOC", 3), ("\x1b[D", 2),
        ("\x1b[F", 3), ("\x1b[H", 1), ("G", 3), ("g", 1),
    ]:  # fmt: skip
        screen.press(keys)
        screen.until(f"{place} of 3  sort")
    screen.press("p")
    screen.until("this is the first pair")
    screen.press("?")
    assert "q quit" not in screen.until("K of chosen less, more", "any other key goes back")
    screen.press("q")
    screen.until("1 of 3", "K 30% chosen, 30% rejected")
    for keys, shares in [("c", "25%/30%"), ("CC", "35%/30%"), ("r", "35%/25%"), ("RR", "35%/35%"),
                         ("-", "30%/30%"), ("+++", "45%/45%"), ("cccccccccc", "1%/45%"),
                         ("RRRRRRRRRRRR", "1%/100%")]:  # fmt: skip
        screen.press(keys)
        screen.until("K {} chosen, {} rejected".format(*shares.split("/")))
    screen.until("rejected  reward -2.000  2 of 2 tokens selected")
    for sort in ("margin ascending", "reward descending", "length descending", "row ascending"):
        screen.press("s")
        screen.until(f"sort {sort}")
    screen.press("S")
    screen.until("sort row descending", "pair 2")
    screen.press("/Q1\r")
    screen.until("1 of 1", "find 'Q1'", "pair 1")
    screen.press("/nowhere\r")
    screen.until("no pair has the text 'nowhere'", "1 of 1")
    screen.press("/half")
    screen.until("find: half_")
    screen.press("\x1b")
    screen.until("1 of 1", gone="find: half")
    screen.press("/\r")
    screen.until("of 3", gone="find 'Q1'")
    screen.press("q")
    ended(screen)


def test_k_is_selected_again_as_select_does(window, scored, selected, tmp_path):
    screen = opened(window, selected)
    screen.press("CC")
    text = screen.until("re-selected, K 40% / 30%: 3 of 7 tokens")
    select(scored, tmp_path / "s", chosen="40%", rejected="30%")
    expected = scan(tmp_path / "s").collect()["chosen_mask"][0].sum()
    assert expected == 2
    assert f"chosen  reward +2.250  {expected} of 5 tokens selected" in text


def test_a_long_pair_is_scrolled(window, scored):
    screen = opened(window, scored, columns=60, lines=10)
    assert "line 1/" in screen.text
    assert "rejected" not in screen.text.split("1 of 3")[0]
    screen.press("j")
    screen.until("line 2/")
    screen.press("\x1b[B")
    screen.until("line 3/")
    screen.press("k\x1b[A")
    screen.until("line 1/")
    screen.press("\x1b[6~\x1b[6~\x1b[6~")
    screen.until("gains", "strongest")  # the last line
    last = int(re.search(r"line (\d+)/", screen.text)[1])
    screen.press("\x1b[5~")
    screen.until(f"line {last - 5}/")  # of 6 lines, one stays
    screen.press("n")
    screen.until("line 1/", "2 of 3")


def test_the_screen_follows_its_size(window, scored):
    screen = opened(window, scored)
    for columns, lines in [(40, 20), (20, 10), (120, 40), (80, 5), (1, 1), (80, 24)]:
        screen.resize(columns, lines)
        if columns > 1:
            screen.until("1 of 3")
    screen.until("1 of 3", "╭", "q quit")
    screen.press("q")
    ended(screen)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGQUIT, -signal.SIGQUIT)],
)
def test_a_signal_gives_the_terminal_back(window, scored, number, code):
    screen = opened(window, scored)
    screen.process.send_signal(number)
    ended(screen, code)


def test_a_browser_that_waits_takes_no_processor_time(window, scored):
    screen = opened(window, scored, words=("1 of 3", "q quit"))

    def ticks():
        fields = Path(f"/proc/{screen.process.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = ticks()
    time.sleep(1)
    assert ticks() - before <= 10, "of 100 in a second"


def test_pasted_text_is_no_keys(window, scored):
    screen = opened(window, scored)
    assert b"\x1b[?2004h" in screen.received
    screen.press("\x1b[200~quit\rn\x1b[201~")
    screen.until("1 of 3", "press / before you paste")
    screen.press("/\x1b[200~Q1\n\x1b[201~\r")
    screen.until("1 of 1", "find 'Q1'")


def test_the_list_of_keys_is_scrolled_on_a_low_screen(window, scored):
    screen = opened(window, scored, lines=8)
    screen.press("?")
    assert "quit" not in screen.until("next pair", "line 1/13")
    screen.press("\x1b[6~\x1b[6~")
    screen.until("quit", "any other key goes back")
    screen.press("x")
    screen.until("1 of 3")


def test_a_pair_with_other_tokens_is_shown_with_a_note(window, folders, sepo):
    """The second one has, of the same number."""
    screen = opened(window, "same", "late", words=("1 of 2", "disagreement 0.000"), columns=120, lines=30, cwd=folders)
    screen.press("n")
    screen.until("2 of 2", "the two directories have other tokens of this pair", gone="disagreement")
    screen.press("sss")
    screen.until("1 of 2", "sort disagreement descending", "pair 0")
    screen.press("S")
    screen.until("1 of 2", "sort disagreement ascending", "pair 0")  # the other one is last in any order
    pairs = json.loads(sepo("show", "same", "late", "--limit", "2", "--json", cwd=folders).stdout)["pairs"]
    assert [pair["disagreement"] for pair in pairs] == [0.0, None]


def test_interrupt_by_its_key(window, scored):
    screen = opened(window, scored)
    screen.press("\x03")
    ended(screen, 130)


def test_an_error_gives_the_terminal_back_and_is_printed(window, scored, tmp_path):
    """The text of the tokens is read when the first pair is drawn."""
    shutil.copytree(scored, tmp_path / "rewards")
    (tmp_path / "rewards" / "tokenizer" / "tokenizer.json").unlink()
    screen = window("show", "rewards", cwd=tmp_path)
    assert screen.end() == 1
    assert not screen.grid.alternate
    assert screen.attributes == screen.before
    assert "tokenizer.json is missing" in screen.text
    assert "Hint: run the same `sepo score`" in screen.text


def test_end_of_input_ends_it(window, scored):
    screen = opened(window, scored)
    screen.press("\x04")
    ended(screen)


def test_a_suspended_browser_gives_the_terminal_back_and_comes_again(window, scored):
    stopped = "stty -a | grep -o -e '-\\?icanon'; echo SUSPENDED; read line"
    script = f"set -m; '{SEPO}' show '{scored}'; {stopped}; fg; echo END $?"
    screen = window(command=["bash", "-c", script])
    screen.until("1 of 3")
    screen.press("n")
    screen.until("2 of 3")
    screen.press("\x1a")
    screen.until("SUSPENDED")
    assert not screen.grid.alternate
    assert "-icanon" not in screen.text
    screen.press("\r")
    screen.until("2 of 3", "q quit")
    assert screen.grid.alternate
    assert screen.received.count(b"\x1b[?1049h") == 2, "entered once more"
    screen.press("q")
    screen.until("END 0")
    assert not screen.grid.alternate


COLOURS = {
    "256 colours": ({"TERM": "xterm-256color"}, {"48;5"}),
    "true colours": ({"TERM": "xterm-256color", "COLORTERM": "truecolor"}, {"48;2"}),
    "16 colours": ({"TERM": "xterm-color"}, {"30"}),
    "NO_COLOR": ({"NO_COLOR": "1"}, set()),
    "a terminal without colours": ({"TERM": "vt100"}, set()),
}


@pytest.mark.parametrize("name", COLOURS)
def test_colours_are_those_of_the_terminal(window, selected, name):
    variables, expected = COLOURS[name]
    screen = opened(window, selected, **variables)
    text = screen.until("q quit")
    assert bool(screen.grid.colours) == bool(expected)
    assert expected <= screen.grid.colours
    assert ("[.]" in text) == (not expected)
    assert (b"\x1b[1;4;" in screen.received) == bool(expected), "selected tokens are underlined"
    assert ("gains" in text) == bool(expected)
    assert ("----" in text.split("\n")[-3]) == (not expected), "the foot is a bar, or below a line"
    if not expected:
        assert screen.grid.styles == ""


@pytest.mark.parametrize("columns", [20, 30, 40])
def test_narrow_terminals(window, selected, columns):
    screen = opened(window, selected, columns=columns, lines=40, NO_COLOR="1")
    text = screen.until("? keys")
    assert "╭" not in text
    assert "-- chosen" in text
    assert "[.]" in text
    screen.press("q")
    ended(screen)


def test_two_directories_side_by_side(window, scored, scored_otherwise):
    screen = opened(window, scored, scored_otherwise, "--sort", "disagreement", columns=120, lines=30, NO_COLOR="1")
    text = screen.until("sort disagreement descending")
    [heading] = [line for line in text.split("\n") if "rewards  pair" in line]
    assert "rewards_otherwise  pair" in heading
    assert re.search("rewards  K 30% chosen, 30% rejected: 2 of", text)
    first = float(re.search(r"disagreement (\d\.\d+)", text)[1])
    screen.press("G")
    text = screen.until("3 of 3")
    assert first > float(re.search(r"disagreement (\d\.\d+)", text)[1])
    screen.resize(60, 60)
    text = screen.until("rewards  pair", "rewards_otherwise  pair")
    assert not [line for line in text.split("\n") if "rewards  pair" in line and "rewards_otherwise" in line]


def test_a_directory_and_its_selection(window, scored, selected):
    screen = opened(window, scored, selected, columns=120, lines=30)
    screen.until("rewards  K 30% chosen, 30% rejected: ", "selection  stored masks: ", "disagreement 0.000")
    screen.press("-")
    screen.until("rewards  K 25% chosen", "selection  re-selected, K 25% chosen")


def test_start(window, scored):
    """At a pair, in an order, within a condition."""
    screen = opened(window, scored, "--pair", "2", "--sort", "margin", "--where", "margin > 0.5", words=("pair 2",))
    screen.until("1 of 3" if "1 of 3" in screen.text else "of 3", "sort margin ascending")
    screen.press("q")
    ended(screen)


def unfinished(folder, rewards_of, texts):
    plan = Manifest(stage=Stage.REWARDS, input=InputRecord(name="toy", fingerprint="f", rows=4))
    stage = open_stage(folder, plan, shards=2)
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer.json").write_text(texts, encoding="utf-8")
    return stage, partial(stage.write_shard, table=rewards_of([([1.0, 2.0], [0.5]), ([0.5], [1.0])]))


def test_an_unfinished_directory(window, sepo, tmp_path, rewards_of, texts):
    folder = tmp_path / "rewards"
    _, write = unfinished(folder, rewards_of, texts)
    done = sepo("show", folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"Error: {folder} has no finished shard yet\nHint: run the same `sepo score` again" in done.stderr
    write(0)
    done = sepo("show", "rewards", "--pair", "1", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "rewards is unfinished: these are the 2 pairs of 1 finished shard\n")
    assert "pair 1  " in done.stdout
    assert json.loads(sepo("show", folder, "--json").stdout)["margin"] == 2.5
    opened(window, "rewards", words=("1 of 2", "rewards is unfinished: these are the 2 pairs"), cwd=tmp_path)


PRINTED = {
    "": [0],
    "--pair 1": [1],
    "--limit 2": [0, 1],
    "--pair 1 --limit 9": [1, 2],
    "--sort margin --limit 9": [1, 2, 0],
    "--sort margin --descending --limit 9": [0, 2, 1],
    "--sort length --limit 1": [0],
    "--sort length --ascending": [1],
    "--where margin<5_AND_row>1": [2],
    "--find q1 --limit 9": [1],
    "--find Q --where row<>1 --sort reward --limit 9": [2, 0],
}
"""Options, and the pairs that are printed."""


def test_without_a_terminal_one_pair_is_printed_or_as_many_as_are_asked_for(run_commands, scored, selected):
    commands = {
        (folder.name, options): ["show", folder.name, *(word.replace("_", " ") for word in options.split())]
        for folder in (scored, selected)
        for options in PRINTED
    }
    answers = run_commands({" ".join(name): command for name, command in commands.items()}, scored.parent)
    for name in commands:
        code, out, err = answers[" ".join(name)]
        assert (code, err) == (0, "")
        assert list(map(int, re.findall(r"^pair (\d+)  ", out, re.MULTILINE))) == PRINTED[name[1]], name


def test_json(run_commands, scored, scored_otherwise, selected):
    def answer(*arguments):
        code, out, err = run_commands({"": ["show", *arguments, "--json"]}, scored.parent)[""]
        assert (code, err) == (0, "")
        return json.loads(out)

    one = answer(scored, "--pair", "1")
    assert (one["row"], one["margin"], [token["reward"] for token in one["rejected"]]) == (1, 1.25, [-0.5, 0.0, -0.5])
    assert answer(scored, "--pair", "1", "--limit", "1") == {"pairs": [one]}
    assert [pair["row"] for pair in answer(scored, "--limit", "9")["pairs"]] == [0, 1, 2]
    both = answer(scored, scored_otherwise, "--pair", "1")
    assert both["directories"][0] == {"path": str(scored)} | one
    assert both["directories"][1]["rejected"][2]["reward"] == -1.5
    assert both["disagreement"] == pytest.approx(2 / 3)  # the first or the third of rejected
    assert answer(selected)["chosen"] == answer(scored)["chosen"]


def test_limit_prints_on_a_terminal_as_well(window, scored):
    screen = window("show", scored, "--limit", "1", lines=40)
    assert screen.end() == 0
    assert "pair 0" in screen.text
    assert b"\x1b[?1049h" not in screen.received


@pytest.mark.parametrize("arguments", [["--json"], ["--svg", "a.svg"]])
def test_files_and_json_are_not_paged(window, scored, tmp_path, arguments):
    screen = window("show", scored, *arguments, cwd=tmp_path)
    assert screen.end() == 0
    assert b"\x1b[?1049h" not in screen.received
    assert (tmp_path / "a.svg").exists() == ("--svg" in arguments)


@pytest.mark.parametrize("term", ["dumb", "unknown", ""])
def test_a_terminal_that_cannot_be_drawn_on_gets_one_pair(window, scored, term):
    screen = window("show", scored, TERM=term)
    assert screen.end() == 0
    assert "pair 0" in screen.text
    assert b"\x1b[?" not in screen.received


def test_a_closed_pipe_is_no_error(environment, scored):
    command = f"'{SEPO}' show '{scored}' --limit 3 | head -1"
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("pair 0")


@pytest.fixture(scope="module")
def folders(tmp_path_factory, scored, rewards_of, write_rewards, texts):
    """Directories that do not go together with `scored`."""
    folder = tmp_path_factory.mktemp("folders")
    (folder / "rewards").symlink_to(scored)
    table = rewards_of([([0.5], [1.0]), ([0.25], [-0.5])])
    write_rewards(folder / "other_tokens", [table], tokenizer=texts)
    at = table.schema.get_field_index("chosen_ids")
    late = table.set_column(at, table.schema.field(at), pa.array([[10], [13]], table.schema.field(at).type))
    write_rewards(folder / "same", [table], tokenizer=texts)
    write_rewards(folder / "late", [late], tokenizer=texts)
    write_rewards(folder / "no_pair", [rewards_of([([0.5], [1.0])], first=7)], tokenizer=texts)
    for name in ("qwen", "llama"):
        record = TokenizerRecord(name=name, tokenizer=name, chat_template=None, vocabulary=16)
        plan = Manifest(stage=Stage.REWARDS, tokenizer=record, input=InputRecord(name="toy", fingerprint="f", rows=2))
        stage = open_stage(folder / name, plan, shards=1)
        stage.write_folder("tokenizer", lambda path: (path / "tokenizer.json").write_text(texts, encoding="utf-8"))
        stage.write_shard(0, table)
        stage.finish(seconds=0.0)
    return folder


MISTAKES = {
    "no hit": (
        ["rewards", "--find", "nowhere"], 1,
        "Error: no pair has the text 'nowhere'\nHint: it is looked for in prompt, chosen and rejected",
    ),
    "no such column": (["rewards", "--where", "margn > 1"], 1, "Error: --where: there is no column margn"),
    "no such column, suggested": (["rewards", "--where", "margn > 1"], 1, "Hint: did you mean margin?"),
    "no condition": (["rewards", "--where", "DROP TABLE pairs"], 1, "Error: --where: the query cannot be answered"),
    "no file": (["rewards", "--where", "read_csv('x')"], 1, "Error: --where: read_csv: a query reads the given"),
    "no pair meets it": (["rewards", "--where", "margin > 99"], 1, "Error: --where: no pair of rewards meets margin"),
    "not among them": (
        ["rewards", "--where", "margin > 2", "--pair", "1"], 1,
        "Error: pair '1' is not among the 2 that --find and --where leave\nHint: leave --pair out",
    ),
    "no such pair": (["rewards", "--pair", "1" * 5000], 1, f"no pair '{'1' * 200}... (5,000 characters)'"),
    "no other order": (["rewards", "--sort", "colour"], 2, "'colour' is not one of"),
    "disagreement of one": (["rewards", "--sort", "disagreement"], 2, "give another one"),
    "a picture of many": (["rewards", "--svg", "a.svg", "--limit", "2"], 2, "leave --limit out"),
    "no pairs": (["rewards", "--limit", "0"], 2, "Invalid value for '--limit'"),
    "three": (["rewards", "rewards", "rewards"], 2, "Got unexpected extra argument(s) (rewards)"),
    "no common pair": (["rewards", "no_pair"], 1, "Error: rewards and no_pair share no pair\nHint: compare"),
    "another tokenizer": (
        ["qwen", "llama"], 1,
        "nothing can be compared: qwen of qwen, llama of llama\nHint: give directories of one tokenizer",
    ),
    "not in both": (["rewards", "other_tokens", "--pair", "2"], 1, "Error: other_tokens has no pair '2' of rewards"),
    "no directory": (["nothing"], 1, "Error: nothing does not exist"),
}  # fmt: skip


@pytest.fixture(scope="module")
def mistaken(run_commands, folders):
    return run_commands({name: ["show", *arguments] for name, (arguments, *_) in MISTAKES.items()}, folders)


@pytest.mark.parametrize("name", MISTAKES)
def test_mistake(mistaken, name):
    _, expected, sentence = MISTAKES[name]
    code, out, err = mistaken[name]
    assert (code, out) == (expected, "")
    assert sentence in err
    assert "Traceback" not in err


def test_a_mistake_leaves_the_terminal_alone(window, folders):
    screen = window("show", "rewards", "--find", "nowhere", cwd=folders)
    assert screen.end() == 1
    assert b"\x1b[?1049h" not in screen.received
    assert "Error: no pair has the text" in screen.text
