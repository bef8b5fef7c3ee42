"""A text that is encoded in pieces has the ids of the whole text."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from sepo_data.tokenization.encoding import Encoder

LETTERS = "<>ab "
MERGES = [(a, b) for a in "<>ab▁" for b in "<>ab▁"]


def merging(added, *, prepend=False, **options):
    """Any two letters merge, so a boundary between texts shows wherever no added token is in the way."""
    vocab = {token: at for at, token in enumerate(["<>ab▁"[at] for at in range(5)] + ["".join(m) for m in MERGES])}
    backend = Tokenizer(models.BPE(vocab=vocab, merges=MERGES))
    backend.normalizer = normalizers.Sequence(
        [*([normalizers.Prepend("▁")] if prepend else []), normalizers.Replace(" ", "▁")]
    )
    backend.decoder = decoders.Replace("▁", " ")
    backend.add_tokens(added)
    return PreTrainedTokenizerFast(tokenizer_object=backend, **options)


def wholes(tokenizer, text, parts):
    """The ids of the text and of each continued one, from pieces; and how many come before the last piece."""
    [continued] = Encoder(tokenizer).encode_continued([(text, parts)])
    kept = continued.ids[: len(continued.ids) - len(continued.end)]
    assert kept + continued.end == continued.ids
    return [continued.ids, *(kept + whole for whole in continued.wholes)], len(kept)


def plain(tokenizer, text):
    return tokenizer(text, add_special_tokens=False)["input_ids"]


WORDS = st.text(LETTERS, min_size=1, max_size=4)


def tokens(strip):
    flags = dict.fromkeys(("single_word", "normalized", "special", strip), st.booleans())
    return st.lists(st.builds(AddedToken, WORDS, **flags), max_size=4)


@pytest.mark.slow
@given(
    # Not both: tokenizers panics where two tokens want the same blank.
    added=tokens("lstrip") | tokens("rstrip"),
    text=st.text(LETTERS, max_size=12),
    parts=st.lists(st.text(LETTERS, max_size=6), min_size=1, max_size=3),
    prepend=st.booleans(),
    split=st.booleans(),
)
@settings(max_examples=300, derandomize=True)
def test_any_added_tokens(added, text, parts, prepend, split):
    tokenizer = merging(added, prepend=prepend, split_special_tokens=split)
    assert wholes(tokenizer, text, parts)[0] == [plain(tokenizer, text + part) for part in ("", *parts)]


@pytest.mark.parametrize(
    ("tokens", "kept"),
    [
        (["<a>"], ["ab", "ab"]),
        (["<a>", "b<a"], ["ab", "a"]),  # lies over the left edge of `<a>`, and parts text itself
        (["<a>", "bb<a>bbb"], []),  # `bb<a>bb` is no such token, and with one b more it is
        (["<a>", "<a>bbb"], ["ab", "ab"]),  # begins where `<a>` does, from where on all is encoded anew
        (["bb"], []),  # where `bbb` is cut depends on where looking began
    ],
)
def test_what_is_not_encoded_anew(tokens, kept):
    tokenizer = merging([AddedToken(token, normalized=False) for token in tokens])
    found, count = wholes(tokenizer, "abab<a>bb", ["b", "a"])
    assert found == [plain(tokenizer, "abab<a>bb" + part) for part in ("", "b", "a")]
    assert tokenizer.convert_ids_to_tokens(found[0][:count]) == kept


@pytest.mark.parametrize("flag", ["normalized", "single_word", "lstrip"])
def test_tokens_that_are_found_only_sometimes_or_take_a_blank_part_nothing(flag):
    tokenizer = merging([AddedToken("<a>", **{"normalized": False, flag: True})])
    assert wholes(tokenizer, "bb<a>bb", ["b"]) == ([plain(tokenizer, text) for text in ("bb<a>bb", "bb<a>bbb")], 0)


def test_each_piece_is_encoded_once():
    class Counting:
        def __init__(self, backend):
            self.backend, self.texts = backend, []

        def encode_batch_fast(self, texts, **options):
            self.texts += texts
            return self.backend.encode_batch_fast(texts, **options)

    encoder = Encoder(merging([AddedToken("<a>", normalized=False)]))
    encoder._backend = counting = Counting(encoder._backend)
    encoder.encode_continued([("bb<a>", ("a", "b")), ("bb<a>", ("a", "ab")), ("abba<a>", ("b", "a"))])
    assert counting.texts == ["bb", "<a>", "abba", "<a>a", "<a>b", "<a>ab"]


def test_truncation_and_padding_of_the_tokenizer_file_do_not_count():
    backend = Tokenizer(models.BPE(vocab={"a": 0, "b": 1}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    backend.enable_truncation(2)
    backend.enable_padding(length=4, pad_id=1)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    assert Encoder(tokenizer).encode(["aaaa", "a"]) == {"aaaa": [0] * 4, "a": [0]}


def test_the_tokenizer_of_the_caller_stays_as_it_is():
    tokenizer = merging([])
    tokenizer.backend_tokenizer.enable_truncation(2)
    tokenizer.backend_tokenizer.enable_padding(length=9)
    assert Encoder(tokenizer).encode(["a<b<a<b<"]) == Encoder(merging([])).encode(["a<b<a<b<"])
    assert tokenizer.backend_tokenizer.truncation["max_length"] == 2
    assert tokenizer.backend_tokenizer.padding["length"] == 9
