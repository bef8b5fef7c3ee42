"""Scoring: the rewards dataset, the skipped rows, and what survives a kill."""

import json
import math
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pyarrow.compute as pc
import pytest
import torch
from datasets import load_from_disk

from sepo_data.errors import RefusedError, SepoError
from sepo_data.preferences.reading import Reading
from sepo_data.readers.arrow_stream import map_stream
from sepo_data.schemas.stages import Stage
from sepo_data.schemas.validate import differences
from sepo_data.stages.seen_pairs import SEEN
from sepo_train.models.load import load_model
from sepo_train.models.tokenizers import load_tokenizer
from sepo_train.scoring.options import ScoringOptions
from sepo_train.scoring.score import score
from sepo_train.training.oracle import train_oracle
from sepo_train.training.settings import Training

WORDS = ["tea", "coffee", "milk", "water", "bread", "apples", "soup", "rice"]


def row(number):
    word, other = WORDS[number % 8], WORDS[(number + 3) % 8]
    return {
        "prompt": f"Shall I have {word} or {other}, option {number}?",
        "chosen": f" Take the {word}, it is lovely." + " Really." * (number % 4),
        "rejected": f" {other}." + " No." * (number % 3),
        "source": f"s{number}",
        "stars": number / 2,
    }


def write_rows(path, rows):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in rows), encoding="utf-8")
    return str(path)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("input") / "pairs.jsonl", [row(number) for number in range(20)])


@pytest.fixture(scope="module")
def rewards(pairs, tiny_models, tmp_path_factory):
    """20 pairs in three shards of at most 8 rows: the folder and its manifest."""
    out = tmp_path_factory.mktemp("score") / "rewards"
    options = {name: str(folder) for name, folder in tiny_models.items()}
    return out, score(keeping(pairs, "source", "stars"), out, **options, options=ScoringOptions(beta=0.5, shard_rows=8))


def keeping(dataset, *columns):
    return Reading(dataset, keep_columns=columns)


def rows_of(folder):
    return [entry for file in sorted(folder.glob("*.arrow")) for entry in map_stream(file).to_pylist()]


def skipped(folder):
    return [json.loads(line) for line in (folder / "skipped.jsonl").read_text(encoding="utf-8").splitlines()]


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("data-*.arrow"))}


def test_columns_and_alignment(rewards):
    folder, manifest = rewards
    assert [file.name for file in sorted(folder.glob("*.arrow"))] == [f"data-{n:05d}-of-00003.arrow" for n in range(3)]
    tables = [map_stream(file) for file in sorted(folder.glob("*.arrow"))]
    assert [table.num_rows for table in tables] == [8, 8, 4]
    assert all(differences(table, Stage.REWARDS) == [] for table in tables)
    assert tables[0].column_names[-2:] == ["source", "stars"]
    for number, entry in enumerate(rows_of(folder)):
        assert {name: entry[name] for name in row(number)} == row(number)
        assert entry["source_row"] == number
        assert entry["oracle_seen"] is None, "the oracle came without a record"
        for side in ("chosen", "rejected"):
            lengths = {len(entry[f"{side}_{what}"]) for what in ("ids", "rewards", "oracle_logps", "ref_logps")}
            assert lengths == {entry[f"{side}_tokens"]}
    dataset = load_from_disk(str(folder))
    assert dataset.num_rows == manifest.rows == 20
    assert manifest.total("tokens") == {
        part: sum(dataset[f"{part}_tokens"]) for part in ("chosen", "prompt", "rejected")
    }
    assert manifest.options["keep_columns"] == ["source", "stars"]
    assert skipped(folder) == []


