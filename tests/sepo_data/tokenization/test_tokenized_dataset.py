"""All pairs of a tokenized dataset, chunk by chunk."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from sepo_data.errors import SepoError
from sepo_data.preferences.preferences import read_preferences
from sepo_data.tokenization.tokenized_dataset import TokenizedDataset

ROWS = [{"prompt": f"{number}", "chosen": "Q", "rejected": "Z" if number % 5 else None} for number in range(8)] + [
    {"prompt": f"Is the tea number {number} ready for the guests?", "chosen": " Yes.", "rejected": " No."}
    for number in range(8, 20)
]


@pytest.fixture(scope="module")
def dataset(tiny_model, tmp_path_factory):
    file = tmp_path_factory.mktemp("tokenized") / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_model)
    return TokenizedDataset(read_preferences(str(file)), tokenizer, 512, None, embeddings=len(tokenizer))


def test_all_pairs(dataset, monkeypatch):
    monkeypatch.setattr("sepo_data.tokenization.tokenized_dataset.CHUNK_ROWS", 3)
    pairs, skipped = dataset.all_pairs()
    assert [item.pair.source_row for item in pairs] == [row for row in range(20) if row not in {0, 5}]
    assert [(row.row, row.reason) for row in skipped] == [(0, "null"), (5, "null")]
    pairs, skipped = dataset.all_pairs(only=frozenset({5, 7, 19}))
    assert [item.pair.source_row for item in pairs] == [7, 19]
    assert [row.row for row in skipped] == [5]
    with pytest.raises(SepoError, match=r"no pair of 2 rows of .* can be used: 2 null"):
        dataset.all_pairs(only=frozenset({0, 5}))


@pytest.mark.slow
def test_a_pickled_dataset_imports_no_torch(dataset, tmp_path):
    file = tmp_path / "dataset.pickle"
    file.write_bytes(pickle.dumps(dataset))
    code = (
        "import pickle, sys; dataset = pickle.load(open(sys.argv[1], 'rb'));"
        "assert len(dataset.all_pairs()[0]) == 18; sys.exit('torch' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[3]
    assert subprocess.run([sys.executable, "-c", code, file], cwd=root, check=False).returncode == 0
