"""The layout chosen for a model, and that no layout is trusted which was not tested."""

import math

import pytest
import torch

from sepo_data.errors import SepoError
from sepo_train.engine import attention
from sepo_train.engine.attention import attention_inputs
from sepo_train.engine.choose import choose_layout_policy
from sepo_train.engine.layout import Tree, shared_layout
from sepo_train.engine.layout_policy import NO_LIMIT, PLAIN, LayoutPolicy
from sepo_train.engine.logps import score_trees

LOCAL = {"head_dim": 8, "sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]}
HYBRID = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_chunk_size": 8, "mamba_n_groups": 1}
WITHIN = LayoutPolicy(16)
WINDOWED = LayoutPolicy(NO_LIMIT, windowed=True)


@pytest.fixture
def mistral(llama_like):
    return llama_like("mistral", sliding_window=16)


@pytest.fixture(scope="module")
def short(random_trees):
    """Rows within a window of 16."""
    return random_trees((7, 6, 2), (4, 1, 9), (2, 3, 1, 8), (5, 5, 5))


@pytest.fixture(scope="module")
def long(random_trees):
    """The first response of each reaches beyond a window of 16."""
    return random_trees((12, 20, 7), (20, 5, 16))


@pytest.mark.parametrize(
    ("policy", "name"),
    [
        (LayoutPolicy(NO_LIMIT), "shared prompt"),
        (LayoutPolicy(NO_LIMIT, prefix_cache=True), "shared prompt and cached prefix"),
        (WINDOWED, "shared prompt with attention windows"),
        (WITHIN, "shared prompt, unshared beyond the attention window of 16 tokens"),
        (LayoutPolicy(NO_LIMIT, padded_limit=9), "shared prompt, one by one beyond 9 tokens"),
        (PLAIN, "unshared: not asked for"),
        (LayoutPolicy(0, "padding hurts", padded_limit=0), "unshared: padding hurts, one by one"),
    ],
)
def test_the_name_of_a_layout(policy, name):
    assert policy.layout_name == name


def test_rows_are_shared_up_to_the_limits(random_trees):
    inside, outside = random_trees((5, 4, 5), (5, 4, 6))  # 5 + 3 + 4 = 12 tokens are fed, and 13
    policy = LayoutPolicy(12, padded_limit=9)
    assert (policy.length(inside), policy.length(outside)) == (12, 18)
    assert policy.layout([inside]).shared
    assert not policy.layout([inside, outside]).shared
    assert not policy.layout([inside]).one_row_at_a_time, "its longest sequence has 5 + 4 tokens"
    assert policy.layout([inside, outside]).one_row_at_a_time
    assert not LayoutPolicy(12).layout([inside, outside]).one_row_at_a_time


def test_a_row_beyond_the_window_would_be_wrong_if_shared(mistral, largest_difference, long):
    """What the window costs if it is forgotten."""
    assert largest_difference(score_trees(mistral, long, LayoutPolicy(NO_LIMIT), batch_tokens=64), mistral, long) > 0.1
    assert largest_difference(score_trees(mistral, long, WINDOWED, batch_tokens=64), mistral, long) < 1e-4


def test_what_was_not_tried_beyond_the_window_is_not_shared(mistral, largest_difference, short, long):
    policy = choose_layout_policy([mistral], short, batch_tokens=64)
    assert policy == WITHIN
    assert largest_difference(score_trees(mistral, long, policy, batch_tokens=64), mistral, long) < 1e-4


def test_long_rows_alone_are_enough(mistral, long):
    assert choose_layout_policy([mistral], long, batch_tokens=64) == WINDOWED


def test_a_window_that_was_not_seen_to_matter_is_no_proof(mistral, short, long):
    for layer in mistral.model.layers:
        layer.self_attn.v_proj.weight.data.zero_()
    assert choose_layout_policy([mistral], [*short, *long], batch_tokens=64) == WITHIN


@pytest.mark.parametrize("window", [15, 17])
def test_a_window_off_by_one_is_found_out(llama_like, short, long, monkeypatch, window):
    monkeypatch.setattr(attention, "attention_window", lambda _config: window)
    for model in (llama_like("mistral", sliding_window=16), llama_like("ministral", **LOCAL)):
        assert choose_layout_policy([model], [*short, *long], batch_tokens=64) == WITHIN


def test_one_mask_for_layers_of_two_kinds_is_found_out(llama_like, short, long, monkeypatch):
    model = llama_like("ministral", **LOCAL)
    kinds = attention._windowed
    monkeypatch.setattr(attention, "_windowed", lambda *given: {"": kinds(*given)["sliding_attention"]})
    assert choose_layout_policy([model], [*short, *long], batch_tokens=64) == WITHIN


@pytest.mark.parametrize("ignored", ["attention_mask", "position_ids"])
def test_a_model_that_ignores_what_it_is_told_is_found_out(llama, largest_difference, short, ignored):
    forward = llama.forward
    llama.forward = lambda **given: forward(**{name: value for name, value in given.items() if name != ignored})
    policy = choose_layout_policy([llama], short, batch_tokens=64)
    assert policy.layout_name.startswith("unshared: a shared prompt changes log-probabilities by up to ")
    llama.forward = forward
    assert largest_difference(score_trees(llama, short, policy, batch_tokens=64), llama, short) < 1e-4


def test_a_model_that_padding_changes_runs_one_by_one(llama, plain_tree, short):
    embed = llama.model.embed_tokens.register_forward_hook(lambda _module, _args, output: output * output.shape[1])
    policy = choose_layout_policy([llama], short, batch_tokens=64)
    assert policy.layout_name.startswith("unshared: padding changes log-probabilities by up to ")
    assert policy.layout_name.endswith(", one by one")
    with torch.no_grad():
        for scores, tree in zip(score_trees(llama, short, policy, batch_tokens=64), short, strict=True):
            for ours, response, plain in zip(scores, tree.responses, plain_tree(llama, tree), strict=True):
                assert len(ours) == len(response)
                assert torch.allclose(ours.double(), plain, atol=1e-4)
    embed.remove()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("lfm2", {"layer_types": ["conv", "full_attention"]}),
        ("lfm2", {"num_hidden_layers": 3, "layer_types": ["full_attention", "full_attention", "conv"]}),
        ("bamba", HYBRID | {"attn_layer_indices": [1]}),
        ("falcon_h1", HYBRID | {"mamba_d_ssm": 64}),
    ],
)
def test_a_leak_at_the_beginning_of_a_long_response_is_found_in_16_bits(llama_like, random_trees, kind, options):
    """A convolution sees the end of the chosen response: a few tokens of 400, lost in a mean over all."""
    model = llama_like(kind, **options).to(torch.bfloat16)
    policy = choose_layout_policy([model], random_trees((20, 200, 200), (30, 180, 220)), batch_tokens=512)
    assert policy.reason.startswith("a shared prompt ")