def test_values_against_a_plain_loop(rewards, tiny_models):
    folder, _ = rewards
    models = {name: load_model(str(path), dtype="float32") for name, path in tiny_models.items()}
    tokenizer = load_tokenizer(str(tiny_models["ref"]))
    for entry in rows_of(folder)[:6]:
        for side in ("chosen", "rejected"):
            prompt, response = entry["prompt_ids"], entry[f"{side}_ids"]
            assert tokenizer.decode(prompt) == entry["prompt"]
            assert tokenizer.decode(response) == entry[side] + "<|im_end|>", "the end of the turn counts"
            logps = {}
            for name, model in models.items():
                with torch.no_grad():
                    table = model(torch.tensor([prompt + response])).logits[0].double().log_softmax(-1)
                logps[name] = [float(table[len(prompt) - 1 + i, token]) for i, token in enumerate(response)]
                assert entry[f"{side}_{name}_logps"] == pytest.approx(logps[name], abs=1e-4)
            expected = [0.5 * (a - b) for a, b in zip(logps["oracle"], logps["ref"], strict=True)]
            assert entry[f"{side}_rewards"] == pytest.approx(expected, abs=1e-4)
            assert entry[f"{side}_reward"] == pytest.approx(sum(expected), abs=1e-3)
        assert entry["margin"] == pytest.approx(entry["chosen_reward"] - entry["rejected_reward"], abs=1e-5)


def test_the_reference_as_its_own_oracle_gives_zeros(pairs, tiny_model, tmp_path):
    score(pairs, tmp_path / "rewards", oracle=str(tiny_model), ref=str(tiny_model))
    for entry in rows_of(tmp_path / "rewards"):
        assert set(entry["chosen_rewards"]) | set(entry["rejected_rewards"]) == {0.0}
        assert (entry["chosen_reward"], entry["margin"]) == (0.0, 0.0)


@pytest.mark.slow
def test_batches_and_shards_do_not_change_rewards(rewards, pairs, tiny_models, tmp_path):
    folder, _ = rewards
    options = {name: str(path) for name, path in tiny_models.items()}
    score(pairs, tmp_path / "small", **options, options=ScoringOptions(beta=0.5, batch_tokens=1, shard_rows=3))
    for one, two in zip(rows_of(folder), rows_of(tmp_path / "small"), strict=True):
        assert one["pair_id"] == two["pair_id"]
        for side in ("chosen", "rejected"):
            assert two[f"{side}_rewards"] == pytest.approx(one[f"{side}_rewards"], abs=1e-5)


def test_skipped_rows(tiny_models, tmp_path):
    bad = [row(0), row(1) | {"chosen": None}, row(2) | {"rejected": row(2)["chosen"]}, row(3)]
    bad.append(row(4) | {"prompt": "very " * 300})
    path = write_rows(tmp_path / "bad.jsonl", bad)
    Path(path).write_text(Path(path).read_text(encoding="utf-8") + "{no json\n", encoding="utf-8")
    options = {name: str(folder) for name, folder in tiny_models.items()}
    manifest = score(path, tmp_path / "rewards", **options, options=ScoringOptions(max_length=100, shard_rows=2))
    assert [entry["source_row"] for entry in rows_of(tmp_path / "rewards")] == [0, 3]
    lines = skipped(tmp_path / "rewards")
    assert [line["row"] for line in lines] == [1, 2, 4, 5]
    assert lines[2]["reason"] == "too_long"
    assert sum(manifest.total("skipped").values()) == 4
    assert all(line["reason"] and line["detail"] for line in lines)
    # The third shard, rows 4 and 5, is empty and no less valid.
    assert [map_stream(file).num_rows for file in sorted((tmp_path / "rewards").glob("*.arrow"))] == [1, 1, 0]


