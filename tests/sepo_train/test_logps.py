"""The engine against a loop that anyone can read, on every kind of model that reads rows in its own way."""

import math

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from schemas.errors import SepoError
from sepo_train.engine import PLAIN, Engine, choose_engine
from sepo_train.layout import Tree, padded_layout, shared_layout
from sepo_train.logps import score_trees, token_logps

VOCABULARY = 97
SMALL = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
LLAMA = SMALL | {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
SHARED, UNSHARED = 1 << 40, 0

# model type, its configuration, the length up to which the engine has to share rows
FAMILIES = {
    "llama": ("llama", LLAMA, SHARED),
    "mistral, window of 16": ("mistral", LLAMA | {"sliding_window": 16}, 16),
    "qwen2, window of 16": (
        "qwen2",
        LLAMA | {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 0},
        16,
    ),
    "gemma2, soft-caps and a window": (
        "gemma2",
        LLAMA
        | {
            "head_dim": 8,
            "query_pre_attn_scalar": 8,
            "attn_logit_softcapping": 1.0,
            "final_logit_softcapping": 2.0,
            "sliding_window": 16,
        },
        16,
    ),
    "granite, scaled logits": ("granite", LLAMA | {"logits_scaling": 4.0}, SHARED),
    "mixtral, experts": ("mixtral", LLAMA | {"num_local_experts": 4}, SHARED),
    "gpt2, learned positions": ("gpt2", SMALL | {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}, SHARED),
    "gpt_neo, local attention": (
        "gpt_neo",
        SMALL
        | {
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 16,
            "max_position_embeddings": 128,
        },
        16,
    ),
    "opt, positions from 2": (
        "opt",
        SMALL
        | {
            "hidden_size": 32,
            "ffn_dim": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_position_embeddings": 128,
            "word_embed_proj_dim": 32,
        },
        SHARED,
    ),
    "phi, head with a bias": (
        "phi",
        SMALL | {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
        SHARED,
    ),
    "bloom, ALiBi": ("bloom", SMALL | {"hidden_size": 32, "n_layer": 2, "n_head": 4}, UNSHARED),
    "mpt, ALiBi": ("mpt", SMALL | {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 128}, UNSHARED),
    "mamba, recurrent": ("mamba", SMALL | {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}, UNSHARED),
    "recurrent_gemma, recurrent with a window": (
        "recurrent_gemma",
        LLAMA | {"num_hidden_layers": 3, "num_key_value_heads": 1, "lru_width": 32, "attention_window_size": 16},
        UNSHARED,
    ),
}


def random_model(kind, **options):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **options)).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            # Freshly made models are close to uniform, which hides mistakes.
            parameter.data.normal_(0, 0.2)
    return model


def random_trees(*lengths):
    generator = torch.Generator().manual_seed(0)

    def ids(length):
        return torch.randint(3, VOCABULARY, (length,), generator=generator).tolist()

    return [Tree(ids(prompt), tuple(map(ids, responses))) for prompt, *responses in lengths]


def plain_logps(model, prompt, response):
    """One sequence, all logits, a log-softmax in double precision: value i is log p of token i of the response."""
    ids = [*prompt, *response]
    logps = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0].double().log_softmax(dim=-1)
    return torch.stack([logps[place - 1, ids[place]] for place in range(len(prompt), len(ids))])


def plain_tree(model, tree):
    """The wanted tokens of every response of a tree, one after the other."""
    with torch.no_grad():
        return [
            plain_logps(model, tree.prompt_ids, response)[tree.wanted(branch)]
            for branch, response in enumerate(tree.responses)
        ]


def largest_difference(scores, model, trees):
    pairs = zip(scores, (plain_tree(model, tree) for tree in trees), strict=True)
    return max(float((a - b).abs().max()) for ours, plain in pairs for a, b in zip(ours, plain, strict=True))


@pytest.fixture(scope="module")
def llama():
    return random_model("llama", **LLAMA)


# One, two and three branches, uneven lengths, one-token prompts and responses.
TREES = random_trees((5, 4), (3, 1), (7, 6, 2), (1, 1, 1), (4, 1, 9), (2, 3, 1, 8), (6, 5, 5, 5))
KEPT = [
    Tree(tree.prompt_ids, tree.responses, [[place % 3 != 1 for place in range(len(side))] for side in tree.responses])
    for tree in TREES
]


