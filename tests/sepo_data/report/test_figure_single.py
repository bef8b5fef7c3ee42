"""Figures of one directory: formats, captions, and directories with little in them."""

from __future__ import annotations

import shutil
import xml.etree.ElementTree as ET

import pytest

from sepo_data.report.figure import make_figure

KINDS = ["accumulation", "classes", "distribution", "position", "tokens"]
COLUMN = 240
"""Points: 3.33 inches."""


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_a_column_wide_in_every_format(kind, drawn):
    figure = make_figure(kind, [drawn.folder])
    root = ET.fromstring(figure.picture("svg"))  # noqa: S314 - our own picture
    assert float(root.attrib["width"].removesuffix("pt")) <= COLUMN
    assert figure.picture("pdf").startswith(b"%PDF-")
    assert figure.picture("png").startswith(b"\x89PNG")


@pytest.mark.parametrize("kind", KINDS)
def test_a_caption_is_of_the_directory_and_ends_in_a_full_stop(kind, selected):
    figure = make_figure(kind, [selected])
    assert figure.caption.startswith(
        "selection: 3 pairs, 17 response tokens. The oracle was trained on 2 of the pairs. "
        "Selected by top (chosen 30%, rejected 30%)."
    )
    assert figure.caption.endswith(".")
    assert "  " not in figure.caption
    assert "nan" not in figure.caption
    assert ("All tokens count, selected or not." in figure.caption) == (kind in {"classes", "position", "tokens"})


@pytest.mark.parametrize("kind", KINDS)
def test_an_unfinished_directory_is_drawn_and_said_to_be_one(kind, scored, tmp_path):
    folder = shutil.copytree(scored, tmp_path / "rewards")
    (folder / "state.json").unlink()
    figure = make_figure(kind, [folder])
    assert "The directory is unfinished: 3 pairs so far." in figure.caption
    assert figure.table.equals(make_figure(kind, [scored]).table)


@pytest.mark.parametrize("kind", KINDS)
def test_a_directory_without_pairs_has_an_empty_figure(kind, tmp_path, rewards_of, write_rewards, texts):
    write_rewards(tmp_path / "rewards", [rewards_of([])], tokenizer=texts)
    figure = make_figure(kind, [tmp_path / "rewards"])
    assert figure.caption.startswith("rewards: 0 pairs, 0 response tokens.")
    assert "nan" not in figure.caption
    assert figure.table["tokens"].sum() == 0
    assert figure.picture("svg")


@pytest.mark.parametrize("kind", KINDS)
def test_a_shard_without_pairs_changes_nothing(kind, tmp_path, rewards_of, write_rewards, texts):
    pairs = [([0.5, -1.0], [2.0])]
    write_rewards(tmp_path / "one", [rewards_of(pairs)], tokenizer=texts)
    write_rewards(tmp_path / "more", [rewards_of([]), rewards_of(pairs), rewards_of([])], tokenizer=texts)
    one, more = (make_figure(kind, [tmp_path / name]).table for name in ("one", "more"))
    assert one.equals(more)
