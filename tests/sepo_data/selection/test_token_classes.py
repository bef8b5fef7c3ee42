"""Classes of tokens: white space, punctuation, the template's, and the parts of words."""

import numpy as np

from sepo_data.selection.token_classes import classify, token_classes

TEXTS = ["<|im_end|>", " un", "believ", "able", ",", " ", "\n", " 5", "%", " don", "'t", "<0xE2>", " «", "好", "", "é"]
CLASSES = classify(TEXTS, {0})
IDS = {text: number for number, text in enumerate(TEXTS)}


def named(mask):
    return [text for text, marked in zip(TEXTS, mask, strict=True) if marked]


def test_kinds_of_tokens():
    assert named(CLASSES.template) == ["<|im_end|>"]
    assert named(CLASSES.whitespace) == [" ", "\n"]
    assert named(CLASSES.punctuation) == [",", "%", " «"]
    assert named(CLASSES.opens_inside_word) == ["believ", "able", "'t", "<0xE2>", "é"]
    assert named(CLASSES.ends_inside_word) == [" un", "believ", "able", " 5", " don", "'t", "<0xE2>", "é"]


def test_a_byte_of_a_character_is_no_punctuation():
    assert not CLASSES.punctuation[IDS["<0xE2>"]]


def test_kinds_from_a_tokenizer(tiny_model, tmp_path):
    (tmp_path / "tokenizer").symlink_to(tiny_model)
    classes = token_classes(tmp_path)
    assert np.flatnonzero(classes.template).tolist() == [0, 1, 2]  # <|endoftext|> <|im_start|> <|im_end|>
    assert len(classes.template) == 384
