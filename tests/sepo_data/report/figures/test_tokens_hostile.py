"""Texts of tokens that try to steer the picture: they are shown, and nothing else."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

from sepo_data.report.figure import make_figure
from sepo_data.report.figures.tokens import tokens_table
from sepo_data.report.source import open_sources

TEXTS = [
    "<script>alert(1)</script>",
    "</svg><img src=x>",
    "</text>",
    '" onload="alert(1)',
    "'&quot;&#60;b>",
    "\u202egnp.exe",
    "a\nb",
    "a\r\nb\tc",
    "\x00\x1b[2J",
    "]]>",
    "datum.tokens",
    "[0].a.b",
    "{{signal}}",
    "2024-01-01",
    "",
    " ",
    "\N{MIDDLE DOT}",
    "\ufffe",
    "=1+1",
    "null",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, rewards_of, write_rewards):
    from tokenizers import Tokenizer, decoders, models

    vocabulary = {f"x{number}": number for number in range(10)} | {text: 10 + at for at, text in enumerate(TEXTS)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="x0"))
    tokenizer.decoder = decoders.Fuse()
    path = tmp_path_factory.mktemp("<b>hostile&") / "rewards <script>"
    rewards = [float(place) for place in range(len(TEXTS))]
    write_rewards(path, [rewards_of([(rewards, rewards)])], tokenizer=tokenizer.to_str())
    return path


def test_every_text_has_a_row_and_its_own_label(folder):
    table = tokens_table(open_sources([folder])[0])
    assert sorted(table["token"]) == sorted(TEXTS)
    assert table["label"].n_unique() == len(TEXTS)
    assert all(label.isprintable() and label for label in table["label"])
    assert {"· #25", "· #26", "#24"} <= set(table["label"])


def test_the_picture_has_no_element_of_theirs(folder):
    figure = make_figure("tokens", [folder])
    svg = figure.picture("svg").decode()
    root = ET.fromstring(svg)  # noqa: S314 - our own picture; this is the test that it can be parsed
    kinds = {element.tag.partition("}")[2] for element in root.iter()}
    assert kinds <= {"svg", "defs", "clipPath", "rect", "g", "path", "line", "text", "style"}
    attributes = {name for element in root.iter() for name in element.attrib}
    assert not any(name.startswith("on") for name in attributes)
    shown = ["".join(element.itertext()) for element in root.iter() if element.tag.endswith("}text")]
    assert set(figure.table["label"]) <= set(shown)


def test_the_caption_is_one_line(folder):
    assert make_figure("tokens", [folder]).caption.isprintable()


def test_labels_that_imitate_the_id_of_another_stay_apart(tmp_path, rewards_of, write_rewards):
    from tokenizers import Tokenizer, decoders, models

    texts = ["\N{MIDDLE DOT}", " ", "\N{MIDDLE DOT} #10", "\N{MIDDLE DOT}#11"]
    words = {f"x{number}": number for number in range(10)} | {text: 10 + at for at, text in enumerate(texts)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="x0"))
    tokenizer.decoder = decoders.Fuse()
    write_rewards(tmp_path / "r", [rewards_of([([1.0, 2.0, 3.0, 4.0], [0.0])])], tokenizer=tokenizer.to_str())
    labels = tokens_table(open_sources([tmp_path / "r"])[0])["label"]
    assert labels.n_unique() == len(labels) == 4
