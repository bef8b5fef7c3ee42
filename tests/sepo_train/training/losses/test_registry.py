"""The registry reads a loss from its signature and docstring, and refuses one that it cannot read."""

import pytest

from sepo_train.training.losses import LOSSES, registry
from sepo_train.training.losses.registry import loss, number, positive


class Collected(dict):
    """Losses by name, of any module."""

    def add(self, entry):
        self[entry.name] = entry


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(registry, "LOSSES", Collected())


def test_a_loss_is_read_from_its_function():
    @loss(reward=lambda sums, ref_sums, beta: beta * (sums - ref_sums), beta=positive("strength"), shift=number("lead"))
    def toy_one_loss(chosen_sums, ref_chosen_sums, *, beta=0.5, shift=-1.0):
        """-beta * (C - C_ref) - shift: a toy (nowhere).

        More about it.
        """
        return -beta * (chosen_sums - ref_chosen_sums) - shift

    [(name, made)] = registry.LOSSES.items()
    assert (name, made.formula, made.source) == ("toy-one", "-beta * (C - C_ref) - shift", "a toy (nowhere)")
    assert {key: (value.default, value.positive) for key, value in made.parameters.items()} == {
        "beta": (0.5, True),
        "shift": (-1.0, False),
    }
    assert made.needs_reference


def test_the_registered_losses():
    assert all(LOSSES[name].needs_reference for name in ("dpo", "ipo", "kto"))
    assert not any(LOSSES[name].needs_reference for name in ("sepo", "simpo", "cpo", "orpo", "rrhf"))


def no_docstring(chosen_means, rejected_means):
    return rejected_means - chosen_means


def no_default(chosen_means, *, beta):
    """-beta * c: a toy."""
    return -beta * chosen_means


def undocumented(chosen_means, *, beta=1.0):
    """-beta * c: a toy."""
    return -beta * chosen_means


def misspelt(chosen_mean):
    """-c: a toy."""
    return -chosen_mean


@pytest.mark.parametrize(
    ("function", "options", "message"),
    [
        (no_docstring, {}, "FORMULA: SOURCE"),
        (no_default, {"beta": positive("strength")}, "beta of no-default has no default"),
        (undocumented, {}, "parameters beta; documented: "),
        (misspelt, {}, "chosen_mean of misspelt has no default, and is none of chosen_sums, chosen_means"),
    ],
)
def test_a_loss_that_cannot_be_read_is_refused(function, options, message):
    with pytest.raises(TypeError, match=message):
        loss(reward=lambda means: means, **options)(function)
    with pytest.raises(TypeError, match="cannot be a function of chosen_means"):
        loss(reward=lambda chosen_means: chosen_means, **options)(function)
