"""One model in memory or both, or an adapter switched on and off: the same rewards."""

import weakref

import peft
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sepo_data.preferences.reading import Reading
from sepo_data.readers.arrow_stream import map_stream
from sepo_train.models.load import load_model
from sepo_train.scoring import model_pair
from sepo_train.scoring.model_pair import ModelPair
from sepo_train.scoring.options import ScoringOptions
from sepo_train.scoring.score import score

ONE_WEIGHTS = "the oracle is an adapter on the reference model: one set of weights serves both"
KINDS = [f"{side}_{kind}" for side in ("chosen", "rejected") for kind in ("oracle_logps", "ref_logps", "rewards")]


def shards(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.glob("*.arrow"))}


def columns(folder):
    """Each kind of value of each pair."""
    rows = [entry for file in sorted(folder.glob("*.arrow")) for entry in map_stream(file).to_pylist()]
    return {kind: [entry[kind] for entry in rows] for kind in KINDS}


def close(ours, theirs):
    return [len(values) for values in ours] == [len(values) for values in theirs] and all(
        values == pytest.approx(others, abs=1e-5) for values, others in zip(ours, theirs, strict=True)
    )


@pytest.fixture
def loads(monkeypatch):
    """The names of the models that are loaded, each with how many others are alive at that moment."""
    alive, made = [], []

    def counted(name, **options):
        made.append((name, sum(model() is not None for model in alive)))
        model = load_model(name, **options)
        alive.append(weakref.ref(model))
        return model

    monkeypatch.setattr(model_pair, "load_model", counted)
    return made


@pytest.mark.slow
def test_one_model_in_memory_is_one_load_a_shard(six_shards, twelve_pairs, tiny_models, tmp_path, loads):
    models = {role: str(folder) for role, folder in tiny_models.items()}
    score(str(twelve_pairs), tmp_path / "rewards", **models, options=ScoringOptions(shard_rows=2, check_precision=2))
    oracle, ref = models["oracle"], models["ref"]
    # The choice of the engine loads both, each shard the one that is not there, the check of precision both in fp32.
    in_turn = [oracle, ref] + [oracle, ref] * 3 + [oracle, ref]
    assert loads == [(name, 0) for name in in_turn]
    assert shards(tmp_path / "rewards") == shards(six_shards), "which was scored with both in memory"


def test_both_in_memory_are_loaded_once(six_shards, twelve_pairs, tiny_models, tmp_path, loads):
    models = {role: str(folder) for role, folder in tiny_models.items()}
    score(str(twelve_pairs), tmp_path / "rewards", **models, options=ScoringOptions(shard_rows=2, models_in_memory=2))
    assert loads == [(models["oracle"], 0), (models["ref"], 1)]
    assert shards(tmp_path / "rewards") == shards(six_shards)


@pytest.fixture(scope="module")
def with_biases(tmp_path_factory, save_tiny):
    """A model whose attention has biases, which Llama's has not."""
    return save_tiny(tmp_path_factory.mktemp("qwen") / "ref", kind="qwen2")


def save_adapter(base, folder, **options):
    """A LoRA adapter of random numbers, and beside it the same as a whole model."""
    folder /= "models"
    model = AutoModelForCausalLM.from_pretrained(base)
    torch.manual_seed(5)
    config = peft.LoraConfig(
        r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, task_type="CAUSAL_LM", **options
    )
    adapted = peft.get_peft_model(model, config)
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad and "lora" not in name:
            parameter.data += 0.1 * torch.randn_like(parameter)
    tokenizer = AutoTokenizer.from_pretrained(base)
    adapted.save_pretrained(folder / "oracle")
    tokenizer.save_pretrained(folder / "oracle")
    adapted.merge_and_unload().save_pretrained(folder / "merged")
    tokenizer.save_pretrained(folder / "merged")
    return {name: str(folder / name) for name in ("oracle", "merged")}


