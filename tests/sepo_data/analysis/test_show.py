"""One pair for people: all of the text, safe for terminals and SVG files."""

import io
import xml.etree.ElementTree as ET

import polars as pl
import pyarrow as pa
import pytest
from rich.console import Console
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from sepo_data.analysis.show import ShownPair, Token, read_pair, render_pair
from sepo_data.errors import SepoError
from sepo_data.selection.select import select
from sepo_data.stages.scan import scan


@pytest.fixture(scope="module")
def tokenizer():
    """An id a byte."""
    vocab = {token: at for at, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


@pytest.fixture
def folder(tmp_path, rewards_of, write_rewards, tokenizer):
    """Two pairs: `héy\n` against `no`, and `a` against `b`, with side columns of awkward names."""
    texts = [("héy\n", "no"), ("a", "b")]
    rewards = [([3.0, 0.0, 1.0, -2.0, 1.0], [0.5, -4.0]), ([0.0], [0.0])]
    table = rewards_of(rewards)
    for number, side in enumerate(("chosen", "rejected")):
        at = table.schema.get_field_index(f"{side}_ids")
        ids = [tokenizer.encode(pair[number]).ids for pair in texts]
        table = table.set_column(at, table.schema.field(at), pa.array(ids, type=table.schema.field(at).type))
    table = table.append_column("row", pa.array([7, 8])).append_column("reward", pa.array(["x", "y"]))
    write_rewards(tmp_path / "rewards", [table.slice(0, 1), table.slice(1, 1)], tokenizer=tokenizer.to_str())
    return tmp_path / "rewards"


def marked(tokens):
    return "".join(str(int(token.selected)) for token in tokens)


def test_read_pair(folder):
    pair = read_pair(folder, "0", chosen="40%", rejected="50%")
    assert (pair.row, pair.pair_id, pair.margin, pair.oracle_seen) == (0, "0" * 16, 6.5, True)
    assert [token.text for token in pair.chosen] == ["h", "", "é", "y", "\n"]
    assert [token.reward for token in pair.chosen] == [3.0, 0.0, 1.0, -2.0, 1.0]
    assert [token.position for token in pair.chosen] == [0, 1, 2, 3, 4]
    assert [token.token_id for token in pair.rejected] == pair_ids(folder, "rejected_ids")
    assert "".join(token.text for token in pair.rejected) == "no"
    # 40% of 5 is 2: rewards 3 and the earlier of the two ones; 50% of 2 is 1.
    assert (marked(pair.chosen), marked(pair.rejected)) == ("10100", "01")


def pair_ids(folder, column):
    return scan(folder).collect()[column].to_list()[0]


def test_by_number_or_id(folder, tmp_path):
    assert read_pair(folder, "1").pair_id == f"{1:016x}"
    assert read_pair(folder, f"{1:016x}").row == 1
    select(folder, tmp_path / "selection", chosen="40%", rejected="50%")
    for number in "01":
        pair = read_pair(folder, number, chosen="40%", rejected="50%")
        assert read_pair(tmp_path / "selection", number, chosen="0.01%", rejected="0.01%") == pair, (
            "its own masks count"
        )


def test_an_id_with_copies_is_that_of_the_first(tmp_path, rewards_of, write_rewards, tokenizer):
    table = rewards_of([([1.0], [0.0])] * 4)
    table = table.set_column(0, table.schema.field("pair_id"), pa.array(["a0", "b1", "b1", "b1"]))
    write_rewards(tmp_path / "rewards", [table.slice(0, 2), table.slice(2)], tokenizer=tokenizer.to_str())
    for pair, row, copies in (("0", 0, 1), ("2", 2, 1), ("a0", 0, 1), ("b1", 1, 3)):
        found = read_pair(tmp_path / "rewards", pair)
        assert (found.row, found.copies) == (row, copies)
        shown = Console(width=200, file=io.StringIO())
        shown.print(render_pair(found, colour=False))
        assert ("first of 3 copies" in shown.file.getvalue()) == (copies > 1)


@pytest.mark.parametrize("pair", ["2", "-1", "zzz", "", "0000000000000009", "²"])
def test_unknown_pair(folder, pair):
    with pytest.raises(SepoError, match="has no pair") as caught:
        read_pair(folder, pair)
    assert caught.value.hint.startswith("give a number from 0 to 1, or a pair_id")
    assert ("; did you mean 000000000000000" in caught.value.hint) == (len(pair) == 16)


def test_no_pairs_at_all(tmp_path, rewards_of, write_rewards):
    write_rewards(tmp_path / "none", [rewards_of([([1.0], [1.0])]).slice(0, 0)])
    with pytest.raises(SepoError, match="has no pair '0'"):
        read_pair(tmp_path / "none", "0")


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


def test_a_head_of_a_filter_is_pushed_down_right(folder):
    assert scan(folder).filter(pl.col("margin") == 0).head(1).collect()["pair_id"].to_list() == [f"{1:016x}"]