@pytest.mark.slow
def test_a_pair_that_gives_nan_is_skipped(pairs, tiny_models, tmp_path):
    tokenizer = load_tokenizer(str(tiny_models["ref"]))
    used = {number: set(tokenizer(row(number)["chosen"]).input_ids) for number in range(20)}
    others = [set(tokenizer(f"{row(n)['prompt']}{row(n)['rejected']}").input_ids) for n in range(20)]
    # A token that some chosen responses have, not all, and no other text.
    token = min(set.union(*used.values()) - set.intersection(*used.values()) - set.union(*others))
    model = load_model(str(tiny_models["oracle"]), dtype="float32")
    model.model.embed_tokens.weight.data[token] = math.nan
    model.save_pretrained(tmp_path / "oracle")
    tokenizer.save_pretrained(tmp_path / "oracle")
    manifest = score(
        pairs,
        tmp_path / "rewards",
        oracle=str(tmp_path / "oracle"),
        ref=str(tiny_models["ref"]),
        options=ScoringOptions(shard_rows=8),
    )
    lines = skipped(tmp_path / "rewards")
    poisoned = {number for number, ids in used.items() if token in ids}
    assert 0 < len(lines) < 20
    assert {line["row"] for line in lines} == poisoned
    assert {line["reason"] for line in lines} == {"non_finite"}
    assert "the oracle model" in lines[0]["detail"]
    kept = rows_of(tmp_path / "rewards")
    assert {entry["source_row"] for entry in kept} == set(range(20)) - poisoned
    for file in sorted((tmp_path / "rewards").glob("*.arrow")):
        assert pc.all(pc.is_finite(pc.list_flatten(map_stream(file).column("chosen_rewards")))).as_py() is not False
    assert manifest.total("skipped") == {"non_finite": len(poisoned)}
    assert manifest.results["layout"].startswith("shared prompt"), "a poisoned pair does not slow the others down"


SLOW = """
import time, sepo_data.console.terminal
step = sepo_data.console.terminal.Terminal.step

def slowly(self, *arguments):
    time.sleep(0.2)
    step(self, *arguments)

sepo_data.console.terminal.Terminal.step = slowly
"""


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_bytes(pairs, tiny_models, sepo_server, tmp_path):
    models, options = {name: str(folder) for name, folder in tiny_models.items()}, ScoringOptions(shard_rows=2)
    score(pairs, tmp_path / "whole", **models, options=options)
    out = tmp_path / "killed"
    flags = [f"--{name}={folder}" for name, folder in models.items()]
    running = sepo_server.start("score", pairs, *flags, "--shard-rows=2", "--out", out, before=SLOW)
    deadline = time.monotonic() + 120
    while len(contents(out)) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL, "it was over before it could be killed"
    done = contents(out)
    assert 3 <= len(done) < 10
    # What a kill in the middle of a write leaves behind.
    (out / "data-00009-of-00010.arrow.sepo-tmp").write_bytes(b"half")
    with pytest.raises(RefusedError, match=r"options\.beta: 0\.1 -> 0\.2"):
        score(pairs, out, **models, options=replace(options, beta=0.2))
    times = {name: (out / name).stat().st_mtime_ns for name in list(done)[:2]}
    manifest = score(pairs, out, **models, options=options)
    assert manifest.complete
    assert contents(out) == contents(tmp_path / "whole")
    assert (out / "skipped.jsonl").read_bytes() == (tmp_path / "whole" / "skipped.jsonl").read_bytes()
    assert {name: (out / name).stat().st_mtime_ns for name in times} == times, "finished shards are not written again"
    assert not list(out.rglob("*.sepo-tmp"))


def test_nothing_to_do_and_another_plan(rewards, pairs, tiny_models, monkeypatch):
    folder, manifest = rewards
    models, options = {name: str(path) for name, path in tiny_models.items()}, ScoringOptions(shard_rows=8)
    kept = keeping(pairs, "source", "stars")
    before = contents(folder)
    monkeypatch.setattr("sepo_train.scoring.model_pair.load_model", None)
    assert score(kept, folder, **models, options=replace(options, beta=0.5)) == manifest
    with pytest.raises(RefusedError, match=r"options\.beta: 0\.5 -> 0\.1"):
        score(kept, folder, **models, options=options)
    with pytest.raises(RefusedError, match=r"models\.oracle\.weights"):
        score(kept, folder, **models | {"oracle": models["ref"]}, options=replace(options, beta=0.5))
    assert contents(folder) == before


def test_a_dry_run_counts_and_touches_nothing(rewards, pairs, tiny_models, tmp_path, monkeypatch):
    _, manifest = rewards
    monkeypatch.setattr("sepo_train.scoring.model_pair.load_model", None)
    options = {name: str(path) for name, path in tiny_models.items()}
    kept = keeping(pairs, "source", "stars")
    plan = score(kept, tmp_path / "dry", **options, options=ScoringOptions(beta=0.5, shard_rows=8), dry_run=True)
    assert list(tmp_path.iterdir()) == []
    assert plan.fingerprint == manifest.fingerprint
    assert not plan.complete
    assert (plan.results["rows"], plan.results["shards"], plan.results["skipped"]) == (20, 3, {})
    assert plan.results["tokens"] == manifest.total("tokens")