@pytest.mark.slow
@pytest.mark.unstable_api
def test_an_adapter_is_switched_on_and_off(new_progress, twelve_pairs, tiny_models, tmp_path, monkeypatch, *, loads):
    ref = str(tiny_models["ref"])
    made, notes = save_adapter(ref, tmp_path), new_progress()
    score(
        str(twelve_pairs),
        tmp_path / "one",
        oracle=made["oracle"],
        ref=ref,
        options=ScoringOptions(shard_rows=2),
        progress=notes,
    )
    assert notes.count(ONE_WEIGHTS) == 1
    assert loads == [(ref, 0), (made["oracle"], 0)], "the first to compare with"
    with monkeypatch.context() as patch:
        patch.setattr(ModelPair, "check_adapter", lambda *_: False)
        score(str(twelve_pairs), tmp_path / "two", oracle=made["oracle"], ref=ref, options=ScoringOptions(shard_rows=2))
    score(str(twelve_pairs), tmp_path / "merged", oracle=made["merged"], ref=ref, options=ScoringOptions(shard_rows=2))
    one, two, merged = (columns(tmp_path / name) for name in ("one", "two", "merged"))
    for side in ("chosen", "rejected"):
        assert one[f"{side}_ref_logps"] == two[f"{side}_ref_logps"] == merged[f"{side}_ref_logps"], "to the last bit"
        for kind in ("oracle_logps", "rewards"):
            assert close(one[f"{side}_{kind}"], two[f"{side}_{kind}"])
            assert close(one[f"{side}_{kind}"], merged[f"{side}_{kind}"])
        assert not close(one[f"{side}_oracle_logps"], one[f"{side}_ref_logps"]), "the adapter does something"


@pytest.mark.slow
@pytest.mark.parametrize("trained", [{"modules_to_save": ["lm_head"]}, {"modules_to_save": ["embed_tokens"]}, "bias"])
def test_an_adapter_that_leaves_a_trace_is_a_model_of_its_own(
    new_progress, twelve_pairs, tiny_models, with_biases, tmp_path, *, trained
):
    ref = str(with_biases if trained == "bias" else tiny_models["ref"])
    made, notes = save_adapter(ref, tmp_path, **({"bias": "all"} if trained == "bias" else trained)), new_progress()
    score(Reading(str(twelve_pairs), limit=4), tmp_path / "adapter", oracle=made["oracle"], ref=ref, progress=notes)
    assert ONE_WEIGHTS not in notes
    score(Reading(str(twelve_pairs), limit=4), tmp_path / "merged", oracle=made["merged"], ref=ref)
    adapter, merged = columns(tmp_path / "adapter"), columns(tmp_path / "merged")
    for kind in KINDS:
        assert close(adapter[kind], merged[kind]), kind


@pytest.mark.slow
def test_an_adapter_on_another_model_than_the_reference(new_progress, twelve_pairs, tiny_models, tmp_path, loads):
    ref, base = str(tiny_models["ref"]), str(tiny_models["oracle"])
    made, notes = save_adapter(base, tmp_path), new_progress()
    score(Reading(str(twelve_pairs), limit=4), tmp_path / "rewards", oracle=made["oracle"], ref=ref, progress=notes)
    assert ONE_WEIGHTS not in notes
    assert {name for name, _ in loads} == {made["oracle"], ref}
    score(Reading(str(twelve_pairs), limit=4), tmp_path / "merged", oracle=made["merged"], ref=ref)
    ours, merged = columns(tmp_path / "rewards"), columns(tmp_path / "merged")
    assert all(close(ours[kind], merged[kind]) for kind in KINDS)


def test_an_adapter_whose_base_is_a_copy_of_the_reference_under_another_name(
    new_progress, twelve_pairs, tiny_models, tmp_path
):
    made, notes = save_adapter(str(tiny_models["ref"]), tmp_path), new_progress()
    copy = tmp_path / "copy"
    copy.symlink_to(tiny_models["ref"])
    score(
        Reading(str(twelve_pairs), limit=4), tmp_path / "rewards", oracle=made["oracle"], ref=str(copy), progress=notes
    )
    assert ONE_WEIGHTS in notes
