"""Training mode before the first step: it computes what evaluation mode does, pass after pass, or the run stops."""

import json
import math
from functools import partial

import pytest
import torch
from torch.nn.functional import dropout

from sepo_data.errors import SepoError
from sepo_data.preferences.reading import Reading
from sepo_train.engine.layout_policy import PLAIN
from sepo_train.models.load import load_model
from sepo_train.models.random_numbers import generator_states
from sepo_train.training.noise_check import check_noise, tried_pairs
from sepo_train.training.oracle import train_oracle
from sepo_train.training.reference_logps import computed_ref_logps
from sepo_train.training.selected_pairs import TrainingPair
from sepo_train.training.settings import Training

CPU = torch.device("cpu")
LN_2 = pytest.approx(math.log(2), abs=1e-5)


@pytest.fixture
def pairs(llama, random_trees):
    """Two pairs with the log-probabilities of `llama` as their reference."""
    trees = random_trees((6, 5, 3), (4, 2, 7))
    logps = computed_ref_logps(llama, trees, PLAIN).tolist()
    return [
        TrainingPair(str(place), tree, tuple(sums)) for place, (tree, sums) in enumerate(zip(trees, logps, strict=True))
    ]


check = partial(check_noise, layout_policy=PLAIN, name="it", own_reference=True, allowed=False)


def noisy(model, change):
    """Let the feed-forward layers of `model` in training mode give `change` of their output."""
    for layer in model.model.layers:
        layer.mlp.register_forward_hook(lambda mlp, _, output: change(output) if mlp.training else output)
    return model


RANDOM = {
    "jitter": lambda output: output * torch.empty_like(output).uniform_(0.9, 1.1),
    "functional dropout": lambda output: dropout(output, 0.1, training=True),
    "skipped layers": lambda output: output * (torch.rand([]) > 0.3),
    "small": lambda output: output * (1 + 1e-3 * torch.randn_like(output)),
}


@pytest.mark.parametrize("own_reference", [True, False])
@pytest.mark.parametrize("change", RANDOM.values(), ids=RANDOM)
def test_random_passes_are_refused(llama, pairs, change, own_reference):
    with pytest.raises(SepoError, match="it computes with random numbers in training mode, drawn by ") as caught:
        check(noisy(llama, change), pairs, own_reference=own_reference)
    assert "--allow-noise" in caught.value.hint
    assert "computes with random numbers" in check(llama, pairs, own_reference=own_reference, allowed=True)


def test_numbers_of_a_generator_of_its_own(llama, pairs):
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(SepoError, match="computes with random numbers in training mode: "):
        check(noisy(llama, lambda output: output * torch.rand(1, generator=generator)), pairs)


def test_another_computation_in_training_mode_is_refused(llama, pairs):
    with pytest.raises(SepoError, match="it computes otherwise in training mode: log-probabilities change by up to"):
        check(noisy(llama, lambda output: output * 1.1), pairs)


def test_a_small_change_of_mode_matters_to_a_loss_with_a_reference_alone(llama, pairs):
    """Evaluation computed the reference; what training mode adds to it would be a part of the first loss."""
    model = noisy(llama, lambda output: output * 1.0005)
    assert check(model, pairs, own_reference=False) is None
    with pytest.raises(SepoError, match="computes otherwise in training mode"):
        check(model, pairs)


def test_another_reference_is_refused_where_it_should_be_the_model_itself(llama, pairs):
    others = [TrainingPair(pair.pair_id, pair.tree, pair.ref_logps[::-1]) for pair in pairs]
    with pytest.raises(SepoError, match="its own log-probabilities as the reference differ by"):
        check(llama, others)
    assert check(llama, others, own_reference=False) is None


@pytest.mark.parametrize("bf16", [False, True])
@pytest.mark.parametrize("harmless", [None, lambda output: output + 0 * torch.rand(1)], ids=["none", "without effect"])
def test_what_trains_as_it_evaluates_passes(llama, random_trees, harmless, bf16):
    trees = random_trees((6, 5, 3), (4, 2, 7))
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logps = computed_ref_logps(llama, trees, PLAIN).tolist()
        pairs = [TrainingPair("a", tree, tuple(sums)) for tree, sums in zip(trees, logps, strict=True)]
        before = generator_states(CPU)
        assert check(noisy(llama, harmless) if harmless else llama, pairs) is None
    assert generator_states(CPU) == before, "the check leaves no trace in what follows"


def test_an_error_of_the_model_in_training_mode_is_a_sentence(llama, pairs):
    library = {"__name__": "a_library"}
    exec("def change(output):\n    raise ValueError('this model knows no training')", library)  # noqa: S102
    with pytest.raises(SepoError, match="it cannot be run in training mode: this model knows no training"):
        check(noisy(llama, library["change"]), pairs)


def test_few_pairs_are_tried(pairs):
    many = pairs * 10
    assert tried_pairs(many, [10] * 20, 8) == many[:4]
    assert tried_pairs(many, [10] * 20, 2) == many[:2]
    assert tried_pairs(many, [5, 10**6, 5], 4) == [many[1]], "the longest may fill a micro-batch by itself"


@pytest.fixture
def sampling(save_tiny, tmp_path):
    """A model whose experts are sampled in training mode."""
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = save_tiny(tmp_path / "phimoe")
    torch.manual_seed(0)
    sizes = json.loads((folder / "config.json").read_text("utf-8"))
    names = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
    kept = {name: sizes[name] for name in (*names, "num_key_value_heads", "eos_token_id", "pad_token_id")}
    config = AutoConfig.for_model("phimoe", **kept, bos_token_id=None, num_local_experts=4, attention_dropout=0.1)
    model = AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0, 0.2)
    model.save_pretrained(folder)
    return folder


def test_a_run_stops_before_its_first_step_or_records_the_noise(sampling, examples, tmp_path, new_progress):
    reading = Reading(str(examples), limit=4)
    run = partial(train_oracle, reading, tmp_path / "out", ref=str(sampling))
    with pytest.raises(SepoError, match="random numbers in training mode, drawn by Phimoe"):
        run(training=Training(lr=1e-9))
    assert not (tmp_path / "out").exists()
    progress = new_progress()
    progress.metrics = lambda *_: None
    manifest = run(training=Training(lr=1e-9, allow_noise=True), progress=progress)
    assert manifest.options["allow_noise"] is True
    assert manifest.results["noise"].startswith("computes with random numbers")
    assert any("--allow-noise" in note for note in progress)
    assert json.loads((tmp_path / "out" / "config.json").read_text("utf-8"))["attention_dropout"] == 0.1


def test_the_jitter_of_routers_is_off_in_training_and_kept(tiny_model, examples, tmp_path):
    from transformers import AutoConfig, AutoModelForCausalLM

    from sepo_train.models.tokenizers import load_tokenizer

    torch.manual_seed(0)
    tokenizer = load_tokenizer(str(tiny_model))
    sizes = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}
    config = AutoConfig.for_model(
        "mixtral",
        vocab_size=len(tokenizer),
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        num_key_value_heads=2,
        num_local_experts=4,
        router_jitter_noise=0.1,
        **sizes,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "ref")
    tokenizer.save_pretrained(tmp_path / "ref")
    manifest = train_oracle(
        Reading(str(examples), limit=4), tmp_path / "out", ref=str(tmp_path / "ref"), training=Training(lr=1e-9)
    )
    assert manifest.results["first_loss"] == LN_2
    assert "noise" not in manifest.results
    assert "allow_noise" not in manifest.options
    assert load_model(str(tmp_path / "out"), dtype="float32").config.router_jitter_noise == 0.1
