"""The head in tiles gives what the head in one piece gives, wherever the model lets it."""

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from sepo_data.errors import SepoError
from sepo_train.engine import head
from sepo_train.engine.layout import Tree, padded_layout, shared_layout
from sepo_train.engine.logps import token_logps

VOCABULARY = 97
TINY = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
}
LAYOUT = shared_layout([Tree([5, 6, 7], ([8, 9, 10, 11], [12, 13])), Tree([4], ([3], [90, 2, 1]))])

# What each model does to its head's output: the number it is multiplied with, None where it is bent.
SCALES = {
    "llama": (TINY, 1.0),
    "granite": (TINY | {"logits_scaling": 4.0}, 0.25),
    "cohere": (TINY | {"logit_scale": 0.0625}, 0.0625),
    "gemma2": (TINY | {"head_dim": 8, "query_pre_attn_scalar": 8, "final_logit_softcapping": 2.0}, None),
    "phi": ({key: value for key, value in TINY.items() if key != "num_key_value_heads"}, 1.0),
}


def tiny(kind, **options):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **options)).eval()
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.3)
    return model


@pytest.fixture
def seen(monkeypatch):
    """How many positions the head was given, call by call, with room for three positions a tile."""
    monkeypatch.setattr(head, "TILE_LOGITS", 3 * VOCABULARY)
    sizes = []

    def watch(model):
        model.get_output_embeddings().register_forward_hook(lambda _head, args, _out: sizes.append(args[0].shape))
        linear = torch.nn.functional.linear

        def counted(rows, weight, *rest):
            if weight is model.get_output_embeddings().weight:
                sizes.append(rows.shape[-2])
            return linear(rows, weight, *rest)

        monkeypatch.setattr(torch.nn.functional, "linear", counted)
        return sizes

    return watch


@pytest.mark.parametrize("kind", SCALES)
def test_the_scale_is_found(kind):
    options, scale = SCALES[kind]
    assert head.output_scale(tiny(kind, **options)) == scale


@pytest.mark.parametrize("kind", SCALES)
def test_tiles_change_neither_values_nor_gradients(kind, monkeypatch):
    model = tiny(kind, **SCALES[kind][0])
    parameters = list(model.parameters())

    def run():
        logps = token_logps(model, LAYOUT)
        gradients = torch.autograd.grad(
            (logps * torch.linspace(-1, 1, len(logps))).sum(), parameters, allow_unused=True
        )
        return [logps, *(gradient for gradient in gradients if gradient is not None)]

    whole = run()
    monkeypatch.setattr(head, "TILE_LOGITS", 3 * VOCABULARY)
    for tiled, plain in zip(run(), whole, strict=True):
        assert torch.allclose(tiled, plain, atol=1e-5, rtol=1e-5)


@pytest.mark.unstable_api
def test_no_more_logits_than_a_tile(seen):
    model = tiny("llama", **TINY)
    sizes = seen(model)
    with torch.no_grad():
        token_logps(model, LAYOUT)
    assert [size for size in sizes if isinstance(size, int)] == [3, 3, 3, 1], "ten predicting positions"


@pytest.mark.unstable_api
def test_a_bent_output_keeps_the_head_whole(seen):
    model = tiny("gemma2", **SCALES["gemma2"][0])
    sizes = seen(model)
    with torch.no_grad():
        token_logps(model, LAYOUT)
    assert [size for size in sizes if isinstance(size, int)] == [10]


def test_an_adapter_on_the_head_counts(monkeypatch):
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(
        tiny("llama", **TINY),
        LoraConfig(r=4, target_modules=["lm_head"], init_lora_weights=False, task_type="CAUSAL_LM"),
    )
    with torch.no_grad():
        adapted = token_logps(model, LAYOUT)
        with model.disable_adapter():
            base = token_logps(model, LAYOUT)
        monkeypatch.setattr(head, "TILE_LOGITS", 3 * VOCABULARY)
        assert torch.allclose(token_logps(model, LAYOUT), adapted, atol=1e-5)
    assert (adapted - base).abs().max() > 0.1


@pytest.mark.unstable_api
def test_a_head_that_is_not_given_one_vector_a_token_is_refused():
    sizes = {"hidden_size": 32, "decoder_ffn_dim": 64, "num_decoder_layers": 1, "num_decoder_attention_heads": 4}
    model = tiny("prophetnet", vocab_size=VOCABULARY, **sizes)
    for tile in (None, 2):
        with pytest.raises(SepoError, match="the output head of ProphetNetForCausalLM is not given one vector a token"):
            token_logps(model, padded_layout([Tree([5, 6, 7], ([8, 9, 10, 11],))]), tile=tile)


def test_the_head_is_itself_again_also_after_an_error(monkeypatch):
    model = tiny("llama", **TINY)
    monkeypatch.setattr(head, "TILE_LOGITS", 3 * VOCABULARY)
    with torch.no_grad():
        token_logps(model, LAYOUT)
    assert "forward" not in vars(model.lm_head)
    assert model(input_ids=torch.tensor([[1, 2]])).logits.shape == (1, 2, VOCABULARY)
    monkeypatch.setattr(model.model, "forward", lambda *_args, **_options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        token_logps(model, LAYOUT)
    assert "forward" not in vars(model.lm_head)
    assert not model.lm_head._forward_pre_hooks