def test_another_vocabulary_is_refused_naming_a_token(pairs, tiny_models, tmp_path):
    other = shutil.copytree(tiny_models["oracle"], tmp_path / "oracle")
    tokenizer = load_tokenizer(str(other))
    tokenizer.add_tokens(["<|extra|>"])
    tokenizer.save_pretrained(other)
    with pytest.raises(SepoError, match=r"1 tokens differ, the first is '<\|extra\|>' \(384 and None\)"):
        score(pairs, tmp_path / "rewards", oracle=str(other), ref=str(tiny_models["ref"]))
    assert not (tmp_path / "rewards").exists()


def with_context(folder, target, positions):
    shutil.copytree(folder, target)
    config = json.loads((target / "config.json").read_text()) | {"max_position_embeddings": positions}
    (target / "config.json").write_text(json.dumps(config))
    return str(target)


def test_the_shorter_context_of_the_two_models_counts(pairs, tiny_models, tmp_path):
    ref = str(tiny_models["ref"])
    oracle = with_context(tiny_models["oracle"], tmp_path / "oracle", 64)
    with pytest.raises(SepoError, match=rf"--max-length 65 exceeds the context of {oracle}, 64"):
        score(pairs, tmp_path / "rewards", oracle=oracle, ref=ref, options=ScoringOptions(max_length=65))
    with pytest.raises(SepoError, match=rf"--max-length 513 exceeds the context of {ref}, 512"):
        score(pairs, tmp_path / "rewards", oracle=ref, ref=ref, options=ScoringOptions(max_length=513))
    plan = score(pairs, tmp_path / "rewards", oracle=oracle, ref=ref, dry_run=True)
    assert plan.options["max_length"] == 64


@pytest.mark.slow
@pytest.mark.parametrize("truncate", ["prompt", "response"])
def test_truncation_is_recorded(pairs, tiny_model, tmp_path, truncate):
    options = {"oracle": str(tiny_model), "ref": str(tiny_model)}
    score(pairs, tmp_path / "whole", **options)
    whole = {entry["source_row"]: entry for entry in rows_of(tmp_path / "whole")}
    limit = max(len(entry["prompt_ids"]) + len(entry["chosen_ids"]) for entry in whole.values()) - 5
    manifest = score(pairs, tmp_path / "cut", **options, options=ScoringOptions(max_length=limit, truncate=truncate))
    assert manifest.options["truncate"] == truncate
    cut = [
        entry
        for entry in rows_of(tmp_path / "cut")
        if entry["chosen_ids"] != whole[entry["source_row"]]["chosen_ids"]
        or entry["prompt_ids"] != whole[entry["source_row"]]["prompt_ids"]
    ]
    assert manifest.total("notes")["truncated"] == len(cut) > 0
    for entry in cut:
        before = whole[entry["source_row"]]
        assert len(entry["prompt_ids"]) + max(entry["chosen_tokens"], entry["rejected_tokens"]) == limit
        if truncate == "prompt":
            assert before["prompt_ids"][-entry["prompt_tokens"] :] == entry["prompt_ids"]
        else:
            assert before["chosen_ids"][: entry["chosen_tokens"]] == entry["chosen_ids"], "no false end of turn"


@pytest.mark.slow
def test_the_oracles_record_marks_the_pairs_it_has_seen(pairs, tiny_model, tmp_path):
    oracle = train_oracle(
        pairs, tmp_path / "oracle", ref=str(tiny_model), fraction="30%", training=Training(lr=1e-3, seed=2)
    )
    manifest = score(pairs, tmp_path / "rewards", oracle=str(tmp_path / "oracle"), ref=str(tiny_model))
    lines = (tmp_path / "oracle" / SEEN).read_text(encoding="utf-8").splitlines()
    rows = {json.loads(line)["source_row"] for line in lines}
    assert len(rows) == 6
    assert {entry["source_row"]: entry["oracle_seen"] for entry in rows_of(tmp_path / "rewards")} == {
        number: number in rows for number in range(20)
    }
    assert manifest.parent == oracle.fingerprint


