"""Commands that take options built into one value: what Typer reads, and what the command is called with."""

from __future__ import annotations

import inspect
from typing import Annotated

import pytest

from sepo_data.commands.built_options import keyword, takes, with_built_options
from sepo_data.commands.filter_options import build_filters, declare_filters
from sepo_data.commands.grouped_help import INPUT, RUN
from sepo_data.commands.options import argument, option
from sepo_train.commands.loss_options import build_loss, declare_loss

pytestmark = pytest.mark.unstable_api  # Typer's signatures, panels and completion

option_of_run = option(RUN)


def build_point(
    place: Annotated[str, argument("PLACE")] = "", *, x: Annotated[int, option(INPUT)] = 1, seed: int = 0
) -> tuple[object, ...]:
    return place, x, seed


def command(received):
    @takes("point", build_point, after="first")
    def run(
        point: tuple[object, ...],
        out: Annotated[str, option(RUN)],
        first: Annotated[int, option(RUN)] = 1,
        seed: Annotated[int, option(RUN, help="shared")] = 0,
    ) -> None:
        received.append((point, out, first, seed))

    return run


def test_options_of_the_builder_stand_in_the_place_of_the_parameter():
    signature = inspect.signature(with_built_options(command([])))
    assert list(signature.parameters) == ["place", "out", "first", "x", "seed"]
    assert signature.parameters["seed"].annotation.__metadata__[-1].help == "shared", "the command's own declaration"
    assert signature.parameters["x"].default == 1


def test_the_command_gets_the_built_value_and_the_shared_option():
    received = []
    with_built_options(command(received))(place="here", out="o", first=2, x=3, seed=4)
    assert received == [(("here", 3, 4), "o", 2, 4)]


def test_declared_options_reach_a_builder_without_a_signature_of_its_own():
    received = []

    def build(**numbers: float) -> dict[str, float]:
        return numbers

    @takes("numbers", build, declare=lambda: [keyword("a", 0.5, Annotated[float, option(RUN)])])
    def run(numbers: dict[str, float]) -> None:
        received.append(numbers)

    whole = with_built_options(run)
    assert list(inspect.signature(whole).parameters) == ["a"]
    whole(a=2.0)
    assert received == [{"a": 2.0}]


def test_a_command_without_built_options_is_itself():
    def run() -> None: ...

    assert with_built_options(run) is run


@pytest.mark.parametrize(
    ("names", "option"),
    [(["x", "out"], "--out"), (["batch_size"], "--batch-size"), (["first"], "--first"), (["x", "x"], "--x")],
)
@pytest.mark.parametrize("declared_first", [True, False])
def test_a_declared_option_takes_over_none_of_the_command_s(names, option, declared_first):
    """A filter or a loss that is called like an option of the command, or of another builder, is refused."""

    def build_numbers(**numbers: float) -> dict[str, float]:
        return numbers

    def build_batch(*, batch_size: Annotated[int, option_of_run] = 1) -> int:
        return batch_size

    def run(numbers: dict[str, float], batch: int, out: Annotated[str, option_of_run], first: int = 1) -> None: ...

    taken = [
        takes(
            "numbers",
            build_numbers,
            declare=lambda: [keyword(name, 0, Annotated[int, option_of_run]) for name in names],
        ),
        takes("batch", build_batch),
    ]
    for take in taken if declared_first else reversed(taken):
        take(run)
    with pytest.raises(ValueError, match=f"^{option} of build_numbers is an option of .*test_built_options already"):
        with_built_options(run)


def test_a_declared_option_may_be_called_like_what_is_built():
    @takes("loss", lambda loss: loss, declare=lambda: [keyword("loss", "sepo", Annotated[str, option_of_run])])
    def run(loss: str) -> None: ...

    assert list(inspect.signature(with_built_options(run)).parameters) == ["loss"]


@pytest.mark.parametrize(
    ("declare", "build", "name"), [(declare_filters, build_filters, "out"), (declare_loss, build_loss, "lr")]
)
def test_a_filter_and_a_loss_called_like_an_option_are_refused(declare, build, name):
    def build_settings(*, out: Annotated[str, option_of_run] = "", lr: Annotated[float, option_of_run] = 0.1) -> float:
        return lr

    @takes("settings", build_settings)
    @takes("made", build, declare=lambda: [*declare(), keyword(name, 0, Annotated[int, option_of_run])])
    def run(made: object, settings: float) -> None: ...

    with pytest.raises(ValueError, match=f"^--{name} of {build.__name__} is an option of"):
        with_built_options(run)
