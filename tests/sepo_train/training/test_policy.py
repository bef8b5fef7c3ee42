"""From a selection to a policy."""

import json
import math
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer

from sepo_data.console.progress import Silent
from sepo_data.errors import RefusedError, SepoError
from sepo_data.preferences.holdout import HoldoutSize
from sepo_data.preferences.reading import Reading
from sepo_data.selection.parse import parse_weights
from sepo_data.selection.rules.top import top
from sepo_data.selection.select import select
from sepo_data.selection.selection import Selection
from sepo_data.stages.scan import scan
from sepo_train.models.load import load_model
from sepo_train.models.tokenizers import load_tokenizer
from sepo_train.scoring.score import score
from sepo_train.training.objectives import objective
from sepo_train.training.policy import train
from sepo_train.training.selected_pairs import SelectedPairs
from sepo_train.training.settings import Training
from sepo_train.training.trainable_model import trainable_model

pytestmark = pytest.mark.slow


MARGIN = objective("sepo", target_margin=0.5)
TRAINING = Training(lr=3e-3, batch_size=8, micro_batch_size=4, epochs=4.0, seed=1)


@pytest.fixture(scope="module")
def selection(examples, tiny_models, tmp_path_factory):
    """30% and 20% of the tokens of 24 pairs."""
    folder = tmp_path_factory.mktemp("train")
    options = {name: str(path) for name, path in tiny_models.items()}
    score(Reading(str(examples), limit=24), folder / "rewards", **options)
    select(folder / "rewards", folder / "selection", chosen="30%", rejected="20%")
    return folder / "selection"


