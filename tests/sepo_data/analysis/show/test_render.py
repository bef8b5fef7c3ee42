"""One pair, or one of two directories, drawn for people: all of the text, safe for terminals and SVG files."""

import io
import xml.etree.ElementTree as ET

from rich.console import Console

from sepo_data.analysis.show.pair import ShownPair, Token, read_pair
from sepo_data.analysis.show.render import render_pair


def shown(chosen, rejected=("no",), prompt="q", seen=None):
    def tokens(texts):
        return [Token(at, at, text, (-1.0) ** at, at % 2 == 0) for at, text in enumerate(texts)]

    return ShownPair(0, "id", prompt, tokens(chosen), tokens(rejected), 1.25, seen)


def plain(pair):
    console = Console(file=io.StringIO(), width=80, highlight=False)
    console.print(render_pair(pair, colour=False))
    return console.file.getvalue()


def svg(pair, tmp_path):
    console = Console(record=True, width=80, file=io.StringIO(), force_terminal=True)
    console.print(render_pair(pair, colour=True))
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
    Console(file=io.StringIO(), force_terminal=True).print(render_pair(read_pair(folder, "1"), colour=True))


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
    chosen = render_pair(shown(["up", "down"]), colour=True).renderables[2].renderable
    # The strongest reward has the full colour: green for a gain, red for a loss; the first token is selected.
    styles = [str(span.style) for span in chosen.spans]
    assert [style.startswith("bold underline ") for style in styles] == [True, False]
    assert [style.rpartition(" on ")[2] for style in styles] == ["#66c27a", "#f4846e"]
