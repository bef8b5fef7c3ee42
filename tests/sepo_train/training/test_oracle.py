"""The oracle: DPO from the reference, what it has seen, and what is in its folder."""

import json
import math
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from sepo_data.errors import RefusedError, SepoError
from sepo_data.preferences.reading import Reading
from sepo_data.stages.directory import read_stage
from sepo_data.stages.seen_pairs import SEEN, read_oracle_record
from sepo_train.engine.layout import Tree
from sepo_train.engine.layout_policy import PLAIN
from sepo_train.engine.logps import score_trees
from sepo_train.models.load import load_model
from sepo_train.models.tokenized_input import open_tokenized
from sepo_train.models.tokenizers import load_tokenizer
from sepo_train.training.checkpoint import METRICS
from sepo_train.training.oracle import random_pairs, train_oracle
from sepo_train.training.settings import Training
from sepo_train.training.trainable_model import trainable_model

TRAINING = Training(lr=3e-3, batch_size=4, micro_batch_size=4, epochs=3.0, seed=5)


def seen(folder):
    return [json.loads(line) for line in (folder / SEEN).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def run(tiny_model, examples, tmp_path_factory):
    """An oracle trained on half of 20 rows: (folder, manifest, the call again with other options)."""
    folder = tmp_path_factory.mktemp("oracle") / "oracle"

    def call(**changes):
        options = {"ref": str(tiny_model), "fraction": "50%", "training": TRAINING} | changes
        reading = options.pop("reading", Reading(str(examples), limit=20))
        return train_oracle(reading, options.pop("out", folder), **options)

    return folder, call(), call


def test_the_first_step_is_ln_2_and_the_loss_falls(run):
    _, manifest, _ = run
    assert manifest.results["first_loss"] == pytest.approx(math.log(2), abs=1e-5)
    assert manifest.results["last_loss"] < 0.6
    assert manifest.results["layout"] == "shared prompt"
    assert manifest.results["pairs_seen"] == 10


def test_what_is_in_the_folder(run):
    folder, manifest, _ = run
    names = {path.name for path in folder.rglob("*")}
    assert {"model.safetensors", "config.json", "tokenizer.json", "sepo.json", SEEN, METRICS} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth", ".sepo-tmp", ".pkl"))]
    assert read_stage(folder, manifest.stage) == manifest
    assert manifest.options["fraction"] == "50%"
    assert manifest.options["seed"] == 5
    assert manifest.models["ref"].parameters > 0
    # 10 pairs in steps of 4, 4 and 2, three times.
    history = [json.loads(line) for line in (folder / METRICS).read_text(encoding="utf-8").splitlines()]
    assert [entry["step"] for entry in history] == list(range(1, 10))
    # The oracle starts as its reference: before the first update all rewards are equal, and an accuracy is noise.
    assert "rewards/accuracies" not in history[0]
    assert all("rewards/accuracies" in entry for entry in history[1:])
    assert not [name for name in manifest.results if "accurac" in name], "that of one batch is not the oracle's"


def test_plain_transformers_opens_it(run, tiny_model):
    folder, _, _ = run
    ids = AutoTokenizer.from_pretrained(folder)("Tea or coffee?", return_tensors="pt").input_ids
    trained, before = (AutoModelForCausalLM.from_pretrained(path)(ids).logits for path in (folder, tiny_model))
    assert (trained - before).abs().max() > 1e-3


def test_seen_pairs_are_the_rows_drawn(run, tiny_model, examples):
    folder, manifest, _ = run
    rows = [entry["source_row"] for entry in seen(folder)]
    assert rows == sorted(set(rows))
    assert len(rows) == 10
    assert max(rows) < 20
    prepared = open_tokenized(Reading(str(examples), limit=20), str(tiny_model))
    pairs = {pair.source_row: pair.pair_id for pair in prepared.preferences}
    assert all(pairs[entry["source_row"]] == entry["pair_id"] for entry in seen(folder))
    record = read_oracle_record(str(folder))
    assert record.manifest == manifest
    assert record.pair_ids == {pairs[row] for row in rows}
    assert record.prompt_ids == {pair.prompt_id for pair in prepared.preferences if pair.source_row in rows}
    drawn = [item.pair.source_row for item in random_pairs(prepared, 5000, 5)[0]]
    assert drawn == rows, "the same seed draws the same rows"
    assert [item.pair.source_row for item in random_pairs(prepared, 5000, 6)[0]] != rows
    assert {item.pair.source_row for item in random_pairs(prepared, 1, 5)[0]} <= set(rows), "at least one"


def test_a_smaller_fraction_is_a_part_of_a_larger_one(tiny_model, examples):
    prepared = open_tokenized(Reading(str(examples), limit=40), str(tiny_model))
    drawn = [
        {item.pair.source_row for item in random_pairs(prepared, fraction, 0)[0]} for fraction in (1000, 5000, 10_000)
    ]
    assert [len(rows) for rows in drawn] == [4, 20, 40]
    assert drawn[0] < drawn[1] < drawn[2]


def test_the_same_run_again_gives_the_same_bytes(run, tmp_path):
    folder, _, call = run
    call(out=tmp_path / "again")
    for name in ("model.safetensors", SEEN, METRICS):
        assert (folder / name).read_bytes() == (tmp_path / "again" / name).read_bytes(), name


def test_nothing_to_do_and_another_plan(new_progress, run):
    folder, manifest, call = run
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    notes = new_progress()
    assert call(progress=notes) == manifest
    assert "nothing to do" in notes[-1]
    with pytest.raises(RefusedError, match=r"options\.beta: 0\.1 -> 0\.2"):
        call(beta=0.2)
    with pytest.raises(RefusedError, match=r"options\.lr"):
        call(training=replace(TRAINING, lr=1.0))
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


@pytest.mark.slow
def test_a_run_killed_while_saving_is_taken_up(run, tmp_path, monkeypatch):
    folder, _, call = run

    def power_cut(_model, path, **_options):
        path.mkdir(parents=True)
        (path / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("transformers.LlamaForCausalLM.save_pretrained", power_cut)
        with pytest.raises(KeyboardInterrupt):
            call(out=tmp_path / "cut")
    assert not (tmp_path / "cut" / "model.safetensors").exists(), "a file appears only when it is whole"
    assert call(out=tmp_path / "cut").complete
    assert (tmp_path / "cut" / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    assert not (tmp_path / "cut" / "checkpoints").exists()


def test_lora_saves_an_adapter_that_loads_back(run, tiny_model, tmp_path):
    _, _, call = run
    manifest = call(out=tmp_path / "lora", training=replace(TRAINING, lora_r=4))
    assert manifest.results["first_loss"] == pytest.approx(math.log(2), abs=1e-5)
    names = {path.name for path in (tmp_path / "lora").iterdir()}
    assert "adapter_model.safetensors" in names
    assert "model.safetensors" not in names
    loaded = load_model(str(tmp_path / "lora"), dtype="float32")
    by_peft = PeftModel.from_pretrained(load_model(str(tiny_model), dtype="float32"), tmp_path / "lora")
    trees = [Tree([5, 6, 7], ([8, 9], [10]))]
    ours, theirs, base = (
        torch.cat(score_trees(model, trees, PLAIN, batch_tokens=64)[0])
        for model in (loaded, by_peft.eval(), load_model(str(tiny_model), dtype="float32"))
    )
    assert torch.allclose(ours, theirs, atol=1e-6)
    assert not torch.allclose(ours, base, atol=1e-4)
    assert load_tokenizer(str(tmp_path / "lora")).chat_template


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("gpt2", {"resid_pdrop": 0.5, "embd_pdrop": 0.5, "attn_pdrop": 0.5, "n_embd": 8, "n_layer": 1, "n_head": 2}),
        (
            "opt",
            {
                "dropout": 0.5,
                "attention_dropout": 0.5,
                "hidden_size": 8,
                "word_embed_proj_dim": 8,
                "ffn_dim": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
            },
        ),
        (
            "falcon",
            {
                "hidden_dropout": 0.5,
                "attention_dropout": 0.5,
                "hidden_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
            },
        ),
        ("mpt", {"emb_pdrop": 0.5, "resid_pdrop": 0.5, "d_model": 16, "n_layers": 1, "n_heads": 2}),
    ],
)
def test_training_has_no_dropout(tmp_path, kind, options):
    from transformers import AutoConfig

    config = AutoConfig.for_model(kind, vocab_size=50, bos_token_id=1, eos_token_id=2, pad_token_id=0, **options)
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    model = trainable_model(str(tmp_path), Training()).train()
    ids = torch.tensor([[5, 6, 7, 8]])
    first = model(ids).logits
    assert all(torch.equal(model(ids).logits, first) for _ in range(3))
    assert torch.allclose(model.eval()(ids).logits, first, atol=1e-6)


def test_a_folder_of_another_stage_is_no_oracle(tmp_path, tiny_model):
    assert read_oracle_record(str(tiny_model)) is None
    assert read_oracle_record("user/model") is None
    (tmp_path / "sepo.json").write_text("{}")
    with pytest.raises(SepoError, match="cannot be read"):
        read_oracle_record(str(tmp_path))


def test_a_misspelt_logger_is_found_at_once():
    with pytest.raises(SepoError, match="--report-to wandbb is not a logger"):
        Training(report_to="wandbb")


def test_an_unread_column_split_is_noted(tiny_model, tmp_path):
    rows = [
        {"prompt": f"Question {n}?", "chosen": "Yes.", "rejected": "No.", "split": ["train", "test"][n % 2]}
        for n in range(4)
    ]
    data, notes = tmp_path / "data.jsonl", []
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    progress = SimpleNamespace(note=notes.append, step=lambda *_: None, metrics=lambda *_: None)
    for reading, pairs, noted in ((Reading(str(data)), 4, 1), (Reading(str(data), keep_columns=("split",)), 2, 0)):
        notes.clear()
        out = tmp_path / str(pairs)
        train_oracle(reading, out, ref=str(tiny_model), training=TRAINING, progress=progress)
        assert len(read_oracle_record(str(out)).pair_ids) == pairs
        assert sum("split is not read" in note for note in notes) == noted