def test_side_columns_that_do_not_exist_or_are_taken(pairs, tiny_model, tmp_path):
    options = {"oracle": str(tiny_model), "ref": str(tiny_model)}
    with pytest.raises(SepoError, match="has no column sauce"):
        score(keeping(pairs, "sauce"), tmp_path / "rewards", **options)
    with pytest.raises(SepoError, match="--keep-columns prompt: "):
        score(keeping(pairs, "prompt"), tmp_path / "rewards", **options)


@pytest.mark.slow
def test_an_unfinished_oracle_is_refused(pairs, tiny_model, tmp_path):
    folder = shutil.copytree(tiny_model, tmp_path / "oracle")
    train_oracle(Reading(pairs, limit=4), tmp_path / "done", ref=str(tiny_model), training=Training())
    manifest = json.loads((tmp_path / "done" / "sepo.json").read_text()) | {"complete": False}
    (folder / "sepo.json").write_text(json.dumps(manifest))
    with pytest.raises(SepoError, match="incomplete"):
        score(pairs, tmp_path / "rewards", oracle=str(folder), ref=str(tiny_model))


@pytest.fixture(scope="module")
def trained(pairs, tiny_models, tmp_path_factory):
    """An oracle with its record, trained from the reference."""
    out = tmp_path_factory.mktemp("oracle") / "oracle"
    train_oracle(pairs, out, ref=str(tiny_models["ref"]), training=Training(lr=1e-3, batch_size=8), fraction="50%")
    return out


def test_the_reference_is_the_one_the_oracle_started_from(trained, pairs, tiny_models, tmp_path):
    with pytest.raises(SepoError, match="is not the model that the oracle started from"):
        score(pairs, tmp_path / "rewards", oracle=str(trained), ref=str(tiny_models["oracle"]))
    assert not (tmp_path / "rewards").exists()


def test_an_oracle_whose_record_is_damaged(trained, pairs, tiny_models, tmp_path):
    shutil.copytree(trained, tmp_path / "oracle")
    (tmp_path / "oracle" / SEEN).write_text('{"source_row": 0', encoding="utf-8")
    with pytest.raises(SepoError, match=f"{SEEN} cannot be read"):
        score(pairs, tmp_path / "rewards", oracle=str(tmp_path / "oracle"), ref=str(tiny_models["ref"]))


def test_a_run_that_cannot_be_made_does_not_replace_another(rewards, pairs, tiny_models, tmp_path):
    shutil.copytree(rewards[0], tmp_path / "old")
    options = {name: str(folder) for name, folder in tiny_models.items()}
    with pytest.raises(SepoError, match="own columns have these names"):
        score(keeping(pairs, "prompt"), tmp_path / "old", **options, overwrite=True)
    assert contents(tmp_path / "old") == contents(rewards[0])


def test_side_columns_are_typed_over_all_rows(pairs, tiny_models, tmp_path):
    rows = [row(number) | {"late": None if number < 15 else number} for number in range(20)]
    options = {name: str(folder) for name, folder in tiny_models.items()}
    file = write_rows(tmp_path / "late.jsonl", rows)
    score(keeping(file, "late"), tmp_path / "rewards", **options, options=ScoringOptions(shard_rows=8))
    assert [entry["late"] for entry in rows_of(tmp_path / "rewards")] == [None] * 15 + [15, 16, 17, 18, 19]


@pytest.mark.slow
def test_nothing_but_nan_is_no_dataset(pairs, tiny_models, tmp_path):
    model = load_model(str(tiny_models["oracle"]), dtype="float32")
    model.get_output_embeddings().weight.data.fill_(math.nan)
    shutil.copytree(tiny_models["oracle"], tmp_path / "oracle")
    model.save_pretrained(tmp_path / "oracle")
    with pytest.raises(SepoError, match="no pair of the 20 rows could be scored"):
        score(pairs, tmp_path / "rewards", oracle=str(tmp_path / "oracle"), ref=str(tiny_models["ref"]))
    assert not (tmp_path / "rewards" / "state.json").exists()
