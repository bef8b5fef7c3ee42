"""Commands that take options built into one value: what Typer reads, and what the command is called with."""

from __future__ import annotations

import inspect
from typing import Annotated

import pytest

from sepo_data.commands.built_options import keyword, takes, with_built_options
from sepo_data.commands.grouped_help import INPUT, RUN
from sepo_data.commands.options import argument, option

pytestmark = pytest.mark.unstable_api  # Typer's signatures, panels and completion


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
