"""LoRA adapters: on the linear layers that PEFT can wrap, and as a part of the weights."""

import json
from dataclasses import replace

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, LlamaForCausalLM

from sepo_data.errors import SepoError
from sepo_train.models.load import load_model, model_record
from sepo_train.models.lora import add_lora, merge_lora, refused_layers
from sepo_train.training.settings import Training
from sepo_train.training.trainable_model import trainable_model

IDS = torch.tensor([[5, 6, 7, 8, 9]])
TRAINING = Training(lora_r=4)
ANY_WARNING = pytest.mark.filterwarnings("ignore")

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
LLAMA = SMALL | {"intermediate_size": 64, "num_key_value_heads": 2}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_chunk_size": 8, "mamba_n_groups": 1}
ROUTER = {"num_local_experts": 2, "intermediate_size_mlp": 64, "head_dim": 8}
# model type, its configuration, the layers that are left out
KINDS = {
    "llama": ("llama", LLAMA, []),
    "gpt2, Conv1D": ("gpt2", {"n_embd": 32, "n_layer": 1, "n_head": 4}, []),
    "mamba": ("mamba", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}, ["out_proj"]),
    "falcon_h1": ("falcon_h1", LLAMA | MAMBA | {"mamba_d_ssm": 64}, ["out_proj"]),
    "llama4, a router that returns more than a product": ("llama4_text", LLAMA | ROUTER, ["router"]),
}


def adapted(model):
    """A model under adapters that change what it computes, with the logits that it gives."""
    wrapped = trainable_model(str(model), TRAINING).eval()
    torch.manual_seed(3)
    for name, parameter in wrapped.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    with torch.no_grad():
        return wrapped, wrapped(IDS).logits


def logits_of(folder):
    with torch.no_grad():
        return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)(IDS).logits


def test_a_merged_checkpoint_is_a_plain_one(tiny_model, tmp_path):
    model, logits = adapted(tiny_model)
    assert (logits - logits_of(tiny_model)).abs().max() > 1e-2
    merged = merge_lora(model)
    merged.save_pretrained(tmp_path / "merged")
    assert {file.name for file in (tmp_path / "merged").iterdir()} == {file.name for file in tiny_model.iterdir()} - {
        "tokenizer.json",
        "tokenizer_config.json",
        "chat_template.jinja",
    }
    assert torch.allclose(logits_of(tmp_path / "merged"), logits, atol=1e-5)
    weights, before = (load_file(folder / "model.safetensors") for folder in (tmp_path / "merged", tiny_model))
    assert {name: weight.shape for name, weight in weights.items()} == {n: w.shape for n, w in before.items()}
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert not hasattr(merged, "peft_config")
    assert not [name for name, _ in merged.named_parameters() if "lora" in name]
    assert all(parameter.requires_grad for parameter in merged.parameters())
    configs = [json.loads((folder / "config.json").read_text("utf-8")) for folder in (tmp_path / "merged", tiny_model)]
    assert configs[0] == configs[1]
    assert model_record(str(tmp_path / "merged")).parameters == model_record(str(tiny_model)).parameters


def test_tied_weights_and_the_generation_configuration_stay(tiny_model, tmp_path):
    plain = load_model(str(tiny_model), dtype="float32")
    plain.config.tie_word_embeddings = True
    plain.tie_weights()
    plain.generation_config.max_new_tokens = 7
    plain.save_pretrained(tmp_path / "tied")
    model, logits = adapted(tmp_path / "tied")
    merged = merge_lora(model)
    assert merged.get_output_embeddings().weight is merged.get_input_embeddings().weight
    merged.save_pretrained(tmp_path / "merged")
    assert "lm_head.weight" not in load_file(tmp_path / "merged" / "model.safetensors")
    assert torch.allclose(logits_of(tmp_path / "merged"), logits, atol=1e-5)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert loaded.config.tie_word_embeddings
    assert loaded.generation_config.max_new_tokens == 7


