"""A model that sees the future is refused, in whatever way it does; one that sees the past alone is not."""

import pytest
import torch

from sepo_data.errors import SepoError
from sepo_train.engine.causality import check_causal
from sepo_train.engine.choose import choose_layout_policy

SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
LONGROPE = {"rope_type": "longrope", "rope_theta": 10_000.0, "short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
RECURRENT = {"hidden_size": 32, "num_hidden_layers": 2}

CAUSAL = {
    "llama": ("llama", {}),
    "experts": ("mixtral", {"num_local_experts": 4}),
    "a window": ("mistral", {"sliding_window": 8}),
    "rotations that depend on the length": (
        "phi3",
        {"original_max_position_embeddings": 16, "rope_parameters": LONGROPE},
    ),
    "an encoder that is a decoder": ("bert", SIZES | {"is_decoder": True}),
    "mamba": ("mamba", RECURRENT | {"state_size": 8}),
    "chunks": ("mamba2", RECURRENT | {"state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 8}),
    "rwkv": ("rwkv", RECURRENT | {"attention_hidden_size": 32, "rescale_every": 1}),
}
SEEING = {
    "attention in both directions": ("llama", {"is_causal": False}),
    "bert": ("bert", SIZES),
    "roberta": ("roberta", SIZES),
    "electra": ("electra", SIZES | {"embedding_size": 32}),
}


def hooked(model, change):
    """Make the embeddings of `model` what `change` makes of them."""
    model.get_input_embeddings().register_forward_hook(lambda _module, _args, embedded: change(embedded))
    return model


def next_token(embedded):
    return embedded + torch.cat([embedded[:, 1:], torch.zeros_like(embedded[:, :1])], dim=1)


def own_block(embedded):
    """Each token sees all of its block of four."""
    blocks = torch.nn.functional.pad(embedded, (0, 0, 0, -embedded.shape[1] % 4)).unflatten(1, (-1, 4))
    return embedded + blocks.mean(dim=2).repeat_interleave(4, dim=1)[:, : embedded.shape[1]]


def whole_beginning(embedded):
    """The first eight tokens see each other, as in a prefix of its own."""
    beginning = embedded[:, :8].mean(dim=1, keepdim=True).expand(-1, min(8, embedded.shape[1]), -1)
    return torch.cat([embedded[:, :8] + beginning, embedded[:, 8:]], dim=1)


def last_token(embedded):
    return embedded + embedded[:, -1:]


@pytest.fixture(scope="module")
def trees(random_trees):
    return random_trees((7, 6, 9), (12, 20, 17), (5, 1, 1), (1, 2, 2))


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def dtype(request):
    return request.param


@pytest.fixture(scope="module")
def make(llama_like, random_model):
    def build(kind, options):
        shaped = kind in ("llama", "mixtral", "mistral", "phi3")
        return llama_like(kind, **options) if shaped else random_model(kind, **options)

    return build


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", CAUSAL)
def test_what_sees_the_past_alone_passes(make, trees, dtype, name):
    check_causal(make(*CAUSAL[name]).to(dtype), trees)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", SEEING)
def test_what_sees_the_future_is_refused(make, trees, dtype, name):
    with pytest.raises(SepoError, match="sees the future: tokens that follow change the log-probabilities"):
        check_causal(make(*SEEING[name]).to(dtype), trees)


@pytest.mark.parametrize("change", [next_token, own_block, whole_beginning, last_token])
def test_a_peek_of_any_kind_is_refused(llama, trees, dtype, change):
    with pytest.raises(SepoError, match="LlamaForCausalLM sees the future"):
        check_causal(hooked(llama.to(dtype), change), trees)


def test_every_choice_of_a_layout_refuses_it(llama_like, trees):
    """Scoring, training and evaluation all choose one."""
    with pytest.raises(SepoError, match="sees the future"):
        choose_layout_policy([llama_like(), llama_like(is_causal=False)], trees, batch_tokens=64)


def test_rows_too_short_to_tell(llama_like, random_trees):
    check_causal(llama_like(is_causal=False), random_trees((1, 1, 1)))
    check_causal(llama_like(is_causal=False), [])
