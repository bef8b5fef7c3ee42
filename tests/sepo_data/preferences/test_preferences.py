"""The stream of pairs: one item for each row, from every real dataset and from a Hub on loopback."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepo_data.errors import SepoError
from sepo_data.preferences.preferences import read_preferences
from sepo_data.preferences.reading import Reading
from sepo_data.readers.source import Source
from sepo_data.shapes.pairs import Pair, SkippedRow

SHARED = Path(__file__).resolve().parents[3].parent / "shared" / "data"
GOOD = {"prompt": "q", "chosen": "yes", "rejected": "no", "source": "here"}


def write_lines(path, *rows):
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def test_one_item_for_each_row_in_order(tmp_path):
    name = write_lines(
        tmp_path / "x.jsonl",
        GOOD,
        "oops",
        "",
        {**GOOD, "chosen": "no"},
        {**GOOD, "prompt": "r"},
        {**GOOD, "chosen": None},
    )
    preferences = read_preferences(Reading(name, keep_columns=("source", "source")))
    assert preferences.rows == 5
    assert list(preferences) == [
        Pair(0, "q", "yes", "no", {"source": "here"}),
        SkippedRow(1, "invalid_json", "x.jsonl line 2: Expecting value at character 1 of the line"),
        SkippedRow(2, "equal_responses", "x.jsonl line 4: chosen is rejected"),
        Pair(3, "r", "yes", "no", {"source": "here"}),
        SkippedRow(4, "null", "x.jsonl line 6: chosen"),
    ]
    assert list(preferences.slice(1, 4)) == list(preferences)[1:4]
    assert list(preferences.slice(3, 99)) == list(preferences)[3:]


def test_limit_counts_rows(tmp_path):
    name = write_lines(tmp_path / "x.jsonl", {**GOOD, "chosen": ""}, GOOD, GOOD)
    preferences = read_preferences(Reading(name, limit=2))
    assert (preferences.rows, len(list(preferences)), len(list(preferences.slice(1, 3)))) == (2, 2, 1)
    assert read_preferences(Reading(name, limit=99)).rows == 3


def test_unknown_columns_to_keep_come_in_one_error(tmp_path):
    name = write_lines(tmp_path / "x.jsonl", GOOD)
    with pytest.raises(SepoError, match="has no column sorce, zzz; it has prompt, chosen, rejected, source") as caught:
        read_preferences(Reading(name, keep_columns=("sorce", "prompt", "zzz")))
    assert caught.value.hint == "for sorce, did you mean source?"


def test_sample_reaches_past_bad_rows(tmp_path):
    rows = ["{"] * 150 + [dict.fromkeys(GOOD)] * 3 + [GOOD] * 5
    preferences = read_preferences(write_lines(tmp_path / "x.jsonl", *rows))
    assert preferences.shape.name == "explicit strings"
    assert Counter(type(item) for item in preferences) == {SkippedRow: 153, Pair: 5}


VALUES = (
    st.none() | st.text(max_size=4) | st.integers() | st.lists(st.fixed_dictionaries({"role": st.text(max_size=2)}))
)


def test_an_error_of_reading_names_the_file_once(tmp_path, monkeypatch):
    (tmp_path / "a.jsonl").write_text('{"prompt": "q", "chosen": "yes", "rejected": "no"}\n')

    def fail(*_):
        raise SepoError("a.jsonl cannot be read")

    monkeypatch.setattr(Source, "slice", fail)
    with pytest.raises(SepoError, match=r"^a\.jsonl cannot be read$"):
        read_preferences(Reading(str(tmp_path / "a.jsonl")))


@given(st.lists(st.dictionaries(st.sampled_from(list(GOOD)), VALUES) | st.binary(max_size=20), max_size=6))
def test_any_rows_are_pairs_or_skipped(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("any") / "x.jsonl"
    lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
    path.write_bytes(b"\n".join([json.dumps(GOOD).encode()] * (len(rows) + 1) + lines))
    preferences = read_preferences(Reading(str(path), keep_columns=("source",)))
    items = list(preferences)
    numbers = [item.source_row if isinstance(item, Pair) else item.row for item in items]
    assert numbers == list(range(preferences.rows))
    for item in items:
        if isinstance(item, Pair):
            assert item.prompt is not None
            assert len(item.pair_id) == 16


@pytest.mark.slow
@given(st.binary(max_size=80))
def test_any_bytes_raise_nothing_but_our_error(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("any") / "x.jsonl"
    path.write_bytes(data)
    try:
        preferences = read_preferences(str(path))
    except SepoError:
        return
    assert len(list(preferences)) == preferences.rows


# Pairs and skipped rows as the datasets' READMEs tell: empty answers, equal answers.
REAL = {
    "hh_helpful": ("hh transcripts", 2348, {"empty_response": 4}),  # 4 rejected replies are empty
    "ultrafeedback": ("dialogues with prompt", 994, {"empty_response": 2, "equal_responses": 4}),  # 1 + 1 empty
    "ultrafeedback/test_prefs.parquet": ("dialogues with prompt", 199, {"equal_responses": 1}),  # 5 in both files
    "dpo_en_conversations/dpo_en_demo.json": ("sharegpt", 299, {}),
    "dpo_en_conversations/conversational.jsonl.gz": ("explicit messages", 299, {}),
    "truthy_system": ("system and prompt", 1016, {}),
    "llmfao_votes/shp_columns.jsonl.gz": ("shp", 1486, {"empty_response": 218}),  # 19 + 199, never both
    "polite_alpaca": ("alpaca", 1094, {"equal_responses": 6}),
}


@pytest.fixture
def shared():
    if not SHARED.is_dir():
        pytest.skip("the shared datasets are not on this machine")
    return SHARED


@pytest.mark.shared
@pytest.mark.parametrize("name", REAL)
def test_real_dataset(shared, name):
    shape, pairs, skipped = REAL[name]
    preferences = read_preferences(str(shared / name))
    items = list(preferences)
    assert preferences.shape.name == shape
    assert len(items) == preferences.rows == pairs + sum(skipped.values())
    assert Counter(item.reason for item in items if isinstance(item, SkippedRow)) == skipped
    assert {item.conversational for item in items if isinstance(item, Pair)} == {preferences.shape.conversational}


@pytest.mark.shared
def test_both_writings_of_the_conversations_are_the_same_pairs(shared):
    folder = shared / "dpo_en_conversations"
    sharegpt, messages = (read_preferences(str(folder / n)) for n in ("dpo_en_demo.json", "conversational.jsonl.gz"))
    assert [pair.pair_id for pair in sharegpt] == [pair.pair_id for pair in messages]
    turns_before = Counter(sum(turn["role"] != "system" for turn in pair.prompt) for pair in messages)
    assert turns_before == {1: 193, 3: 1, 5: 57, 7: 46, 9: 1, 13: 1}
    assert sum(pair.prompt[0]["role"] == "system" for pair in messages) == 80


@pytest.mark.shared
def test_hh_text_is_all_there(shared):
    preferences = read_preferences(str(shared / "hh_helpful"))
    for row, pair in zip(preferences.source, preferences, strict=True):
        if isinstance(pair, Pair):
            assert pair.prompt[-1]["role"] == "user"
            for side in ("chosen", "rejected"):
                content = getattr(pair, side)[0]["content"]
                assert row.value[side].rstrip().endswith("\n\nAssistant: " + content)


@pytest.mark.shared
def test_folders_that_hold_two_datasets(shared):
    for name in ("llmfao_votes", "dpo_en_conversations"):
        with pytest.raises(SepoError, match="several formats"):
            read_preferences(str(shared / name))


def test_import_is_light():
    code = (
        "import sys, sepo_data.preferences.preferences\n"
        "print(*{'torch', 'transformers', 'polars', 'datasets', 'huggingface_hub'} & set(sys.modules))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""


PUSH_AND_READ = """
import json, sys
import datasets
from sepo_data.errors import SepoError
from sepo_data.preferences.preferences import read_preferences
from sepo_data.preferences.reading import Reading

