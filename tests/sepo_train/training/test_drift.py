"""The distance from the start, against sums over the whole vocabulary."""

import copy

import pytest
import torch

from sepo_train.engine.layout_policy import PLAIN
from sepo_train.training.drift import MAX_ANSWER_TOKENS, MAX_PROMPTS, PolicyDrift

PROMPT_IDS = [[3, 4, 5], [6, 7], [3, 4, 5], [8, 9, 10, 11]]


SETTINGS = {"eos_ids": [2], "seed": 1, "layout_policy": PLAIN}


@pytest.fixture(scope="module")
def start(llama_like):
    return llama_like()


@pytest.fixture(scope="module")
def moved(start):
    torch.manual_seed(5)
    model = copy.deepcopy(start)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return model


def test_the_start_has_not_moved(start):
    probe = PolicyDrift.start(start, PROMPT_IDS, **SETTINGS)
    assert [list(tree.prompt_ids) for tree in probe.answers] == [[3, 4, 5], [6, 7], [8, 9, 10, 11]], "each prompt once"
    found = probe.metrics(start)
    assert found["kl"] == 0.0
    assert found["length_drift"] == 0.0
    assert found["length"] == pytest.approx(sum(len(tree.responses[0]) for tree in probe.answers) / 3, abs=0.01)


def test_the_estimate_is_the_divergence_of_the_next_token(start, moved):
    """Many sampled first tokens after one prompt, against the sum over the vocabulary."""
    with torch.no_grad():
        first, second = (
            model(torch.tensor([PROMPT_IDS[0]])).logits[0, -1].double().log_softmax(-1) for model in (start, moved)
        )
    exact = float((first.exp() * (first - second)).sum())
    tokens = torch.multinomial(first.exp(), 20_000, replacement=True, generator=torch.Generator().manual_seed(0))
    log_ratio = (second - first)[tokens]
    assert float((log_ratio.expm1() - log_ratio).mean()) == pytest.approx(exact, rel=0.1)
    found = PolicyDrift.start(start, PROMPT_IDS, **SETTINGS).metrics(moved)
    assert 0.2 * exact < found["kl"] < 5 * exact, "of the same size over whole answers"


def test_answers_end_with_their_end(start):
    answers = [tree.responses[0] for tree in PolicyDrift.start(start, PROMPT_IDS, **SETTINGS).answers]
    assert all(1 <= len(answer) <= MAX_ANSWER_TOKENS for answer in answers)
    assert all(2 not in answer[:-1] for answer in answers)


def test_few_prompts_are_enough(start):
    probe = PolicyDrift.start(start, [[3 + number] for number in range(50)], **SETTINGS)
    assert len(probe.answers) == MAX_PROMPTS