@pytest.fixture(scope="module")
def run(selection, tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy") / "policy"

    def call(out=folder, **changes):
        return train(selection, out, **{"policy": str(tiny_model), "training": TRAINING, "holdout": "25%"} | changes)

    return folder, call(), call


def test_the_loss_falls_and_the_held_out_margin_grows(run, selection):
    _, manifest, _ = run
    results = manifest.results
    assert results["last_loss"] < results["first_loss"] - 0.1
    seen, held_out = SelectedPairs.open(selection).split(HoldoutSize(share=2500))
    assert results["pairs"] == len(seen)
    assert 0 < len(held_out) < 24
    before, after = results["eval"]["before"], results["eval"]["after"]
    assert after["rewards/margins"] > before["rewards/margins"]
    assert (before["kl"], before["length_drift"]) == (0.0, 0.0)
    assert after["kl"] > 0
    assert before["length"] > 0


def test_what_is_in_the_folder(run, tiny_model):
    folder, manifest, _ = run
    names = {path.name for path in folder.rglob("*")}
    assert {"model.safetensors", "config.json", "tokenizer.json", "sepo.json", "metrics.jsonl"} <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pth", ".sepo-tmp"))]
    assert not (folder / "checkpoints").exists()
    policy, before = (AutoModelForCausalLM.from_pretrained(path) for path in (folder, tiny_model))
    ids = AutoTokenizer.from_pretrained(folder)("Tea or coffee?", return_tensors="pt").input_ids
    assert (policy(ids).logits - before(ids).logits).abs().max() > 1e-3
    configs = [model.config.to_dict() | {"_name_or_path": ""} for model in (policy, before)]
    assert configs[0] == configs[1], "training leaves no trace in the configuration"
    assert manifest.options["holdout"] == "25%"
    assert manifest.options["gamma"] == 2.0


def test_nothing_to_do_and_another_plan(run):
    folder, manifest, call = run
    weights = (folder / "model.safetensors").stat().st_mtime_ns
    assert call() == manifest
    with pytest.raises(RefusedError, match=r"options\.gamma: 2\.0 -> 2\.5"):
        call(objective=objective("sepo", gamma=2.5))
    assert (folder / "model.safetensors").stat().st_mtime_ns == weights
    assert call(objective=objective("sepo", gamma=2.5), overwrite=True).options["gamma"] == 2.5
    assert call(overwrite=True).results == manifest.results, "the same seed gives the same policy"


def test_lora(run, tmp_path):
    _, manifest, call = run
    lora = call(out=tmp_path / "lora", training=replace(TRAINING, lora_r=4, lr=1e-2))
    assert lora.results["first_loss"] == pytest.approx(manifest.results["first_loss"], rel=1e-5)
    assert lora.results["last_loss"] < lora.results["first_loss"]
    assert (tmp_path / "lora" / "adapter_model.safetensors").exists()
    load_model(str(tmp_path / "lora"), dtype="float32")


def test_another_vocabulary_is_refused_naming_a_token(selection, tiny_model, tmp_path):
    tokenizer = load_tokenizer(str(tiny_model))
    tokenizer.add_tokens(["<|extra|>"])
    load_model(str(tiny_model), dtype="float32").save_pretrained(tmp_path / "policy")
    tokenizer.save_pretrained(tmp_path / "policy")
    with pytest.raises(SepoError, match=r"policy .* the first is '<\|extra\|>'"):
        train(selection, tmp_path / "out", policy=str(tmp_path / "policy"), training=TRAINING)
    assert not (tmp_path / "out").exists()


def test_a_context_that_is_too_short_is_refused(selection, tiny_model, tmp_path):
    model = load_model(str(tiny_model), dtype="float32")
    model.config.max_position_embeddings = 32
    model.save_pretrained(tmp_path / "policy")
    load_tokenizer(str(tiny_model)).save_pretrained(tmp_path / "policy")
    with pytest.raises(SepoError, match=r"rows of \d+ tokens, which exceed the context of .*policy, 32"):
        train(selection, tmp_path / "out", policy=str(tmp_path / "policy"), training=TRAINING)


def test_holding_out_everything_is_refused(selection, tiny_model, tmp_path):
    with pytest.raises(SepoError, match="leaves no pair to train on"):
        train(selection, tmp_path / "out", policy=str(tiny_model), training=TRAINING, holdout=10_000)


def test_a_share_that_holds_out_nothing_is_refused(selection, tiny_model, tmp_path):
    with pytest.raises(SepoError, match=r"--holdout 0.01% holds out none of the \d+ pairs") as caught:
        train(selection, tmp_path / "out", policy=str(tiny_model), training=TRAINING, holdout="0.01%")
    assert caught.value.hint == "choose a larger share, or a number of pairs"
    assert not (tmp_path / "out").exists()


def test_no_epochs_are_refused(selection, tiny_model, tmp_path):
    with pytest.raises(SepoError, match="epochs"):
        train(selection, tmp_path / "out", policy=str(tiny_model), training=replace(TRAINING, epochs=0.0))


def test_a_selection_is_needed(selection, tiny_model, tmp_path):
    with pytest.raises(SepoError, match="holds rewards, not selection"):
        train(selection.parent / "rewards", tmp_path / "out", policy=str(tiny_model), training=TRAINING)


def test_the_logged_loss_is_sepos(run, selection, tiny_model, tmp_path):
    """One step over all pairs: the loss worked out from plain log-probabilities."""
    _, _, call = run
    call(out=tmp_path / "one", training=replace(TRAINING, batch_size=24, epochs=1.0), holdout=0, objective=MARGIN)
    [line] = (tmp_path / "one" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    model, losses = load_model(str(tiny_model), dtype="float32"), []
    for pair in SelectedPairs.open(selection):
        means = []
        for branch, response in enumerate(pair.tree.responses):
            ids = [*pair.tree.prompt_ids, *response]
            with torch.no_grad():
                logps = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
            first = len(pair.tree.prompt_ids)
            kept = [float(logps[first + i - 1, response[i]]) for i in pair.tree.target_positions(branch)]
            means.append(sum(kept) / len(kept))
        losses.append(math.log1p(math.exp(-(2 * (means[0] - means[1]) - 0.5))))
    assert json.loads(line)["loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_soft_weights_weigh_the_tokens_of_the_loss(run, selection, tiny_model, tmp_path):
    """One step over all pairs, against the same masks without weights and against plain log-probabilities."""
    _, _, call = run
    rule = top(chosen="30%", rejected="20%")
    select(selection.parent / "rewards", tmp_path / "weighted", Selection(rule, weights=parse_weights("softmax(0.01)")))
    training = replace(TRAINING, batch_size=24, epochs=1.0)
    plain = call(tmp_path / "plain", training=training, holdout=0, objective=MARGIN)
    weighted = train(
        tmp_path / "weighted", tmp_path / "soft", policy=str(tiny_model), training=training, objective=MARGIN
    )
    model, losses, flat = load_model(str(tiny_model), dtype="float32"), [], 0
    for row in scan(tmp_path / "weighted").collect().to_dicts():
        means = []
        for side in ("chosen", "rejected"):
            ids, weights = row["prompt_ids"] + row[f"{side}_ids"], row[f"{side}_weights"]
            assert [weight > 0 for weight in weights] == row[f"{side}_mask"]
            flat += len({weight for weight in weights if weight}) == 1
            with torch.no_grad():
                logps = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
            first = len(row["prompt_ids"])
            total = sum(float(logps[first + i - 1, ids[first + i]]) * weight for i, weight in enumerate(weights))
            means.append(total / sum(weights))
        losses.append(math.log1p(math.exp(-(2 * (means[0] - means[1]) - 0.5))))
    assert flat < 5, "of 48 responses few have one token, or all of one weight"
    assert weighted.results["first_loss"] == pytest.approx(sum(losses) / len(losses), rel=1e-5)
    assert abs(weighted.results["first_loss"] - plain.results["first_loss"]) > 1e-3
    soft, hard = (load_model(str(tmp_path / name), dtype="float32").state_dict() for name in ("soft", "plain"))
    assert max(float((soft[name] - hard[name]).abs().max()) for name in soft) > 1e-4


def adapter_of(model, folder):
    """A LoRA adapter of the model in folder `model`, which changes its logits."""
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(3)
    wrapped = get_peft_model(load_model(str(model), dtype="float32"), LoraConfig(r=2, target_modules="all-linear"))
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    wrapped.save_pretrained(folder)
    AutoTokenizer.from_pretrained(model).save_pretrained(folder)
    return folder


def test_full_training_starts_from_an_adapter_merged_into_its_base(tiny_model, tmp_path):
    folder = adapter_of(tiny_model, tmp_path / "adapter")
    ids = torch.tensor([[5, 6, 7, 8]])
    base, adapted = (load_model(str(path), dtype="float32")(ids).logits for path in (tiny_model, folder))
    assert (base - adapted).abs().max() > 1e-3
    model = trainable_model(str(folder), TRAINING)
    assert torch.allclose(model(ids).logits, adapted, atol=1e-5)
    assert all(parameter.requires_grad for parameter in model.parameters())
    with pytest.raises(SepoError, match="cannot be trained on top of it"):
        trainable_model(str(folder), replace(TRAINING, lora_r=4))


def test_an_adapter_is_found_from_any_directory(run, tmp_path, monkeypatch):
    _, _, call = run
    folder = tmp_path / "lora"
    call(folder, training=replace(TRAINING, lora_r=2))
    monkeypatch.chdir(tmp_path)
    assert load_model("lora", dtype="float32").num_parameters() > 0


def test_a_run_that_cannot_be_made_does_not_replace_another(run, tmp_path):
    folder, _, call = run
    shutil.copytree(folder, tmp_path / "old")
    with pytest.raises(SepoError, match="leaves no pair"):
        call(tmp_path / "old", holdout=10_000, overwrite=True)
    assert (tmp_path / "old" / "model.safetensors").exists()


def test_settings_that_do_not_decide_the_weights_are_not_part_of_the_plan(run):
    _, manifest, call = run
    again = call(training=replace(TRAINING, micro_batch_size=2, save_steps=5))
    assert again.fingerprint == manifest.fingerprint
    assert again.runtime["micro_batch_size"] == 4, "nothing was done"


def test_ids_beyond_the_policys_embedding(selection, tiny_model, tmp_path):
    config = json.loads((tiny_model / "config.json").read_text(encoding="utf-8"))
    small = tmp_path / "small"
    shutil.copytree(tiny_model, small)
    (small / "config.json").write_text(json.dumps(config | {"vocab_size": 40}), encoding="utf-8")
    with pytest.raises(SepoError, match="embeds only 40 tokens"):
        train(selection, tmp_path / "policy", policy=str(small), training=TRAINING)


def test_metrics_are_kept_step_by_step(run, tmp_path):
    """24 pairs, some held out; 8 a step for two epochs, evaluated before, after every 2 steps and at the end."""
    _, _, call = run
    manifest = call(tmp_path / "evals", training=replace(TRAINING, epochs=2.0, eval_steps=2))
    lines = (tmp_path / "evals" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    entries = [json.loads(line) for line in lines]
    steps = -(-manifest.results["pairs"] // 8) * 2
    assert [entry["step"] for entry in entries if "loss" in entry] == list(range(1, steps + 1))
    evaluations = [entry for entry in entries if "eval_loss" in entry]
    assert [entry["step"] for entry in evaluations] == sorted({*range(0, steps + 1, 2), steps})
    assert 0.2 < entries[1]["tokens/selected_fraction"] < 0.35, "30% and 20%, at least one token"
    ends = manifest.results["eval"]
    assert ends["before"]["loss"] == evaluations[0]["eval_loss"]
    assert ends["after"]["kl"] == evaluations[-1]["eval_kl"]


def test_evaluating_without_holdout_pairs_is_refused(run, tmp_path):
    _, _, call = run
    with pytest.raises(SepoError, match="--eval-steps has no holdout pairs"):
        call(tmp_path / "blind", training=replace(TRAINING, eval_steps=2), holdout=0)


@pytest.mark.parametrize("name", ["dpo", "ipo", "kto", "simpo", "cpo", "orpo", "rrhf"])
def test_other_losses_train(run, tmp_path, name):
    _, _, call = run
    manifest = call(tmp_path / name, training=replace(TRAINING, epochs=2.0), objective=objective(name), holdout=0)
    assert manifest.options["loss"] == name
    assert manifest.results["last_loss"] < manifest.results["first_loss"]
    first, *others = map(json.loads, (tmp_path / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines())
    # Against the policy itself all first rewards are 0, but for rounding: an accuracy of them would be noise.
    assert ("rewards/accuracies" in first) is not objective(name).needs_reference
    assert all("rewards/accuracies" in entry for entry in others)
    if name == "dpo":
        assert manifest.results["first_loss"] == pytest.approx(math.log(2), abs=1e-5), "the reference is the policy"


def test_stored_reference_log_probabilities(run, selection, tiny_model, tmp_path):
    """The policy is the model that the rewards were scored with as reference: stored or computed, all is the same."""
    _, _, call = run
    runs = [
        call(
            tmp_path / where.replace("/", "_"),
            objective=objective("dpo"),
            ref_logps=where,
            training=replace(TRAINING, epochs=1.0),
        )
        for where in ("policy", "stored", str(selection.parent / "rewards"))
    ]
    assert [run.options["ref_logps"] for run in runs] == ["policy", "stored", "stored"]
    for run_ in runs:
        assert "rewards/accuracies" not in run_.results["eval"]["before"]
        assert "rewards/accuracies" in run_.results["eval"]["after"]
    assert runs[1].fingerprint == runs[2].fingerprint != runs[0].fingerprint
    for name in ("first_loss", "last_loss"):
        assert runs[1].results[name] == runs[2].results[name] == pytest.approx(runs[0].results[name], abs=1e-4)


def test_rewards_that_are_gone_or_others(selection, tiny_model, tiny_models, examples, tmp_path):
    shutil.copytree(selection, tmp_path / "elsewhere" / "selection")
    moved = tmp_path / "elsewhere" / "selection"
    manifest = json.loads((moved / "sepo.json").read_text(encoding="utf-8"))
    manifest["input"]["name"] = "/nowhere/rewards"
    (moved / "sepo.json").write_text(json.dumps(manifest), encoding="utf-8")
    options = {"policy": str(tiny_model), "training": TRAINING, "objective": objective("dpo")}
    with pytest.raises(SepoError, match="no rewards with stored reference log-probabilities at /nowhere/rewards or"):
        train(moved, tmp_path / "out", ref_logps="stored", **options)
    other = tmp_path / "other"
    score(Reading(str(examples), limit=5), other, **{name: str(path) for name, path in tiny_models.items()})
    with pytest.raises(SepoError, match="selected from other rewards"):
        train(selection, tmp_path / "out", ref_logps=str(other), **options)
    assert not (tmp_path / "out").exists()


def test_merged_adapters_are_a_whole_checkpoint(run, tiny_model, tmp_path):
    _, _, call = run
    shutil.copytree(tiny_model, tmp_path / "talks")
    (tmp_path / "talks" / "generation_config.json").write_text('{"eos_token_id": [1, 2]}', encoding="utf-8")
    lora = {"policy": str(tmp_path / "talks"), "training": replace(TRAINING, lora_r=4, lr=1e-2)}
    call(tmp_path / "adapter", **lora)
    call(tmp_path / "merged", **lora | {"training": replace(lora["training"], merge_lora=True)})
    settings = json.loads((tmp_path / "merged" / "generation_config.json").read_text(encoding="utf-8"))
    assert settings["eos_token_id"] == [1, 2], "sampling on the way leaves them alone"
    names = {path.name for path in (tmp_path / "merged").iterdir()}
    assert "model.safetensors" in names
    assert not [name for name in names if name.startswith("adapter")]
    ids = torch.tensor([[5, 6, 7, 8]])
    adapter, merged = (load_model(str(tmp_path / name), dtype="float32")(ids).logits for name in ("adapter", "merged"))
    assert torch.allclose(adapter, merged, atol=1e-5)
    with pytest.raises(SepoError, match="nothing to merge"):
        Training(merge_lora=True)


def test_bf16_autocast_on_a_cpu(run, tmp_path):
    _, manifest, call = run
    rough = call(tmp_path / "rough", training=replace(TRAINING, dtype="bfloat16"))
    assert rough.options["dtype"] == "bfloat16"
    assert manifest.options["dtype"] == "float32"
    assert rough.results["first_loss"] == pytest.approx(manifest.results["first_loss"], abs=0.05)
    assert rough.results["first_loss"] != manifest.results["first_loss"]
    weights = load_model(str(tmp_path / "rough"), dtype="float32").state_dict().values()
    assert all(bool(tensor.isfinite().all()) for tensor in weights)
    before = rough.results["eval"]["before"]
    assert (before["kl"], before["length_drift"]) == (0.0, 0.0), "the start was sampled and scored in bf16, too"


def test_the_reference_is_computed_in_the_type_of_training(run, tmp_path):
    _, _, call = run
    rough = call(
        tmp_path / "out",
        training=replace(TRAINING, dtype="bfloat16", epochs=1.0),
        objective=objective("dpo"),
        holdout=0,
    )
    assert rough.results["first_loss"] == pytest.approx(math.log(2), abs=1e-3)


def test_a_reference_for_a_loss_that_has_none_is_refused(run, tmp_path):
    _, _, call = run
    with pytest.raises(SepoError, match="--loss sepo compares with no reference"):
        call(tmp_path / "out", ref_logps="stored")


def into_a_full_disk():
    raise OSError(28, "No space left on device")


def torch_into_a_full_disk():
    torch.save(torch.zeros(10**6), "/dev/full")


def safetensors_into_a_full_disk():
    raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="no /dev/full to write to")
@pytest.mark.parametrize("write", [into_a_full_disk, torch_into_a_full_disk, safetensors_into_a_full_disk])
def test_a_full_disk_names_the_checkpoint_that_is_whole(run, tmp_path, monkeypatch, write):
    """The second checkpoint finds no space; what there is of it goes, and the same command goes on from the first."""
    from sepo_train.training.pair_trainer import PairTrainer

    _, _, call = run
    training = replace(TRAINING, save_steps=2, epochs=2.0)
    whole = call(tmp_path / "whole", training=training)
    save = PairTrainer._save_checkpoint

    def full(trainer, *arguments, **options):
        if trainer.state.global_step == 4:
            folder = tmp_path / "out" / "checkpoints" / "checkpoint-4"
            folder.mkdir()
            (folder / "model.safetensors").write_bytes(b"part")
            write()
        save(trainer, *arguments, **options)

    with monkeypatch.context() as patched:
        patched.setattr(PairTrainer, "_save_checkpoint", full)
        with pytest.raises(SepoError, match="no space is left for a checkpoint") as error:
            call(tmp_path / "out", training=training)
    assert "checkpoint-2 is complete" in error.value.hint
    assert not (tmp_path / "out" / "checkpoints" / "checkpoint-4").exists()
    again = call(tmp_path / "out", training=training, resume=True)
    assert again.results["last_loss"] == whole.results["last_loss"]
    first, second = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "out"))
    assert first == second


def test_a_second_run_into_the_directory_of_one_that_is_at_work_is_refused(run, tmp_path, monkeypatch):
    from sepo_train.training.pair_trainer import PairTrainer

    _, _, call = run
    training, refused = replace(TRAINING, save_steps=2), []
    save = PairTrainer._save_checkpoint

    def meanwhile(trainer, *arguments, **options):
        for overwrite in (False, True):
            with pytest.raises(RefusedError, match="another process is writing"):
                call(tmp_path, training=training, overwrite=overwrite)
            refused.append(overwrite)
        save(trainer, *arguments, **options)

    monkeypatch.setattr(PairTrainer, "_save_checkpoint", meanwhile)
    assert call(tmp_path, training=training).complete
    assert refused
    assert not (tmp_path / ".sepo").exists()


def test_a_gradient_that_is_not_finite_stops_before_the_step(run, tmp_path):
    """A loss that is finite with a gradient that is not: the square root at 0."""
    _, _, call = run
    sepo = objective("sepo")
    broken = replace(sepo, loss=lambda chosen, _rejected: (chosen.means - chosen.means.detach()).clamp_min(0).sqrt())
    with pytest.raises(SepoError, match=r"the gradient is not finite in step 1, of pairs \w{16}, "):
        call(tmp_path / "out", objective=broken)
    assert not (tmp_path / "out" / "model.safetensors").exists()


def test_another_chat_template_is_told_and_replaced(run, selection, tiny_model, tmp_path):
    """The policy learned from prompts as the selection has them; that is how it will be asked."""
    _, _, call = run
    shutil.copytree(tiny_model, tmp_path / "policy")
    tokenizer = load_tokenizer(str(tmp_path / "policy"))
    own = tokenizer.chat_template
    tokenizer.chat_template = own.replace("<|im_end|>", "<|im_end|> ")
    tokenizer.save_pretrained(tmp_path / "policy")
    notes = []

    class Notes(Silent):
        def note(self, text):
            notes.append(text)

    call(tmp_path / "out", policy=str(tmp_path / "policy"), training=replace(TRAINING, epochs=1.0), progress=Notes())
    [told] = [note for note in notes if "chat template" in note]
    assert "renders" in told
    assert load_tokenizer(str(tmp_path / "out")).chat_template == own
    notes.clear()
    call(tmp_path / "same", training=replace(TRAINING, epochs=1.0), progress=Notes())
    assert not [note for note in notes if "chat template" in note]
