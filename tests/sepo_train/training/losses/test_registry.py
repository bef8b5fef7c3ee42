"""The registry reads a loss from its signature and docstring, and refuses one that it cannot read."""

import pytest

from sepo_train.training.losses import LOSSES, registry
from sepo_train.training.losses.registry import loss, number, positive


@pytest.fixture(autouse=True)
def _own_registry(monkeypatch):
    monkeypatch.setattr(registry, "LOSSES", {})


def test_a_loss_is_read_from_its_function():
    @loss(reward=lambda sums, ref_sums, beta: beta * (sums - ref_sums), beta=positive("strength"), shift=number("lead"))
    def toy_loss(chosen_sums, ref_chosen_sums, *, beta=0.5, shift=-1.0):
        """-beta * (C - C_ref) - shift: a toy (nowhere).

        More about it.
        """
        return -beta * (chosen_sums - ref_chosen_sums) - shift

    [(name, made)] = registry.LOSSES.items()
    assert (name, made.formula, made.source) == ("toy", "-beta * (C - C_ref) - shift", "a toy (nowhere)")
    assert {key: (value.default, value.positive) for key, value in made.parameters.items()} == {
        "beta": (0.5, True),
        "shift": (-1.0, False),
    }
    assert made.needs_reference


def test_the_registered_losses():
    assert {name for name, made in LOSSES.items() if made.needs_reference} == {"dpo", "ipo", "kto"}
    assert {"sepo", "simpo", "cpo", "orpo", "rrhf"} <= LOSSES.keys()


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
        (no_default, {"beta": positive("strength")}, "beta of no_default has no default"),
        (undocumented, {}, "parameters beta; documented: "),
        (misspelt, {}, "parameters chosen_mean; documented: "),
    ],
)
def test_a_loss_that_cannot_be_read_is_refused(function, options, message):
    with pytest.raises(TypeError, match=message):
        loss(reward=lambda means: means, **options)(function)
    with pytest.raises(TypeError, match="cannot be a function of chosen_means"):
        loss(reward=lambda chosen_means: chosen_means, **options)(function)
