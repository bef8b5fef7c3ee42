"""Every architecture against the plain loop, in the layout that it is known to allow."""

from dataclasses import replace

import pytest
import torch

from sepo_train.engine import prefix_cache
from sepo_train.engine.choose import choose_layout_policy
from sepo_train.engine.logps import score_trees

pytestmark = pytest.mark.slow

SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
MLP = SMALL | {"intermediate_size": 64}
LLAMA = MLP | {"num_key_value_heads": 2}
GPT = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 128}
LOCAL = LLAMA | {"head_dim": 8, "sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]}
MOE = LLAMA | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
MAMBA = {"mamba_n_heads": 8, "mamba_d_head": 8, "mamba_d_state": 8, "mamba_chunk_size": 8, "mamba_n_groups": 1}
LONGROPE = {"rope_type": "longrope", "rope_theta": 10_000.0, "short_factor": [1.0] * 4, "long_factor": [4.0] * 4}

SHARED = "shared prompt and cached prefix"
WINDOWED = "shared prompt and cached prefix with attention windows"
WITHIN = "shared prompt and cached prefix, unshared beyond the attention window of 16 tokens"
CHANGED = "unshared: a shared prompt changes log-probabilities by up to "
REFUSED = "unshared: a shared prompt is refused "

# model type, its configuration, the layout that has to be chosen for it
ARCHITECTURES = {
    "llama": ("llama", LLAMA, SHARED),
    "mistral, a window": ("mistral", LLAMA | {"sliding_window": 16}, WINDOWED),
    "ministral, local layers": ("ministral", LOCAL, WINDOWED),
    "mixtral, experts and a window": ("mixtral", LLAMA | {"num_local_experts": 4, "sliding_window": 16}, WINDOWED),
    "qwen2": ("qwen2", LLAMA, SHARED),
    "qwen2, a window": (
        "qwen2",
        LLAMA | {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 0},
        WINDOWED,
    ),
    "qwen2, local layers": (
        "qwen2",
        LLAMA | {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 1},
        WINDOWED,
    ),
    "qwen2_moe, shared experts": ("qwen2_moe", MOE | {"shared_expert_intermediate_size": 16}, SHARED),
    "qwen3": ("qwen3", LLAMA | {"head_dim": 8}, SHARED),
    "qwen3_moe, experts": ("qwen3_moe", MOE | {"head_dim": 8}, SHARED),
    "gemma2, soft-caps and local layers": (
        "gemma2",
        LOCAL | {"query_pre_attn_scalar": 8, "attn_logit_softcapping": 1.0, "final_logit_softcapping": 2.0},
        WINDOWED,
    ),
    "gemma3, local layers of another base": ("gemma3_text", LOCAL | {"query_pre_attn_scalar": 8}, WINDOWED),
    "cohere, parallel": ("cohere", LLAMA, SHARED),
    "cohere2, local layers": ("cohere2", LOCAL, WINDOWED),
    "granite, scaled logits": ("granite", LLAMA | {"logits_scaling": 4.0}, SHARED),
    "phi, a head with a bias": ("phi", MLP, SHARED),
    "phi3": ("phi3", LLAMA, SHARED),
    "phi3, a window": ("phi3", LLAMA | {"sliding_window": 16}, WINDOWED),
    "phi3, longrope": (
        "phi3",
        LLAMA | {"original_max_position_embeddings": 16, "rope_parameters": LONGROPE},
        "shared prompt and cached prefix, one by one beyond 16 tokens",
    ),
    "olmo2": ("olmo2", LLAMA, SHARED),
    "olmo3, local layers": ("olmo3", LOCAL, WINDOWED),
    "smollm3, layers without positions": ("smollm3", LLAMA | {"no_rope_layers": [1, 0]}, SHARED),
    "starcoder2, a window": ("starcoder2", LLAMA | {"sliding_window": 16}, WINDOWED),
    "stablelm": ("stablelm", LLAMA, SHARED),
    "nemotron": ("nemotron", LLAMA, SHARED),
    "glm4": ("glm4", LLAMA | {"head_dim": 8}, SHARED),
    "exaone4, local layers": ("exaone4", LOCAL | {"sliding_window_pattern": 2}, WINDOWED),
    "gpt_oss, sinks, experts and local layers": (
        "gpt_oss",
        LOCAL | {"num_local_experts": 4, "num_experts_per_tok": 2, "rope_parameters": {"rope_type": "default"}},
        WINDOWED,
    ),
    "llama4, chunks": (
        "llama4_text",
        LLAMA
        | {
            "head_dim": 8,
            "attention_chunk_size": 16,
            "num_local_experts": 2,
            "intermediate_size_mlp": 64,
            "layer_types": ["chunked_attention", "full_attention"],
            "no_rope_layers": [1, 0],
        },
        WINDOWED,
    ),
    "deepseek_v3, latent attention": (
        "deepseek_v3",
        LLAMA
        | {
            "num_key_value_heads": 4,
            "n_routed_experts": 4,
            "num_experts_per_tok": 2,
            "n_group": 1,
            "topk_group": 1,
            "moe_intermediate_size": 16,
            "kv_lora_rank": 8,
            "q_lora_rank": 8,
            "qk_rope_head_dim": 4,
            "qk_nope_head_dim": 4,
            "v_head_dim": 8,
            "first_k_dense_replace": 1,
        },
        SHARED,
    ),
    "gpt_neox": ("gpt_neox", MLP, SHARED),
    "gpt2, learned positions": ("gpt2", GPT, SHARED),
    "gpt_bigcode, one key head": ("gpt_bigcode", GPT, SHARED),
    "gptj": ("gptj", GPT | {"rotary_dim": 4}, SHARED),
    "gpt_neo, local attention of its own": (
        "gpt_neo",
        {
            "hidden_size": 32,
            "num_layers": 2,
            "num_heads": 4,
            "attention_types": [[["global", "local"], 1]],
            "window_size": 16,
            "max_position_embeddings": 128,
        },
        WITHIN,
    ),
    "opt, positions from 2": (
        "opt",
        SMALL | {"ffn_dim": 64, "max_position_embeddings": 128, "word_embed_proj_dim": 32},
        SHARED,
    ),
    "falcon": ("falcon", SMALL | {"ffn_hidden_size": 64}, SHARED),
    "falcon, ALiBi": ("falcon", SMALL | {"ffn_hidden_size": 64, "alibi": True}, REFUSED),
    "bloom, ALiBi": ("bloom", {"hidden_size": 32, "n_layer": 2, "n_head": 4}, REFUSED),
    "mpt, ALiBi": ("mpt", {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 128}, CHANGED),
    "mamba, recurrent": ("mamba", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8}, REFUSED),
    "mamba2, recurrent": (
        "mamba2",
        SMALL | {"state_size": 8, "num_heads": 8, "head_dim": 8, "n_groups": 1, "chunk_size": 8},
        CHANGED,
    ),
    "rwkv, recurrent": ("rwkv", SMALL | {"attention_hidden_size": 32}, CHANGED),
    "recurrent_gemma, recurrent with a window": (
        "recurrent_gemma",
        LLAMA | {"num_hidden_layers": 3, "num_key_value_heads": 1, "lru_width": 32, "attention_window_size": 16},
        CHANGED,
    ),
    "jamba, a hybrid of experts": (
        "jamba",
        LLAMA
        | {
            "num_experts": 2,
            "num_experts_per_tok": 1,
            "use_mamba_kernels": False,
            "attn_layer_period": 2,
            "attn_layer_offset": 1,
            "mamba_d_state": 8,
            "mamba_dt_rank": 4,
        },
        CHANGED,
    ),
    "bamba, a hybrid": ("bamba", LLAMA | MAMBA | {"attn_layer_indices": [1]}, CHANGED),
    "falcon_h1, a hybrid in each layer": ("falcon_h1", LLAMA | MAMBA | {"mamba_d_ssm": 64}, CHANGED),
    "lfm2, short convolutions": ("lfm2", LLAMA | {"layer_types": ["conv", "full_attention"]}, CHANGED),
    "qwen3_next, linear attention": (
        "qwen3_next",
        MOE
        | {
            "head_dim": 8,
            "shared_expert_intermediate_size": 16,
            "layer_types": ["linear_attention", "full_attention"],
            "linear_num_value_heads": 4,
            "linear_num_key_heads": 2,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
        },
        CHANGED,
    ),
}
EAGER_ONLY = {"gemma2", "gpt_oss", "gptj", "gpt_neo", "bloom", "mpt", "mamba", "mamba2", "rwkv"}
CASES = [
    (name, attention)
    for name, (kind, *_) in ARCHITECTURES.items()
    for attention in (("eager",) if kind in EAGER_ONLY else ("sdpa", "eager"))
]


