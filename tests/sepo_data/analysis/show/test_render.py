"""One pair, or one of two directories, drawn for people: all of the text, safe for terminals and SVG files."""

import io
import re
import xml.etree.ElementTree as ET

import pytest
from rich.console import Console

from sepo_data.analysis.show.pair import ShownPair, Token, read_pair
from sepo_data.analysis.show.render import render_pair, render_pairs


def shown(chosen, rejected=("no",), prompt="q", seen=None):
    def tokens(texts):
        return [Token(at, at, text, (-1.0) ** at, at % 2 == 0) for at, text in enumerate(texts)]

    return ShownPair(0, "id", prompt, tokens(chosen), tokens(rejected), 1.25, seen)


def plain(pair):
    console = Console(file=io.StringIO(), width=80, highlight=False)
    console.print(render_pair(pair, colours="none"))
    return console.file.getvalue()


def svg(pair, tmp_path):
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
    console.print(render_pair(pair, colours="many"))
    console.save_svg(str(tmp_path / "pair.svg"), title="x")
    text = "".join(ET.parse(tmp_path / "pair.svg").getroot().itertext())  # noqa: S314 - our own file
    return text.replace("\xa0", " ")


def test_without_colour_selected_tokens_stand_in_brackets(folder):
    text = plain(read_pair(folder, "0", chosen="40%", rejected="50%"))
    assert "pair 0  0000000000000000  margin +6.500  seen by the oracle" in text
    assert "chosen  reward +3.000  2 of 5 tokens selected" in text
    assert "[h][é]y\\n" in text
    assert "n[o]" in text
    assert "not seen by the oracle" in plain(shown("a", seen=False))
    assert "oracle without a record" in plain(shown("a", seen=None))


def test_all_rewards_zero(folder):
    assert "margin +0.000" in plain(read_pair(folder, "1"))
    Console(file=io.StringIO(), force_terminal=True).print(render_pair(read_pair(folder, "1"), colours="many"))


MARKUP = '[INST] [/] [red]x[/red] <b>&amp; "q" ]]> :smile: \\[ <!--'


def test_markup_is_text(tmp_path):
    for pair in (shown(MARKUP.split(" ")), shown("a", MARKUP.split(" ")), shown("a", prompt=MARKUP)):
        text = plain(pair)
        drawn = svg(pair, tmp_path)
        for word in MARKUP.split(" "):
            assert word in text
            assert word in drawn


def test_terminals_are_not_steered_and_svg_files_are_whole(tmp_path):
    """The text is anybody's: an escape sequence in it is shown, not obeyed."""
    controls = "\x1b[31mred\x1b]0;title\x07\x9b2J\x00\r\b\t\uffff"
    for pair in (shown([controls]), shown("a", [controls]), shown("a", prompt=controls)):
        text = plain(pair)
        assert not set(text) & set(controls) - set("[31mred]0;title2J")
        assert "\\x1b[31mred\\x1b]0;title\\x07\\x9b2J\\x00\\r\\x08" in text
        assert "\\x1b[31mred" in svg(pair, tmp_path)


def test_line_breaks_are_seen_in_responses_and_kept_in_prompts():
    assert "a\\n" in plain(shown(["", "a\n", "", "b"]))
    assert "\\n" not in plain(shown("a", prompt="one\ntwo"))


def test_colour_marks_sign_and_selection():
    chosen = render_pair(shown(["up", "down"]), colours="many").renderables[2].renderable
    # The strongest reward has the full colour: blue for a gain, orange for a loss; the first token is selected.
    styles = [str(span.style) for span in chosen.spans]
    assert [style.startswith("bold underline ") for style in styles] == [True, False]
    assert [style.rpartition(" on ")[2] for style in styles] == ["#6ea6e6", "#f0974a"]


def on_terminal(pair, colours, color_system):
    console = Console(file=io.StringIO(), width=80, highlight=False, force_terminal=True, color_system=color_system)
    console.print(render_pair(pair, colours=colours))
    return console.file.getvalue()


@pytest.mark.parametrize(("colours", "color_system"), [("few", "standard"), ("many", "256"), ("many", "truecolor")])
def test_gains_losses_and_neither_differ_in_every_terminal_with_colours(colours, color_system):
    """Each at full and at half strength; the letters are black."""
    rewards = {"up": 1.0, "rather": 0.5, "none": 0.0, "hardly": -0.5, "down": -1.0}
    tokens = [Token(at, at, text, reward, selected=False) for at, (text, reward) in enumerate(rewards.items())]
    text = on_terminal(ShownPair(0, "id", "q", tokens, [], 1.25, None), colours, color_system)
    styles = [re.search(rf"\x1b\[([\d;]+)m{word}\x1b", text)[1] for word in rewards]
    assert all(style.startswith(("30;", "38;5;16;", "38;2;0;0;0;")) for style in styles)
    up, rather, none, hardly, down = styles
    assert len({up, none, down}) == len({rather, none, hardly}) == 3


def test_a_token_that_begins_a_character_is_seen_where_it_has_a_colour():
    pair = shown(["", "é"])
    assert "<>" in on_terminal(pair, "many", "truecolor")
    assert "[]é" in plain(pair)


def test_two_directories_with_other_tokens_are_shown_with_a_note():
    one, other = shown(["a", "b"]), shown(["a"])
    console = Console(file=io.StringIO(), width=200, highlight=False)
    console.print(render_pairs([one, other], ["x", "y"], colours="none"))
    assert "the two directories have other tokens of this pair" in console.file.getvalue()
    console.print(render_pairs([one, one], ["x", "y"], colours="none"))
    assert console.file.getvalue().count("other tokens") == 1