@pytest.mark.parametrize("trees", [TREES, KEPT], ids=["all tokens", "kept tokens"])
@pytest.mark.parametrize("layout", [shared_layout, padded_layout])
def test_equals_the_plain_loop(llama, layout, trees):
    rows = layout(trees)
    expected = torch.cat([logps for tree in trees for logps in plain_tree(llama, tree)])
    with torch.no_grad():
        assert torch.allclose(token_logps(llama, rows).double(), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("trees", [TREES, KEPT], ids=["all tokens", "kept tokens"])
@pytest.mark.parametrize("layout", [shared_layout, padded_layout])
def test_gradients_equal_the_plain_loop(llama, layout, trees):
    weights = torch.linspace(-1, 2, len(layout(trees).targets))

    def gradients(logps):
        return torch.autograd.grad((logps * weights).sum(), list(llama.parameters()))

    dense = torch.cat(
        [
            plain_logps(llama, tree.prompt_ids, response)[tree.wanted(branch)]
            for tree in trees
            for branch, response in enumerate(tree.responses)
        ]
    )
    pairs = zip(gradients(token_logps(llama, layout(trees))), gradients(dense), strict=True)
    assert max(float((ours - plain).abs().max() / plain.abs().max()) for ours, plain in pairs) < 1e-4


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(1, 9), st.lists(st.integers(1, 7), min_size=1, max_size=3)), min_size=1, max_size=4),
    st.integers(1, 60),
)
def test_any_trees_in_any_batches(llama, lengths, batch_tokens):
    trees = random_trees(*((prompt, *responses) for prompt, responses in lengths))
    for engine in (PLAIN, Engine(SHARED), Engine(12)):
        assert largest_difference(score_trees(llama, trees, engine, batch_tokens=batch_tokens), llama, trees) < 1e-5


class LastTokenModel(torch.nn.Module):
    """Its logits are written out: after token t, token v has logit `table[t][v]`."""

    device = torch.device("cpu")
    dtype = torch.float32

    def __init__(self, table):
        super().__init__()
        self.table = torch.tensor(table)
        self.head = torch.nn.Identity()

    def get_output_embeddings(self):
        return self.head

    def forward(self, input_ids, **_others):
        output = torch.nn.Module()
        output.logits = self.head(self.table[input_ids])
        return output


@pytest.mark.parametrize("layout", [shared_layout, padded_layout])
def test_value_i_is_of_token_i(layout):
    # Three tokens with probabilities 1/6, 2/6, 3/6 after token 0; 1/4, 1/4, 2/4 after 1; 8/10, 1/10, 1/10 after 2.
    model = LastTokenModel([[math.log(weight) for weight in row] for row in ([1, 2, 3], [1, 1, 2], [8, 1, 1])])
    tree = Tree([1, 0], ([2, 0, 1], [1]))
    # The first token follows the prompt's 0: p(2) = 3/6. Then 0 follows 2: 8/10. The last, 1, follows 0: 2/6.
    expected = [3 / 6, 8 / 10, 2 / 6, 2 / 6]
    assert token_logps(model, layout([tree])).exp().tolist() == pytest.approx(expected)