@pytest.fixture
def trees(random_trees, monkeypatch):
    """Rows within and beyond a window of 16, two and three branches, one-token responses, three tokens before all."""
    monkeypatch.setattr(prefix_cache, "MIN_PREFIX_TOKENS", 3)
    trees = random_trees(
        (12, 20, 7), (9, 5, 6), (5, 1, 1), (3, 2, 9), (20, 5, 16), (4, 3, 5, 2), (1, 2, 2), (8, 20, 1, 4)
    )
    return [replace(tree, prompt_ids=[7, 8, 9, *tree.prompt_ids]) for tree in trees]


@pytest.mark.parametrize(("name", "attention"), CASES)
def test_equals_the_plain_loop(random_model, largest_difference, trees, name, attention):
    kind, options, layout = ARCHITECTURES[name]
    model = random_model(kind, attention=attention, **options)
    chosen = choose_layout_policy([model], trees, batch_tokens=128)
    found = chosen.layout_name
    assert found.startswith(layout) if layout in (CHANGED, REFUSED) else found == layout
    for policy in {chosen, replace(chosen, prefix_cache=False)}:
        assert largest_difference(score_trees(model, trees, policy, batch_tokens=100), model, trees) < 1e-4


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile:UserWarning")
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:_compile flag on create_block_mask:DeprecationWarning")
@pytest.mark.parametrize("name", ["llama", "mistral, a window", "gemma3, local layers of another base"])
def test_flex_attention_equals_the_plain_loop(random_model, largest_difference, trees, name):
    """Without the compiler, which would take a minute."""
    kind, options, layout = ARCHITECTURES[name]
    model, plain = (random_model(kind, attention=kind_of, **options) for kind_of in ("flex_attention", "eager"))
    with torch.compiler.set_stance("force_eager"):
        policy = choose_layout_policy([model], trees, batch_tokens=128)
        scores = score_trees(model, trees, policy, batch_tokens=100)
    assert policy.layout_name == layout
    assert largest_difference(scores, plain, trees) < 1e-4
