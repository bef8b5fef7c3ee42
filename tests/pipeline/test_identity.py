"""Pairs of the same texts that a chat template renders differently, and copies of a pair, through every stage."""

import json
import math
from dataclasses import replace

import pytest

from sepo_data.analysis.diff import diff
from sepo_data.analysis.query import query
from sepo_data.preferences.preferences import read_preferences
from sepo_data.preferences.reading import Reading
from sepo_data.selection.select import select
from sepo_data.shapes.pairs import Pair
from sepo_data.stages.scan import scan
from sepo_train.models.tokenized_input import open_tokenized
from sepo_train.scoring.score import score
from sepo_train.training.objectives import objective
from sepo_train.training.oracle import random_pairs, train_oracle
from sepo_train.training.policy import train
from sepo_train.training.selected_pairs import SelectedPairs
from sepo_train.training.settings import Training

pytestmark = pytest.mark.slow

TEMPLATE = (
    "{% if tools %}{{ tools | tojson }}{% endif %}{% if mode %}{{ mode | tojson }}{% endif %}"
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TRAINING = Training(lr=1e-3, batch_size=4, micro_batch_size=4, seed=1)

BESIDE = [
    {"tools": [{"name": "rain", "description": "a forecast"}]},
    {"tools": [{"description": "a forecast", "name": "rain"}]},
    {"tools": [{"name": "snow", "description": "a long forecast of several days"}]},
    {"chat_template_kwargs": {"mode": "brief"}},
    {"chat_template_kwargs": {"mode": {"a": 1, "b": 2}}},
    {"chat_template_kwargs": {"mode": {"b": 2, "a": 1}}},
    {"system": "Answer in one word."},
    {},
    {},
]
"""Contexts that distinguish the rows of one pair; the last of them is a copy."""


@pytest.fixture(scope="module")
def reading(tmp_path_factory):
    pair = {
        "prompt": [{"role": "user", "content": "Rain?"}],
        "chosen": [{"role": "assistant", "content": "It may rain tomorrow."}],
        "rejected": [{"role": "assistant", "content": "No idea at all."}],
    }
    missing = {"tools": None, "chat_template_kwargs": None, "system": None}
    file = tmp_path_factory.mktemp("identity") / "pairs.jsonl"
    file.write_text("".join(json.dumps(pair | missing | beside) + "\n" for beside in BESIDE), encoding="utf-8")
    return Reading(str(file))


@pytest.fixture(scope="module")
def ref(save_tiny, tmp_path_factory):
    return str(save_tiny(tmp_path_factory.mktemp("model") / "ref", template=TEMPLATE))


@pytest.fixture(scope="module")
def stages(reading, ref, tmp_path_factory):
    """The oracle has seen a part of the rows."""
    folder = tmp_path_factory.mktemp("stages")
    train_oracle(reading, folder / "oracle", ref=ref, fraction="40%", training=TRAINING)
    score(reading, folder / "rewards", oracle=str(folder / "oracle"), ref=ref)
    select(folder / "rewards", folder / "selection")
    return folder


def test_the_id_is_as_different_as_the_tokens(reading, ref):
    pairs, skipped = open_tokenized(reading, ref).all_pairs()
    assert not skipped
    tokens = [(*item.prompt_ids, -1, *item.chosen_ids, -1, *item.rejected_ids) for item in pairs]
    same = [[one == other for other in tokens] for one in tokens]
    ids = [item.pair.pair_id for item in pairs]
    assert [[one == other for other in ids] for one in ids] == same
    assert len(set(ids)) == len(BESIDE) - 1


def test_only_the_copy_repeats_an_earlier_pair(reading):
    items = list(read_preferences(replace(reading, dedupe=True)))
    assert [item.source_row for item in items if isinstance(item, Pair)] == list(range(len(BESIDE) - 1))
    assert [item.detail for item in items if not isinstance(item, Pair)] == [f"equals row {len(BESIDE) - 2}"]


def test_the_oracle_has_seen_what_it_was_trained_on_alone(reading, ref, stages):
    trained, _ = random_pairs(open_tokenized(reading, ref), 4000, TRAINING.seed)
    rows = {item.source_row for item in (each.pair for each in trained)}
    copies = {len(BESIDE) - 2, len(BESIDE) - 1}
    expected = rows | (copies if rows & copies else set())
    seen = scan(stages / "rewards").filter("oracle_seen").select("source_row").collect()["source_row"]
    assert set(seen) == expected != set(range(len(BESIDE)))


@pytest.mark.parametrize("options", [{}, {"holdout": 1}, {"limit": 5}])
def test_the_stored_reference_is_that_of_the_same_tokens(stages, ref, tmp_path, options):
    """DPO from its own reference begins with ln 2, whatever the order of the pairs."""
    for where in ("stored", "policy"):
        run = train(
            stages / "selection", tmp_path / where, policy=ref, training=TRAINING, objective=objective("dpo"),
            ref_logps=where, **options,
        )  # fmt: skip
        assert run.results["first_loss"] == pytest.approx(math.log(2), abs=1e-5)


def test_copies_are_told_apart_everywhere(stages, tmp_path):
    select(stages / "rewards", tmp_path / "half", chosen="50%", rejected="50%")
    tables = {"a": stages / "selection", "b": tmp_path / "half"}
    compared = diff(*tables.values())
    assert (compared.pairs, compared.only_a, compared.only_b) == (len(BESIDE), 0, 0)
    keys = query("SELECT DISTINCT pair_id, occurrence FROM a_tokens", tables).collect()
    assert sorted(keys.rows()) == sorted(SelectedPairs.open(stages / "selection").keys)
    assert keys.height == len(BESIDE)
    assert query("@agreement-by-pair", tables).collect().height == len(BESIDE)
