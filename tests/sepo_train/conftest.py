"""Random models, random trees, and the loop that anyone can read."""

import copy

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from sepo_train.layout import Tree

VOCABULARY = 97
IDS = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


@pytest.fixture(scope="module", autouse=True)
def threads():
    # Threads only get into each other's way on models as small as these.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def random_model():
    """Make a model of a type from the options of its configuration."""

    def make(kind, *, attention=None, **options):
        torch.manual_seed(0)
        config = AutoConfig.for_model(kind, **IDS, **options)
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention).eval()
        for parameter in model.parameters():
            if parameter.dim() > 1:
                # Freshly made models are close to uniform, which hides mistakes.
                parameter.data.normal_(0, 0.2)
        return model

    return make


@pytest.fixture(scope="session")
def random_trees():
    """Make trees from the lengths of the prompt and the responses of each."""

    def make(*lengths):
        generator = torch.Generator().manual_seed(0)

        def ids(length):
            return torch.randint(3, VOCABULARY, (length,), generator=generator).tolist()

        return [Tree(ids(prompt), tuple(map(ids, responses))) for prompt, *responses in lengths]

    return make


def _plain_logps(model, prompt, response):
    """One sequence, all logits, a log-softmax in double precision: value i is log p of token i of the response."""
    ids = [*prompt, *response]
    logps = model(input_ids=torch.tensor([ids[:-1]]), use_cache=False).logits[0].double().log_softmax(dim=-1)
    return torch.stack([logps[place - 1, ids[place]] for place in range(len(prompt), len(ids))])


@pytest.fixture(scope="session")
def plain_tree():
    """The wanted tokens of every response of a tree, one sequence at a time."""

    def plain(model, tree):
        return [
            _plain_logps(model, tree.prompt_ids, response)[tree.wanted(branch)]
            for branch, response in enumerate(tree.responses)
        ]

    return plain


@pytest.fixture(scope="session")
def largest_difference(plain_tree):
    """How far scores are from the plain loop over the same model in double precision."""

    def difference(scores, model, trees):
        exact = copy.deepcopy(model).double()
        # The fused product of experts knows no double precision.
        exact.set_experts_implementation("eager")
        with torch.no_grad():
            pairs = zip(scores, [plain_tree(exact, tree) for tree in trees], strict=True)
        return max(float((a - b).abs().max()) for ours, plain in pairs for a, b in zip(ours, plain, strict=True))

    return difference
