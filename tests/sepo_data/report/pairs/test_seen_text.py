"""Text as the page shows it."""

import pytest
from tokenizers import Tokenizer, decoders, models

from sepo_data.report.pairs.seen_text import END, MARK, seen, seen_tokens
from sepo_data.stages.token_text import single_texts


def marked(text: str) -> str:
    return f"{MARK}{text}{END}"


@pytest.mark.parametrize(
    "text",
    [
        "plain, \u00e9\u4e2d and  blanks ",
        "\u05dc\u05d0, \u0627\u0644\u0642\u0647\u0648\u0629",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f44d\U0001f3fd \u2764\ufe0f",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "line\nbreak\tand tab",
        "<script>alert('\"')</script> &amp; $x",
    ],
)
def test_text_that_is_seen_stays_as_it_is(text):
    assert seen(text) == text


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("a\u202eb", "a" + marked("\\u202e") + "b"),
        ("\x1b[31m", marked("\\x1b") + "[31m"),
        ("\x00\r", marked("\\x00") + marked("\\r")),
        ("a\u200db", "a" + marked("\\u200d") + "b"),
        ("\u2028", marked("\\u2028")),
        (f"{MARK}x{END}", marked("\\x01") + "x" + marked("\\x02")),
        ("\u3164\ufeff", marked("\\u3164") + marked("\\ufeff")),
    ],
)
def test_text_that_is_not_seen_is_spelled_out(text, spelled):
    assert seen(text) == spelled


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    """The letter a, a blank with the first two bytes of a snowman, its last byte, and a token that adds nothing."""
    words = ["a", "\u0120\u00e2\u013a", "\u0125", "\u0120b", "\u010a"]  # in the letters of a byte-level vocabulary
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="a"))
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def test_pieces_of_a_character_are_spelled_in_bytes(tokenizer):
    assert tokenizer.decode([1, 2]) == " \u2603"
    texts = seen_tokens(tokenizer, single_texts(tokenizer), [0, 1, 2, 3, 4], [0])
    assert texts == ["a", marked("<0xE2><0x98>"), " \u2603", " b", "\n"]


def test_a_response_that_ends_within_a_character_shows_its_bytes(tokenizer):
    assert seen_tokens(tokenizer, single_texts(tokenizer), [0, 1], []) == ["a", f" {marked('<0xE2><0x98>')}"]


def test_an_id_beyond_the_vocabulary_is_named(tokenizer):
    assert seen_tokens(tokenizer, single_texts(tokenizer), [0, 99], []) == ["a", marked("token 99")]
