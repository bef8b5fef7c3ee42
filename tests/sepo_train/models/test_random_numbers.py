"""Random numbers of a pass: found by the generators that it leaves changed."""

import random

import numpy as np
import pytest
import torch

from sepo_train.models.random_numbers import drawing_modules, generator_states, random_numbers_kept

CPU = torch.device("cpu")
DRAWS = {
    "torch": lambda: torch.rand(1),
    "in place": lambda: torch.empty(3).uniform_(),
    "functional dropout": lambda: torch.nn.functional.dropout(torch.ones(3), 0.5, training=True),
    "numpy": np.random.random,
    "Python": random.random,
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_every_generator_is_seen_and_kept(draw):
    before = generator_states(CPU)
    assert generator_states(CPU) == before
    with random_numbers_kept(CPU):
        draw()
        assert generator_states(CPU) != before
    assert generator_states(CPU) == before


def test_dropout_of_0_draws_none():
    before = generator_states(CPU)
    torch.nn.functional.dropout(torch.ones(3), 0.0, training=True)
    assert generator_states(CPU) == before


class Drawing(torch.nn.Module):
    def forward(self, values):
        return values + torch.rand(1)


class Outer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = torch.nn.Linear(2, 2), Drawing()

    def forward(self, values):
        return self.second(self.first(values))


def test_the_innermost_module_that_draws_is_named():
    model = torch.nn.Sequential(Outer(), torch.nn.ReLU(), Outer())
    assert drawing_modules(model, CPU, lambda: model(torch.ones(1, 2))) == ["Drawing"]
    still = torch.nn.Sequential(torch.nn.Linear(2, 2))
    assert drawing_modules(still, CPU, lambda: still(torch.ones(1, 2))) == []
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