rows = [{"prompt": f"q{n}", "chosen": "yes", "rejected": "no"} for n in range(3)]
saved = datasets.DatasetDict(train=datasets.Dataset.from_list(rows), test=datasets.Dataset.from_list(rows[:1]))
saved.push_to_hub("tester/pairs", private=True)

def read(dataset, **options):
    try:
        preferences = read_preferences(Reading(dataset, **options))
    except SepoError as error:
        return [type(error).__name__, error.exit_code, str(error), error.hint]
    source = preferences.source
    return [source.name, source.split, source.fingerprint, [pair.prompt for pair in preferences]]

train = read("tester/pairs")
datasets.Dataset.from_list(rows[1:]).push_to_hub("tester/pairs", split="train")
print(json.dumps({
    "train": train,
    "again": read("tester/pairs"),
    "test": read("tester/pairs", split="test"),
    "split": read("tester/pairs", split="tst"),
    "config": read("tester/pairs", subset="en"),
    "missing": read("tester/pears"),
    "format": read("json"),
}))
"""

READ_OFFLINE = """
import json
from sepo_data.errors import SepoError
from sepo_data.preferences.preferences import read_preferences
print(read_preferences("tester/pairs").source.fingerprint)
try:
    read_preferences("tester/pears")
except SepoError as error:
    print(type(error).__name__, error.hint)
"""


@pytest.mark.slow
def test_hub(hub_double, tmp_path):
    def run(code, **more):
        environment = os.environ | {
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": hub_double.TOKEN,
            "HF_HOME": str(tmp_path),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            **more,
        }
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stderr
        assert hub_double.TOKEN not in done.stdout
        return done.stdout

    with hub_double.HubDouble() as hub:
        found = json.loads(run(PUSH_AND_READ))
        offline = run(READ_OFFLINE, HF_HUB_OFFLINE="1").splitlines()

    assert found["train"][:2] == ["tester/pairs", "train"]
    assert found["train"][3] == ["q0", "q1", "q2"]
    assert found["again"][3] == ["q1", "q2"]
    assert found["again"][2] != found["train"][2], "another revision is another fingerprint"
    assert found["test"][3] == ["q0"]
    assert found["split"] == ["SepoError", 1, "tester/pairs has no split tst, only train, test", "did you mean test?"]
    assert found["config"] == ["SepoError", 1, "the Hub dataset tester/pairs has no config en, only default", ""]
    assert found["missing"][:2] == ["HubError", 4]
    assert "no such file or folder, and as a Hub id: Dataset 'tester/pears' doesn't exist" in found["missing"][2]
    assert "HF_TOKEN" in found["missing"][3]
    assert found["format"][:2] == ["HubError", 4]
    assert offline == [
        found["again"][2],
        "HubError unset HF_HUB_OFFLINE, or name a local copy",
    ]


def test_a_dataset_without_a_usable_row_names_the_reason(tmp_path):
    (tmp_path / "old.csv").write_bytes("prompt,chosen,rejected\nq,Café,no\nr,Café,no\n".encode("cp1252"))
    with pytest.raises(SepoError, match=r"rows can be used: invalid_utf8 in old\.csv line 2") as caught:
        read_preferences(str(tmp_path / "old.csv"))
    assert "iconv" in caught.value.hint
