"""Adapters as PEFT saves them, without a tokenizer: what they compute is what PEFT computes."""

import json

import pytest
import torch
from peft import (
    AdaLoraConfig,
    IA3Config,
    LoHaConfig,
    LoKrConfig,
    LoraConfig,
    OFTConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptTuningConfig,
    VeraConfig,
    get_peft_model,
)
from transformers import AutoModelForCausalLM

from sepo_data.errors import SepoError
from sepo_data.preferences.reading import Reading
from sepo_train.engine.layout_policy import PLAIN
from sepo_train.engine.logps import score_trees
from sepo_train.models.load import load_model, model_record
from sepo_train.models.tokenizers import load_tokenizer, tokenizer_record
from sepo_train.scoring.options import ScoringOptions
from sepo_train.scoring.score import score
from sepo_train.training.settings import Training
from sepo_train.training.trainable_model import load_to_merge, trainable_model

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.filterwarnings("ignore")]


def lora(**options):
    return LoraConfig(**{"r": 2, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"} | options)


KINDS = {
    "plain": lora(),
    "without a task": lora(task_type=None),
    "all-linear": lora(target_modules="all-linear"),
    "rslora": lora(use_rslora=True, r=4),
    "dora": lora(use_dora=True),
    "pissa": lora(init_lora_weights="pissa"),
    "norms": lora(modules_to_save=["norm"]),
    "embeddings": lora(modules_to_save=["embed_tokens"]),
    "head": lora(modules_to_save=["lm_head"]),
    "embeddings and head": lora(modules_to_save=["embed_tokens", "lm_head"]),
    "ia3": IA3Config(
        task_type="CAUSAL_LM", target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]
    ),
    "trainable tokens": lora(trainable_token_indices=[5, 6]),
    "adalora": AdaLoraConfig(task_type="CAUSAL_LM", init_r=4, target_r=2, total_step=10, target_modules=["q_proj"]),
    "vera": VeraConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj"]),
    "loha": LoHaConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "down_proj"]),
    "lokr": LoKrConfig(task_type="CAUSAL_LM", r=4, target_modules=["q_proj", "down_proj"]),
    "oft": OFTConfig(task_type="CAUSAL_LM", r=0, oft_block_size=4, target_modules=["q_proj"]),
}

IDS = torch.tensor([[5, 6, 7, 8, 5, 9]])


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def base(request, tiny_model, tmp_path_factory):
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    model.config.tie_word_embeddings = request.param
    head = model.model.embed_tokens.weight
    model.lm_head.weight = head if request.param else torch.nn.Parameter(head.detach() * 0.5)
    folder = tmp_path_factory.mktemp("base")
    model.save_pretrained(folder)
    load_tokenizer(str(tiny_model)).save_pretrained(folder)
    return folder


def save_adapter(base, folder, config):
    torch.manual_seed(0)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)
    adapted.save_pretrained(folder)
    return folder


def logits(model):
    with torch.no_grad():
        return model(input_ids=IDS).logits


def compare(base, folder, dtype="float32"):
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=getattr(torch, dtype))
    before = logits(plain)
    theirs = PeftModel.from_pretrained(plain, folder, autocast_adapter_dtype=False).eval()
    ours = load_model(str(folder), dtype=dtype)
    assert torch.equal(logits(ours), logits(theirs))
    assert not torch.equal(logits(ours), before)
    return ours, theirs


@pytest.mark.unstable_api
@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_gives_the_logits_that_peft_gives(base, tmp_path, random_trees, kind):
    folder = save_adapter(base, tmp_path / "adapter", KINDS[kind])
    ours, theirs = compare(base, folder)
    assert not any(parameter.requires_grad for name, parameter in ours.named_parameters() if "default" in name)
    trees = random_trees((7, 5, 3), (4, 6))
    scores, expected = (list(score_trees(model, trees, PLAIN, batch_tokens=64)) for model in (ours, theirs))
    for tree, same in zip(scores, expected, strict=True):
        assert all(map(torch.equal, tree, same))
    assert torch.equal(logits(load_to_merge(str(folder), str(base))), logits(ours))


