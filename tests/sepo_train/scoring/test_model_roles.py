"""The oracle and its reference, told apart by what their folders record and by what they compute."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from sepo_data.errors import SepoError
from sepo_data.readers.arrow_stream import map_stream
from sepo_data.stages.rewards import EQUAL_MODELS
from sepo_train.scoring.model_roles import RolesError
from sepo_train.scoring.options import ScoringOptions
from sepo_train.scoring.score import score
from sepo_train.training.oracle import train_oracle
from sepo_train.training.settings import Training

STEP = {"lr": 1e-3, "batch_size": 8}


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    rows = [{"prompt": f"Tea, option {n}?", "chosen": f" Yes, {n}.", "rejected": f" No, not {n}."} for n in range(8)]
    file = tmp_path_factory.mktemp("roles") / "pairs.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def oracles(pairs, tiny_model, tmp_path_factory):
    """By kind an oracle that was trained from `tiny_model`: a complete model, an adapter, and one trained from it."""
    folder = tmp_path_factory.mktemp("oracles")
    train_oracle(pairs, folder / "whole", ref=str(tiny_model), training=Training(**STEP))
    train_oracle(pairs, folder / "adapter", ref=str(tiny_model), training=Training(**STEP, lora_r=4))
    train_oracle(pairs, folder / "second", ref=str(folder / "whole"), training=Training(**STEP))
    return {name: str(folder / name) for name in ("whole", "adapter", "second")}


@pytest.fixture
def names(oracles, tiny_model, tiny_models, tmp_path):
    resaved = copied(tiny_model, tmp_path / "resaved", max_shard_size="20KB")
    return oracles | {"ref": str(tiny_model), "foreign": str(tiny_models["oracle"]), "resaved": str(resaved)}


@pytest.mark.parametrize(
    ("oracle", "ref", "right"),
    [
        ("ref", "whole", ("whole", "ref")),
        ("ref", "adapter", ("adapter", "ref")),
        ("whole", "second", ("second", "whole")),
        ("ref", "second", ("second", "whole")),
        ("resaved", "second", ("second", "whole")),
        ("second", "ref", ("second", "whole")),
        ("whole", "foreign", ("whole", "ref")),
        ("adapter", "whole", ("adapter", "ref")),
        ("resaved", "whole", ("whole", "ref")),
    ],
)
def test_models_that_are_no_oracle_and_its_reference(names, pairs, tmp_path, *, oracle, ref, right):
    with pytest.raises(RolesError) as refused:
        score(pairs, tmp_path / "rewards", oracle=names[oracle], ref=names[ref])
    assert (refused.value.oracle, refused.value.ref) == tuple(names[name] for name in right)
    assert refused.value.hint == "score with --oracle {} --ref {}".format(*(names[name] for name in right))
    assert not (tmp_path / "rewards").exists()
    assert score(pairs, tmp_path / "rewards", oracle=names[right[0]], ref=names[right[1]], dry_run=True).results


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_reference_in_other_files_is_noted(oracles, pairs, tiny_model, tmp_path, new_progress, *, dtype):
    ref = copied(tiny_model, tmp_path / "ref", dtype=dtype, max_shard_size="20KB")
    for oracle in (oracles["whole"], oracles["adapter"]):
        told = new_progress()
        score(pairs, tmp_path / "rewards", oracle=oracle, ref=str(ref), dry_run=True, progress=told)
        assert any(note.startswith(f"note: --ref {ref} has the weights of {tiny_model}") for note in told)
        assert not any(note.startswith("warning") for note in told)


@pytest.mark.parametrize(("oracle", "ref", "warned"), [("foreign", "whole", True), ("foreign", "ref", False)])
def test_a_pair_of_models_without_a_record(names, pairs, tmp_path, new_progress, *, oracle, ref, warned):
    told = new_progress()
    score(pairs, tmp_path / "rewards", oracle=names[oracle], ref=names[ref], dry_run=True, progress=told)
    assert any("if they are exchanged, every reward is negated" in note for note in told) is warned


def copied(folder, out, **options):
    """The model in `folder` saved again, with other options of saving or loading."""
    dtype = options.pop("dtype", torch.float32)
    AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).save_pretrained(out, **options)
    AutoTokenizer.from_pretrained(folder).save_pretrained(out)
    return out


def with_adapter(folder, out, *, merged):
    """An adapter whose matrices are zero, as it is before training; `merged`, as a complete model."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    model = get_peft_model(model, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    (model.merge_and_unload() if merged else model).save_pretrained(out)
    AutoTokenizer.from_pretrained(folder).save_pretrained(out)
    return out


COPIES = {
    "the same folder": lambda folder, _out: folder,
    "a copy": shutil.copytree,
    "in other files": lambda folder, out: copied(folder, out, max_shard_size="20KB"),
    "an empty adapter": lambda folder, out: with_adapter(folder, out, merged=False),
    "an empty adapter, merged": lambda folder, out: with_adapter(folder, out, merged=True),
}


