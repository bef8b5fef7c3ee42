"""Weights that a model has no use for: each is a part of it, named, or the reason of a refusal."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM, DeepseekV3Config

from sepo_data.console.progress import SILENT
from sepo_data.errors import SepoError
from sepo_train.models import unused_weights
from sepo_train.models.load import load_model, model_record
from sepo_train.models.unused_weights import check_loaded, note_left_out

OTHER_PARTS = ["visual.patch.weight", "model.vision_tower.a", "multi_modal_projector.b", "mtp.layers.0.c"]
TABLES = ["x.inv_freq", "h.0.attn.masked_bias", "embeddings.position_ids"]


def check(unexpected, expected=()):
    return check_loaded("it", {"unexpected_keys": unexpected}, kind="a Model", hint="?", expected=expected)


@pytest.fixture(autouse=True)
def _nothing_noted(monkeypatch):
    monkeypatch.setattr(unused_weights, "_noted", set())


@pytest.fixture
def copy(tiny_model, tmp_path):
    return shutil.copytree(tiny_model, tmp_path / "model")


def add(folder, *names, file="model.safetensors"):
    weights = load_file(folder / file) | {name: torch.zeros(1, 32) for name in names}
    save_file(weights, folder / file, metadata={"format": "pt"})


def test_weights_that_predict_no_text_are_left_out_by_name():
    assert check([]) == []
    assert check([*OTHER_PARTS, *TABLES]) == sorted([*OTHER_PARTS, *TABLES])
    assert check([*OTHER_PARTS], expected=["model.layers.61.eh_proj.weight"]) == sorted(
        [*OTHER_PARTS, "model.layers.61.eh_proj.weight"]
    )


@pytest.mark.parametrize(
    "head",
    [
        "score.weight",
        "v_head.summary.weight",
        "value_head.weight",
        "model.reward_head.0.weight",
        "regression_head.bias",
        "classifier.dense.weight",
        "qa_outputs.weight",
        "rm_head.weight",
        "base_model.model.score.weight",
    ],
)
def test_the_head_of_another_kind_of_model_is_refused_by_name(head):
    wanted = f"has 1 weights that a Model has not, such as {head}, the head of a reward model or of a classifier"
    with pytest.raises(SepoError, match=wanted):
        check([*OTHER_PARTS, head])
    with pytest.raises(SepoError, match=wanted):  # whatever its class expects
        check(OTHER_PARTS, expected=[head])


@pytest.mark.parametrize("weight", ["model.layers.3.mlp.weight", "lm_head.bias", "model.layers.0.scores.weight"])
def test_weights_that_may_be_a_part_of_predicting_text_are_refused(weight):
    with pytest.raises(SepoError, match=rf"has 1 weights that a Model has not, such as {weight}$"):
        check([*OTHER_PARTS, *TABLES, weight])


def test_a_note_names_each_part_once(new_progress):
    progress = new_progress()
    weights = [*(f"mtp.layers.{layer}.a.weight" for layer in range(12)), "model.visual.0.a", "model.layers.61.a.b"]
    tables = [f"h.{layer}.attn.masked_bias" for layer in range(3)]
    for _ in range(2):
        note_left_out("it", [*weights, *tables], progress)
    note_left_out("it", [], progress)
    [note] = progress
    assert note.startswith("it: weights that predicting the next token does not need are left out: ")
    assert note.endswith(": h.*.attn.masked_bias (3), model.layers.61 (1), model.visual (1), mtp (12)")


def test_what_nobody_reads_is_noted_when_somebody_does(new_progress):
    note_left_out("it", ["mtp.a"], SILENT)
    progress = new_progress()
    note_left_out("it", ["mtp.a"], progress)
    assert len(progress) == 1


def test_a_model_whose_files_have_more_than_it_uses(copy, new_progress):
    plain = load_model(str(copy), dtype="float32")
    add(copy, "mtp.fc.weight", "visual.a", "model.layers.0.self_attn.rotary_emb.inv_freq")
    progress = new_progress()
    model = load_model(str(copy), dtype="float32", progress=progress)
    assert all(map(torch.equal, model.state_dict().values(), plain.state_dict().values()))
    assert len(progress) == 1
    assert all(
        f"{part} (1)" in progress[0] for part in ("mtp", "visual", "model.layers.*.self_attn.rotary_emb.inv_freq")
    )
    add(copy, "score.weight")
    with pytest.raises(SepoError, match=r"such as score\.weight, the head of a reward model"):
        load_model(str(copy), dtype="float32")


@pytest.mark.unstable_api
@pytest.mark.filterwarnings("ignore")
def test_weights_that_transformers_expects_to_be_left_over_are_named_all_the_same(tmp_path, new_progress):
    """DeepSeek-V3 has a further layer behind its last one, which transformers drops without a word."""
    sizes = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "vocab_size": 16}
    config = DeepseekV3Config(**sizes, num_attention_heads=1, num_key_value_heads=1, first_k_dense_replace=1)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    add(tmp_path, "model.layers.61.eh_proj.weight", "model.layers.61.enorm.weight")
    progress = new_progress()
    load_model(str(tmp_path), dtype="float32", progress=progress)
    assert [note.rpartition(": ")[2] for note in progress] == ["model.layers.61 (2)"]
    add(tmp_path, "model.layers.1.mlp.up_proj.weight")
    with pytest.raises(SepoError, match=r"such as model\.layers\.1\."):
        load_model(str(tmp_path), dtype="float32")


def test_a_weight_file_that_is_no_part_of_the_model(copy, new_progress):
    shutil.copy(copy / "model.safetensors", copy / "consolidated.safetensors")
    progress = new_progress()
    for _ in range(2):
        load_model(str(copy), dtype="float32", progress=progress)
    assert progress == [f"{copy}: weight files that are not a part of the model are not read: consolidated.safetensors"]


@pytest.mark.parametrize("file", ["value_head.safetensors", "value_head.bin", "v_head.pt"])
def test_a_head_in_a_file_of_its_own(copy, file):
    (copy / file).write_bytes(b"")
    for use in (model_record, lambda name: load_model(name, dtype="float32")):
        with pytest.raises(SepoError, match=f"is a reward model or a value function: it has the head in {file}"):
            use(str(copy))


@pytest.mark.parametrize("head", ["SequenceClassification", "TokenClassification", "QuestionAnswering"])
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_a_model_with_another_head_is_refused(tmp_path, tied, head):
    """With tied embeddings, the output head has its weights, so that nothing is missing."""
    import transformers

    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = AutoConfig.for_model("qwen2", vocab_size=32, tie_word_embeddings=tied, num_labels=1, **sizes)
    getattr(transformers, f"Qwen2For{head}")(config).save_pretrained(tmp_path)
    with pytest.raises(SepoError, match=f"is a Qwen2For{head}, not a causal language model"):
        load_model(str(tmp_path), dtype="float32")
    hidden = json.loads((tmp_path / "config.json").read_text("utf-8")) | {"architectures": ["Qwen2ForCausalLM"]}
    (tmp_path / "config.json").write_text(json.dumps(hidden), "utf-8")
    with pytest.raises(SepoError, match=r"weights (of|that) a Qwen2ForCausalLM"):
        load_model(str(tmp_path), dtype="float32")