def test_bf16_weights_lose_nothing(tiny_model, tmp_path):
    model, logits = adapted(tiny_model)
    rounded = model.to(torch.bfloat16)
    with torch.no_grad():
        # The same weights and adapters, multiplied in fp32.
        logits = rounded.float()(IDS).logits
    merged = merge_lora(rounded.to(torch.bfloat16))
    assert merged.dtype == torch.float32
    merged.save_pretrained(tmp_path / "merged")
    assert torch.allclose(logits_of(tmp_path / "merged"), logits, atol=1e-5)


def test_a_model_without_adapters_is_itself(tiny_model):
    model = trainable_model(str(tiny_model), replace(TRAINING, lora_r=0))
    assert merge_lora(model) is model


def test_adapters_that_are_not_finite_are_refused(tiny_model):
    model, _ = adapted(tiny_model)
    with torch.no_grad():
        next(parameter for name, parameter in model.named_parameters() if "lora_B" in name).fill_(torch.inf)
    with pytest.raises(SepoError, match="cannot be merged"):
        merge_lora(model)


def built(kind, options):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, vocab_size=97, bos_token_id=1, eos_token_id=2, pad_token_id=0, **options)
    return AutoModelForCausalLM.from_config(config).eval()


@ANY_WARNING
@pytest.mark.parametrize("name", KINDS)
def test_every_layer_that_peft_can_wrap_has_an_adapter(name, new_progress):
    kind, options, left_out = KINDS[name]
    model, progress = built(kind, options), new_progress()
    with torch.no_grad():
        before = model(input_ids=torch.arange(5, 13)[None]).logits
    adapted = add_lora(model, 2, name="it", progress=progress)
    assert [note.partition(": ")[0] for note in progress] == [f"no adapters on {part} of it" for part in left_out]
    wrapped = {key.split(".lora_A")[0].rpartition(".")[2] for key, _ in adapted.named_parameters() if "lora_A" in key}
    assert wrapped
    assert not wrapped & {*left_out, "lm_head"}
    assert all(parameter.requires_grad == ("lora_" in key) for key, parameter in adapted.named_parameters())
    out = adapted(input_ids=torch.arange(5, 13)[None]).logits
    assert torch.equal(out, before)
    out.sum().backward()


@ANY_WARNING
def test_a_model_that_peft_wraps_as_a_whole_is_wrapped_as_before():
    """The trial draws no random number and changes nothing: adapters have the weights that they always had."""
    ours, theirs = built(*KINDS["llama"][:2]), built(*KINDS["llama"][:2])
    torch.manual_seed(3)
    ours = add_lora(ours, 4, name="it", progress=None)
    torch.manual_seed(3)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    theirs = get_peft_model(theirs, config)
    assert {key: value.tolist() for key, value in ours.state_dict().items()} == {
        key: value.tolist() for key, value in theirs.state_dict().items()
    }


@ANY_WARNING
def test_the_trial_leaves_the_model_as_it_was():
    model = built(*KINDS["mamba"][:2])
    modules, trained = [*map(id, model.modules())], [parameter.requires_grad for parameter in model.parameters()]
    assert list(refused_layers(model, 2)) == ["out_proj"]
    assert [*map(id, model.modules())] == modules
    assert [parameter.requires_grad for parameter in model.parameters()] == trained


class NoLinear(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.config = built(*KINDS["llama"][:2]).config
        self.embedding = torch.nn.Embedding(97, 8)
        self.device = torch.device("cpu")

    def get_output_embeddings(self):
        return None


@ANY_WARNING
def test_a_model_without_a_layer_for_adapters():
    with pytest.raises(SepoError, match="it cannot be trained through LoRA adapters: ") as caught:
        add_lora(NoLinear(), 2, name="it", progress=None)
    assert "--lora-r" in caught.value.hint


@ANY_WARNING
def test_a_class_without_gradient_checkpointing(save_tiny, tmp_path, monkeypatch):
    folder = save_tiny(tmp_path / "model")
    monkeypatch.setattr(LlamaForCausalLM, "supports_gradient_checkpointing", False)
    with pytest.raises(SepoError, match=f"{folder} cannot compute its activations twice: LlamaForCausalLM") as caught:
        trainable_model(str(folder), Training(gradient_checkpointing=True))
    assert "--gradient-checkpointing" in caught.value.hint
    assert json.loads((folder / "config.json").read_text("utf-8"))["model_type"] == "llama"
