"""The prefix that all prompts begin with is computed once."""

from dataclasses import replace

import pytest
import torch

from sepo_train.engine import prefix_cache
from sepo_train.engine.attention import attention_inputs
from sepo_train.engine.choose import choose_layout_policy
from sepo_train.engine.layout import Tree, shared_layout
from sepo_train.engine.layout_policy import NO_LIMIT, LayoutPolicy
from sepo_train.engine.logps import score_trees
from sepo_train.engine.prefix_cache import MIN_PREFIX_TOKENS, build_prefix_cache, common_prefix

OPENING = list(range(20, 20 + MIN_PREFIX_TOKENS))
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
ONCE = LayoutPolicy(NO_LIMIT, prefix_cache=True)


@pytest.fixture
def opened(random_trees):
    return [
        replace(tree, prompt_ids=[*OPENING, *tree.prompt_ids]) for tree in random_trees((7, 6, 2), (4, 1, 9), (1, 3, 3))
    ]


def prompts(*ids):
    return [Tree(each, ([1], [2])) for each in ids]


@pytest.mark.parametrize(
    ("trees", "expected"),
    [
        (prompts([*OPENING, 1], [*OPENING, 2]), OPENING),
        (prompts([*OPENING, 1, 2], [*OPENING, 1, 3], [*OPENING, 4]), OPENING),
        (prompts([*OPENING, 1]), []),
        (prompts(OPENING, [*OPENING, 1]), []),  # the last token of a prompt predicts: one too few are left
        (prompts([1, *OPENING], [2, *OPENING]), []),
    ],
)
def test_common_prefix_by_hand(trees, expected):
    assert common_prefix(trees) == expected


def test_a_layout_behind_a_prefix_by_hand():
    layout = shared_layout([Tree([5, 6, 7, 8], ([1, 2], [3, 4, 9]))], prefix_tokens=2)
    assert layout.input_ids.tolist() == [[7, 8, 1, 3, 4]]
    assert layout.position_ids.tolist() == [[2, 3, 4, 4, 5]]
    assert layout.logit_positions.tolist() == [1, 2, 1, 3, 4]
    assert layout.targets.tolist() == [1, 2, 3, 4, 9]


def test_all_see_the_prefix(llama):
    layout = shared_layout([Tree([5, 6, 7], ([1, 2], [3, 4])), Tree([5, 6, 7, 8], ([1, 2], [3, 4]))], prefix_tokens=2)
    first, second = (attention_inputs(llama, layout)["attention_mask"][:, 0] == 0).int().tolist()
    assert first[:3] == [[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 1, 0]]
    assert second == [[1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 0, 1]]


def test_a_window_counts_from_the_start_of_the_prefix(llama_like):
    layout = replace(shared_layout([Tree([5, 6, 7, 8], ([1, 2], [3, 4]))], prefix_tokens=2), windowed=True)
    mask = attention_inputs(llama_like("mistral", sliding_window=2), layout)["attention_mask"][0, 0]
    assert (mask == 0).int().tolist() == [
        [0, 1, 1, 0, 0, 0],
        [0, 0, 1, 1, 0, 0],
        [0, 0, 0, 1, 1, 0],
        [0, 0, 0, 1, 0, 1],
    ]


@pytest.mark.unstable_api
def test_the_prefix_is_fed_once(llama, opened, largest_difference):
    fed = []
    llama.model.embed_tokens.register_forward_pre_hook(lambda _, arguments: fed.append(arguments[0].numel()))
    scores = score_trees(llama, opened, ONCE, batch_tokens=1)
    assert fed == [len(OPENING), *sorted((tree.shared_length - len(OPENING) for tree in opened), reverse=True)]
    assert largest_difference(scores, llama, opened) < 1e-4


@pytest.mark.unstable_api
def test_the_head_does_not_run_on_the_prefix(llama):
    rows = []
    llama.lm_head.register_forward_hook(lambda _, __, logits: rows.append(logits.shape[1]))
    build_prefix_cache(llama, OPENING)
    assert rows == [0]


@pytest.mark.unstable_api
def test_it_is_not_changed_by_those_behind_it(llama):
    cache = build_prefix_cache(llama, OPENING)
    keys = cache.layers[0].keys.clone()
    cache.update(torch.ones(3, 2, 5, 8), torch.ones(3, 2, 5, 8), 0)
    assert torch.equal(cache.layers[0].keys, keys)
    assert cache.get_seq_length() == len(OPENING)


@pytest.mark.unstable_api
@pytest.mark.parametrize(("kind", "options"), [("llama", {}), ("mistral", {"sliding_window": 64}), ("gpt2", GPT2)])
def test_the_cache_is_used_and_not_silently_given_up(llama_like, opened, kind, options):
    """Where a new transformers changes its caches, scoring falls back to no prefix cache: correct, but slower."""
    assert choose_layout_policy([llama_like(kind, **options)], opened, batch_tokens=64).prefix_cache


def deaf_to_the_past(forward):
    def deaf(*arguments, past_key_values=None, **options):
        return forward(*arguments, **options)

    return deaf


def test_a_model_that_ignores_it_is_found_out(llama, opened, monkeypatch, largest_difference):
    assert choose_layout_policy([llama], opened, batch_tokens=64).prefix_cache
    monkeypatch.setattr(llama, "forward", deaf_to_the_past(llama.forward))
    policy = choose_layout_policy([llama], opened, batch_tokens=64)
    assert policy.layout_name == "shared prompt"
    assert largest_difference(score_trees(llama, opened, policy, batch_tokens=64), llama, opened) < 1e-4


def test_what_was_not_tried_is_not_done(llama, random_trees):
    assert not choose_layout_policy([llama], random_trees((7, 6, 2), (4, 1, 9)), batch_tokens=64).prefix_cache


def test_one_model_that_cannot_is_enough(llama_like, llama, opened, monkeypatch):
    other = llama_like()
    monkeypatch.setattr(other, "forward", deaf_to_the_past(other.forward))
    for models in ([llama, other], [other, llama]):
        assert not choose_layout_policy(models, opened, batch_tokens=64).prefix_cache


def test_a_recurrent_model_has_no_keys_to_keep(random_model):
    model = random_model("mamba", hidden_size=32, num_hidden_layers=2, state_size=8)
    with pytest.raises(ValueError, match="not all layers"):
        build_prefix_cache(model, OPENING)


def test_unshared_rows_hold_it_themselves(llama_like, opened, largest_difference):
    model = llama_like("mistral", sliding_window=18)
    policy = LayoutPolicy(18, prefix_cache=True)  # the first row has 22 tokens
    assert largest_difference(score_trees(model, opened, policy, batch_tokens=64), model, opened) < 1e-4


def test_a_prefix_too_short_for_a_pass_is_not_cached(llama, opened, monkeypatch):
    monkeypatch.setattr(prefix_cache, "MIN_PREFIX_TOKENS", len(OPENING) + 1)
    fed = []
    llama.model.embed_tokens.register_forward_pre_hook(lambda _, arguments: fed.append(arguments[0].numel()))
    score_trees(llama, opened, ONCE, batch_tokens=1)
    assert len(fed) == len(opened)


def test_a_longest_row_that_begins_otherwise_turns_nothing_off(llama, opened, random_trees):
    trees = [*opened, *random_trees((20, 9, 9))]
    assert choose_layout_policy([llama], trees, batch_tokens=256).prefix_cache
    assert not choose_layout_policy(
        [llama], random_trees((7, 6, 2), (4, 1, 9), (20, 9, 9)), batch_tokens=256
    ).prefix_cache
