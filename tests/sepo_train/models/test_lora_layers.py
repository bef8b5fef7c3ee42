"""LoRA adapters on the linear layers of a model: those that PEFT wraps, and those that are left out by name."""

import json

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from sepo_data.errors import SepoError
from sepo_train.models.lora import add_lora, refused_layers

pytestmark = pytest.mark.filterwarnings("ignore")

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


def built(kind, options):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, vocab_size=97, bos_token_id=1, eos_token_id=2, pad_token_id=0, **options)
    return AutoModelForCausalLM.from_config(config).eval()


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


def test_a_model_that_peft_wraps_as_a_whole_is_wrapped_as_before():
    """The trial draws no random number and changes nothing: adapters have the weights that they always had."""
    from peft import LoraConfig, get_peft_model

    ours, theirs = built(*KINDS["llama"][:2]), built(*KINDS["llama"][:2])
    torch.manual_seed(3)
    ours = add_lora(ours, 4, name="it", progress=None)
    torch.manual_seed(3)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", task_type="CAUSAL_LM")
    theirs = get_peft_model(theirs, config)
    assert {key: value.tolist() for key, value in ours.state_dict().items()} == {
        key: value.tolist() for key, value in theirs.state_dict().items()
    }


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


def test_a_model_without_a_layer_for_adapters():
    with pytest.raises(SepoError, match="it cannot be trained through LoRA adapters: ") as caught:
        add_lora(NoLinear(), 2, name="it", progress=None)
    assert "--lora-r" in caught.value.hint


def test_a_class_without_gradient_checkpointing(save_tiny, tmp_path, monkeypatch):
    from transformers import LlamaForCausalLM

    from sepo_train.training.settings import Training
    from sepo_train.training.trainable_model import trainable_model

    folder = save_tiny(tmp_path / "model")
    monkeypatch.setattr(LlamaForCausalLM, "supports_gradient_checkpointing", False)
    with pytest.raises(SepoError, match=f"{folder} cannot compute its activations twice: LlamaForCausalLM") as caught:
        trainable_model(str(folder), Training(gradient_checkpointing=True))
    assert "--gradient-checkpointing" in caught.value.hint
    assert json.loads((folder / "config.json").read_text("utf-8"))["model_type"] == "llama"
