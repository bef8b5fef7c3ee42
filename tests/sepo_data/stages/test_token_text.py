"""Text that each token adds."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from sepo_data.errors import SepoError
from sepo_data.stages.token_text import load_tokenizer_file, token_texts


def byte_level():
    """An id a byte."""
    vocab = {token: at for at, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["</s>"])
    return tokenizer


def byte_fallback():
    """SentencePiece's way: a few letters, a byte token for the rest, and a blank before every text."""
    tokens = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *"▁abcde", "▁a"]
    vocab = {token: at for at, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[("▁", "a")], byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", left=1, right=0)]
    )
    return tokenizer


TOKENIZERS = {"byte level": byte_level(), "byte fallback": byte_fallback()}


def ids(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False).ids


def test_by_hand():
    tokenizer = TOKENIZERS["byte level"]
    assert token_texts(tokenizer, ids(tokenizer, "aé日</s>b")) == ["a", "", "é", "", "", "日", "</s>", "b"]
    assert token_texts(tokenizer, ids(tokenizer, "é!"), ids(tokenizer, "x")) == ["", "é", "!"]
    tokenizer = TOKENIZERS["byte fallback"]
    assert token_texts(tokenizer, ids(tokenizer, "a b日日")) == ["a", " ", "b", "", "", "日", "", "", "日"]
    blank_a = tokenizer.token_to_id("▁a")
    assert token_texts(tokenizer, [blank_a]) == ["a"], "the blank before every text is not the text's"
    assert token_texts(tokenizer, [blank_a], ids(tokenizer, "b")) == [" a"]
    assert token_texts(tokenizer, []) == []


@pytest.mark.parametrize("name", TOKENIZERS)
def test_a_character_that_is_cut_is_shown_at_the_end(name):
    tokenizer = TOKENIZERS[name]
    whole = ids(tokenizer, "b日")
    texts = token_texts(tokenizer, whole[:-1])
    assert "".join(texts) == tokenizer.decode(whole[:-1])
    assert texts[-1].startswith("\ufffd")


@pytest.mark.parametrize("name", TOKENIZERS)
@given(text=st.text(max_size=12) | st.text(st.sampled_from("ab é日\n\ufffd"), max_size=12), data=st.data())
@settings(deadline=None)
def test_joined_they_are_the_text(name, text, data):
    tokenizer = TOKENIZERS[name]
    cut = data.draw(st.integers(0, len(text)))
    prompt, whole = ids(tokenizer, text[:cut]), ids(tokenizer, text)
    if whole[: len(prompt)] == prompt:
        # A blank at the very start is lost to tokenizers that put one there themselves; `decode` tells.
        expected = tokenizer.decode(whole).removeprefix(tokenizer.decode(prompt))
        assert "".join(token_texts(tokenizer, whole[len(prompt) :], prompt)) == expected
        assert expected in {text[cut:], text[cut:].removeprefix(" ")}


@pytest.mark.parametrize("name", TOKENIZERS)
@given(tokens=st.lists(st.integers(0, 255), max_size=20), context=st.lists(st.integers(0, 255), max_size=5))
@settings(deadline=None)
def test_any_ids_have_a_text(name, tokens, context):
    """A prompt may begin and a response may end within a character; tokenizers' own DecodeStream raises there."""
    assert len(token_texts(TOKENIZERS[name], tokens, context)) == len(tokens)


def test_the_file(tmp_path):
    with pytest.raises(SepoError, match=r"tokenizer\.json is missing"):
        load_tokenizer_file(tmp_path)
    (tmp_path / "tokenizer").mkdir()
    byte_level().save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    assert load_tokenizer_file(tmp_path).get_vocab_size() == 257
    (tmp_path / "tokenizer" / "tokenizer.json").write_text("{")
    with pytest.raises(SepoError, match=r"tokenizer\.json cannot be read"):
        load_tokenizer_file(tmp_path)
