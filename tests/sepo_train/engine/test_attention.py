"""Attention masks in the form that each kind of model takes: what transformers names without documenting it."""

import pytest

from sepo_train.engine.attention import attention_inputs, attention_window
from sepo_train.engine.choose import choose_layout_policy
from sepo_train.engine.layout import shared_layout
from sepo_train.engine.layout_policy import NO_LIMIT, LayoutPolicy

LOCAL = {"head_dim": 8, "sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]}


@pytest.mark.unstable_api
@pytest.mark.parametrize("implementation", ["eager", "sdpa", "flex_attention"])
def test_the_attention_implementation_is_read_from_the_configuration(llama_like, implementation):
    """A missing name would be taken for eager attention, and flash attention would be given numbers for lengths."""
    assert llama_like(attention=implementation).config._attn_implementation == implementation


@pytest.mark.unstable_api
def test_a_mask_is_made_for_each_kind_of_layer_that_a_model_names(llama_like, random_trees):
    model = llama_like("gemma3_text", query_pre_attn_scalar=8, **LOCAL)
    assert attention_window(model.config) == 16
    layout = LayoutPolicy(NO_LIMIT, windowed=True).layout(random_trees((12, 20, 7)))
    assert set(attention_inputs(model, layout)["attention_mask"]) == set(model.config.layer_types)
    plain = attention_inputs(llama_like(), shared_layout(random_trees((12, 20, 7))))
    assert plain["attention_mask"].shape == (1, 1, 37, 37), "12 + 19 + 6 tokens are fed"


@pytest.mark.unstable_api
@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("llama", {}, LayoutPolicy(NO_LIMIT)),
        ("mistral", {"sliding_window": 16}, LayoutPolicy(NO_LIMIT, windowed=True)),
        ("gemma3_text", LOCAL | {"query_pre_attn_scalar": 8}, LayoutPolicy(NO_LIMIT, windowed=True)),
    ],
)
def test_transformers_takes_our_masks_and_positions(llama_like, random_trees, kind, options, expected):
    """A model that ignores them is found out and scored row by row: correct, but only a slow run would show it."""
    trees = random_trees((7, 6, 2), (4, 1, 9), (12, 20, 7), (20, 5, 16))
    assert choose_layout_policy([llama_like(kind, **options)], trees, batch_tokens=64) == expected