@pytest.mark.unstable_api
def test_an_adapter_whose_ranks_were_cut_while_it_was_trained(tiny_model, tmp_path):
    """AdaLoRA gives each layer a rank of its own, and saves neither the numbers nor what it has cut off."""
    options = {"target_r": 1, "total_step": 6, "tinit": 1, "tfinal": 1, "deltaT": 1}
    config = AdaLoraConfig(task_type="CAUSAL_LM", init_r=4, target_modules=["q_proj", "o_proj"], **options)
    torch.manual_seed(0)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_model), config)
    trained = [parameter for parameter in adapted.parameters() if parameter.requires_grad]
    for parameter in trained:
        torch.nn.init.normal_(parameter, std=0.3)
    for step in range(6):
        adapted(input_ids=IDS, labels=IDS).loss.backward()
        adapted.base_model.update_and_allocate(step)
        adapted.zero_grad()
    adapted.save_pretrained(tmp_path)
    ranks = json.loads((tmp_path / "adapter_config.json").read_text("utf-8"))["rank_pattern"]
    assert min(map(sum, ranks.values())) < 4
    compare(tiny_model, tmp_path)
    assert torch.allclose(logits(trainable_model(str(tmp_path), Training())), logits(adapted.eval()), atol=1e-5)


@pytest.mark.parametrize("kind", ["plain", "dora"])
def test_it_is_loaded_in_the_dtype_of_its_base(tiny_model, tmp_path, kind):
    ours, _ = compare(tiny_model, save_adapter(tiny_model, tmp_path / "adapter", KINDS[kind]), "bfloat16")
    assert {parameter.dtype for parameter in ours.parameters()} == {torch.bfloat16}


def test_an_adapter_without_a_tokenizer_has_that_of_its_base(tiny_model, tmp_path):
    folder = save_adapter(tiny_model, tmp_path / "adapter", lora())
    assert not (folder / "tokenizer_config.json").exists()
    tokenizer, expected = load_tokenizer(str(folder)), load_tokenizer(str(tiny_model))
    assert tokenizer.name_or_path == str(folder)
    assert tokenizer_record(tokenizer).tokenizer == tokenizer_record(expected).tokenizer
    assert tokenizer.chat_template == expected.chat_template
    tokenizer.chat_template = "its own"
    tokenizer.save_pretrained(folder)
    assert load_tokenizer(str(folder)).chat_template == "its own"


def test_an_adapter_without_a_tokenizer_is_an_oracle(tiny_model, tmp_path):
    folder = save_adapter(tiny_model, tmp_path / "adapter", KINDS["dora"])
    rows = [{"prompt": f"Tea or milk, {word}?", "chosen": f" {word}, tea.", "rejected": " Milk."} for word in "abcd"]
    pairs = tmp_path / "pairs.jsonl"
    pairs.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    manifest = score(
        Reading(str(pairs)), tmp_path / "rewards", oracle=str(folder), ref=str(tiny_model), options=ScoringOptions()
    )
    assert manifest.rows == len(rows)


@pytest.mark.parametrize(
    ("kind", "config"), [("prompt-tuning", PromptTuningConfig), ("prefix-tuning", PrefixTuningConfig)]
)
def test_an_adapter_of_tokens_is_refused_by_its_kind(tiny_model, tmp_path, kind, config):
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny_model), config(task_type="CAUSAL_LM", num_virtual_tokens=3)
    )
    adapted.save_pretrained(tmp_path)
    for use in (model_record, lambda name: load_model(name, dtype="float32")):
        with pytest.raises(SepoError, match=f"is a {kind} adapter") as caught:
            use(str(tmp_path))
        assert "LoRA" in caught.value.hint