@pytest.mark.parametrize("kind", COPIES)
def test_an_oracle_that_is_the_reference_is_noted_and_recorded(
    pairs, tiny_model, tmp_path, new_progress, monkeypatch, *, kind
):
    oracle, told = COPIES[kind](tiny_model, tmp_path / "oracle"), new_progress()
    warnings_before_shards = []

    def step(*_):
        warnings_before_shards.append([note for note in told if note.startswith("warning: ")])

    monkeypatch.setattr(told, "step", step, raising=False)
    manifest = score(pairs, tmp_path / "rewards", oracle=str(oracle), ref=str(tiny_model), progress=told)
    [warning] = [note for note in told if "every reward is 0 or rounding" in note]
    assert warning.startswith("warning: ")
    assert warnings_before_shards == [[warning]]
    assert manifest.results[EQUAL_MODELS] is True
    for file in (tmp_path / "rewards").glob("*.arrow"):
        assert {value for row in map_stream(file).column("chosen_rewards").to_pylist() for value in row} == {0.0}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_copy_in_another_number_type_is_the_same_up_to_rounding(pairs, tiny_model, tmp_path, new_progress, dtype):
    copied(tiny_model, tmp_path / "oracle", dtype=dtype)
    for names in (("oracle", "ref"), ("ref", "oracle")):
        told = new_progress()
        models = dict(zip(names, (str(tmp_path / "oracle"), str(tiny_model)), strict=True))
        manifest = score(pairs, tmp_path / "rewards", **models, dry_run=True, progress=told)
        assert manifest.results[EQUAL_MODELS] is True
        assert len([note for note in told if "have the same weights" in note]) == 1


def test_the_dtype_of_scoring_may_make_them_equal(pairs, tiny_model, tmp_path, new_progress):
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    for parameter in model.parameters():
        parameter.data = parameter.data.bfloat16().float() * (1 + 2**-12)
    model.save_pretrained(tmp_path / "oracle")
    model = AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16)
    model.float().save_pretrained(tmp_path / "ref")
    told = new_progress()
    for role in ("oracle", "ref"):
        AutoTokenizer.from_pretrained(tiny_model).save_pretrained(tmp_path / role)
    models = {role: str(tmp_path / role) for role in ("oracle", "ref")}
    score(pairs, tmp_path / "rewards", **models, options=ScoringOptions(dtype="bfloat16"), progress=told)
    assert any("give the same log-probabilities" in note and "bfloat16" in note for note in told)
    told = new_progress()
    score(pairs, tmp_path / "precise", **models, progress=told)
    assert not [note for note in told if note.startswith("warning")]


def test_an_adapter_and_the_same_merged_differ_by_rounding_alone(oracles, pairs, tiny_model, tmp_path, new_progress):
    train_oracle(pairs, tmp_path / "merged", ref=str(tiny_model), training=Training(**STEP, lora_r=4, merge_lora=True))
    for record in ("sepo.json", "seen_pairs.jsonl"):
        (tmp_path / "merged" / record).unlink()
    adapter = shutil.copytree(oracles["adapter"], tmp_path / "adapter")
    (adapter / "sepo.json").unlink()
    config = json.loads((adapter / "adapter_config.json").read_text()) | {"base_model_name_or_path": str(tiny_model)}
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    told = new_progress()
    models = {"oracle": str(adapter), "ref": str(tmp_path / "merged")}
    assert score(pairs, tmp_path / "rewards", **models, progress=told).results[EQUAL_MODELS] is True
    assert any("give the same log-probabilities" in note for note in told)


def test_a_trained_oracle_is_not_warned_of(names, pairs, tmp_path, new_progress):
    told = new_progress()
    manifest = score(pairs, tmp_path / "rewards", oracle=names["whole"], ref=names["ref"], progress=told)
    assert EQUAL_MODELS not in manifest.results
    assert not [note for note in told if "warning" in note]


def test_an_oracle_on_the_hub_has_its_record(pairs, tiny_model, tmp_path, new_progress, hub_cache):
    train_oracle(pairs, tmp_path / "oracle", ref=str(tiny_model), beta=0.5, training=Training(**STEP))
    oracle, ref = hub_cache(tmp_path / "oracle", "user/oracle"), hub_cache(tiny_model, "user/ref")
    with pytest.raises(RolesError, match="are exchanged"):
        score(pairs, tmp_path / "rewards", oracle=str(tiny_model), ref=oracle, dry_run=True)
    for name, warned in ((str(tiny_model), False), (ref, True)):  # what is on the Hub cannot be compared with files
        told, out = new_progress(), tmp_path / f"rewards-{warned}"
        manifest = score(pairs, out, oracle=oracle, ref=name, progress=told)
        assert manifest.options["beta"] == 0.5
        [table] = (map_stream(file) for file in out.glob("*.arrow"))
        assert set(table.column("oracle_seen").to_pylist()) == {True}
        assert any("was trained from" in note for note in told) is warned


def test_an_unreadable_manifest_beside_a_reference_says_nothing(names, pairs, tmp_path):
    folder = shutil.copytree(names["ref"], tmp_path / "ref")
    (folder / "sepo.json").write_text("{", encoding="utf-8")
    with pytest.raises(SepoError, match="cannot be read"):
        score(pairs, tmp_path / "rewards", oracle=str(folder), ref=names["ref"], dry_run=True)
    assert score(pairs, tmp_path / "rewards", oracle=names["foreign"], ref=str(folder), dry_run=True).results