def test_a_head_that_looks_at_all_positions_is_refused(llama, short):
    forward = llama.forward

    def centred(**given):
        output = forward(**given)
        output.logits = output.logits - output.logits.mean(dim=1, keepdim=True)
        return output

    llama.forward = centred
    with pytest.raises(SepoError, match="change when its output head runs on selected positions only"):
        choose_layout_policy([llama], short, batch_tokens=64)


def test_a_head_that_cannot_be_tiled_though_it_looks_so_is_refused(llama, short):
    """It bends logits, but not the few numbers that the head is tried with."""
    forward = llama.forward

    def bent(**given):
        output = forward(**given)
        if output.logits.shape[-1] != 4:
            output.logits = 5 * (output.logits / 5).tanh()
        return output

    llama.forward = bent
    with pytest.raises(SepoError, match="change when its output head runs on selected positions only"):
        choose_layout_policy([llama], short, batch_tokens=64)


def test_attention_that_knows_no_masks_is_not_given_one(llama, short):
    """Flash attention reads lengths out of a mask, and may take the process with it."""
    llama.config._attn_implementation = "flash_attention_2"
    with pytest.raises(NotImplementedError, match="flash_attention_2 takes no masks"):
        attention_inputs(llama, shared_layout(short))


def test_pairs_that_cannot_tell_are_no_proof(llama_like, llama, random_trees):
    """Where no second response is fed, a recurrent model looks as if prompts could be shared."""
    between, uninformative = random_trees((8, 6, 7), (5, 1, 4))  # 19 tokens in a shared row, 14 in the longest sequence
    options = {"num_hidden_layers": 3, "num_key_value_heads": 1, "lru_width": 32, "attention_window_size": 16}
    policy = choose_layout_policy([llama_like("recurrent_gemma", **options)], [between, uninformative], batch_tokens=64)
    assert policy == LayoutPolicy(0, "no pair within the attention window of 16 to try a shared prompt on")
    assert choose_layout_policy([llama], [uninformative], batch_tokens=64) == LayoutPolicy(
        0, "no pair to try a shared prompt on"
    )
    assert choose_layout_policy([llama], [], batch_tokens=64).layout_name.startswith("unshared")


@pytest.mark.slow
def test_the_layout_is_exact_for_every_one_of_the_models(random_model, llama, mistral, short, long):
    trees = [*short, *long]
    local = random_model(
        "gpt_neo",
        hidden_size=32,
        num_layers=2,
        num_heads=4,
        attention_types=[[["global", "local"], 1]],
        window_size=20,
        max_position_embeddings=128,
    )
    bloom = random_model("bloom", hidden_size=32, n_layer=2, n_head=4)
    assert choose_layout_policy([llama, mistral], trees, batch_tokens=64) == WINDOWED
    assert choose_layout_policy([local, mistral, llama], trees, batch_tokens=64) == WITHIN
    assert choose_layout_policy([mistral, bloom], trees, batch_tokens=64).shared_limit == 0


def test_nan_in_a_checked_pair_does_not_turn_sharing_off(llama, short):
    llama.model.embed_tokens.weight.data[96] = math.nan
    # In the second pair only the chosen response has it, and only a shared row carries it to the rejected one.
    bad = [Tree([4, 96, 6], ([7, 8], [9, 10])), Tree([4, 6], ([96, 8], [9, 10]))]
    assert choose_layout_policy([llama], [*bad, *short], batch_tokens=64) == LayoutPolicy(NO_LIMIT)


def test_half_precision_weights_give_fp32_log_probabilities(llama, plain_tree, short):
    llama.to(torch.bfloat16)
    policy = choose_layout_policy([llama], short, batch_tokens=64)
    assert policy == LayoutPolicy(NO_LIMIT)
    with torch.no_grad():
        for scores, tree in zip(score_trees(llama, short, policy, batch_tokens=64), short, strict=True):
            for ours, plain in zip(scores, plain_tree(llama, tree), strict=True):
                assert ours.dtype is torch.float32
                assert torch.allclose(ours.double(), plain, atol=0.1)