def test_a_head_bias_alone_gives_its_softmax():
    model = random_model("phi", **FAMILIES["phi, head with a bias"][1])
    bias = torch.arange(VOCABULARY) / 10
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.lm_head.bias.copy_(bias)
    [[first, second]] = score_trees(model, [Tree([5], ([7, 2], [96]))], Engine(SHARED), batch_tokens=64)
    total = sum(math.exp(value / 10) for value in range(VOCABULARY))
    assert first.exp().tolist() == pytest.approx([math.exp(0.7) / total, math.exp(0.2) / total], rel=1e-5)
    assert second.exp().tolist() == pytest.approx([math.exp(9.6) / total], rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_chosen_engine_equals_the_plain_loop(family):
    kind, options, limit = FAMILIES[family]
    model = random_model(kind, **options)
    # Rows of 37, 20, 13, 5, 12 and 49 tokens: some within a window of 16, some beyond it.
    trees = random_trees((12, 20, 7), (9, 8, 5), (6, 3, 6), (5, 1, 1), (3, 2, 9), (20, 15, 16))
    engine = choose_engine([model], trees, batch_tokens=128)
    assert engine.shared_limit == limit, engine.path
    assert engine.path.startswith("unshared: " if limit == UNSHARED else "shared prompt")
    assert largest_difference(score_trees(model, trees, engine, batch_tokens=60), model, trees) < 1e-4


def test_a_row_beyond_the_window_would_be_wrong_if_shared():
    """What the window costs if it is forgotten: the reason for the limit."""
    model = random_model("mistral", **LLAMA, sliding_window=16)
    trees = random_trees((12, 20, 7))
    assert largest_difference(score_trees(model, trees, Engine(SHARED), batch_tokens=64), model, trees) > 0.1


def test_pairs_that_cannot_tell_are_no_proof():
    """Where no second response is fed, a recurrent model looks as if prompts could be shared."""
    model = random_model("recurrent_gemma", **FAMILIES["recurrent_gemma, recurrent with a window"][1])
    beyond, untold = random_trees((12, 20, 7), (5, 1, 4))
    engine = choose_engine([model], [beyond, untold], batch_tokens=64)
    assert engine == Engine(0, "no pair within the attention window of 16 to try a shared prompt on")
    assert choose_engine([random_model("llama", **LLAMA)], [untold], batch_tokens=64).path.startswith("unshared")


def test_the_engine_is_right_for_every_one_of_the_models(llama):
    bloom = random_model("bloom", **FAMILIES["bloom, ALiBi"][1])
    engine = choose_engine([llama, bloom], TREES, batch_tokens=64)
    assert engine.shared_limit == 0
    assert "refuses" in engine.path


def test_nan_in_a_checked_pair_does_not_turn_sharing_off():
    model = random_model("llama", **LLAMA)
    model.model.embed_tokens.weight.data[50] = math.nan
    # In the second pair only the chosen response has it, and only a shared row carries it to the rejected one.
    bad = [Tree([4, 50, 6], ([7, 8], [9, 10])), Tree([4, 6], ([50, 8], [9, 10]))]
    assert choose_engine([model], [*bad, *TREES], batch_tokens=64).path == "shared prompt"


def test_scores_do_not_depend_on_neighbours_or_order(llama):
    trees = random_trees(*((1 + n % 7, 1 + n % 5, 1 + n % 4) for n in range(12)))
    engine = Engine(SHARED)
    alone = [score_trees(llama, [tree], engine, batch_tokens=1)[0] for tree in trees]
    for batch_tokens in (1, 17, 40, 512):
        together = score_trees(llama, trees, engine, batch_tokens=batch_tokens)
        backwards = score_trees(llama, trees[::-1], engine, batch_tokens=batch_tokens)[::-1]
        for one, two, three in zip(alone, together, backwards, strict=True):
            for a, b, c in zip(one, two, three, strict=True):
                assert torch.allclose(a, b, atol=1e-5, rtol=0)
                assert torch.allclose(a, c, atol=1e-5, rtol=0)


class TooBig:
    """Lets a model run out of memory on more than `rows` rows."""

    def __init__(self, rows):
        self.rows, self.refused = rows, 0

    def __call__(self, _module, _args, kwargs):
        if len(kwargs["input_ids"]) > self.rows:
            self.refused += 1
            raise torch.OutOfMemoryError("out of memory")


def test_out_of_memory_halves_the_batch_and_goes_on(llama):
    trees = random_trees(*((3, 2 + n % 3, 2) for n in range(8)))
    expected = score_trees(llama, trees, Engine(SHARED), batch_tokens=512)
    limit = TooBig(rows=2)
    handle = llama.register_forward_pre_hook(limit, with_kwargs=True)
    try:
        found = score_trees(llama, trees, Engine(SHARED), batch_tokens=512)
        assert limit.refused == 3, "8 rows, then twice 4, then four times 2"
        limit.rows = 0
        with pytest.raises(SepoError, match="does not fit into memory"):
            score_trees(llama, trees, Engine(SHARED), batch_tokens=512)
    finally:
        handle.remove()
    for one, two in zip(expected, found, strict=True):
        assert all(torch.allclose(a, b, atol=1e-5, rtol=0) for a, b in zip(one, two, strict=True))


def test_scoring_has_no_dropout_and_leaves_no_hook(llama):
    model = random_model("gpt2", **FAMILIES["gpt2, learned positions"][1], resid_pdrop=0.5, embd_pdrop=0.5)
    model.train()
    first = score_trees(model, TREES, Engine(SHARED), batch_tokens=64)
    second = score_trees(model, TREES, Engine(SHARED), batch_tokens=64)
    assert all(torch.equal(a, b) for one, two in zip(first, second, strict=True) for a, b in zip(one, two, strict=True))
    assert not model.get_output_embeddings()._forward_pre_hooks
    assert llama(input_ids=torch.tensor([[1, 2, 3]])).logits.shape == (1, 3, VOCABULARY), "all logits again"


def test_a_failing_model_leaves_no_hook():
    model = LastTokenModel([[0.0]])
    with pytest.raises(IndexError):
        token_logps(model, padded_layout([Tree([3], ([0],))]))
    assert not model.head._forward_pre_hooks


def test_half_precision_weights_give_fp32_log_probabilities():
    model = random_model("llama", **LLAMA).to(torch.bfloat16)
    engine = choose_engine([model], TREES, batch_tokens=64)
    assert engine.path == "shared prompt"
    for scores, tree in zip(score_trees(model, TREES, engine, batch_tokens=64), TREES, strict=True):
        for ours, plain in zip(scores, plain_tree(model, tree), strict=True):
            assert ours.dtype is torch.float32
            assert torch.allclose(ours.double(), plain, atol=0.1)
