"""Arguments against annotations: what each kind of annotation takes, and the errors of what it does not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest

from sepo_data.checked import above, at_least, between, check_fields, checked, path_text
from sepo_data.console.progress import SILENT
from sepo_data.errors import SepoError
from sepo_data.selection.quota import Quota

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Part = Literal["prompt", "response"]


class Thing:
    pass


class SubThing(Thing):
    pass


CASES = [
    ("bool", [True, False, np.bool_(1)], [1, 0, "yes", None]),
    ("int", [0, -3, np.int32(7)], [True, 1.5, 2.0, "3", None, float("nan")]),
    ("float", [0.1, 2, np.float32(0.5)], [True, "0.1", None, float("nan"), float("inf")]),
    ("str", ["", "x"], [1, b"x", Path("x"), None]),
    ("str | Path", ["x", Path("x")], [1, b"x", True, None, ["x"]]),
    ("Path | None", [None, Path("x")], ["x", 0, False]),
    ("Amount", ["30%", 0.3, Quota(tokens=16), np.float64(0.3), Decimal("0.3")], [30, 0, 1, True, None, 0.3j, ["30%"]]),
    ("tuple[str, ...]", [(), ("a", "b"), ["a"]], ["ab", ("a", 1), {"a"}, None]),
    ("Sequence[str]", [(), ["a"]], ["ab", [1], None]),
    ("tuple[tuple[str, float], ...]", [(), (("a", 0.5), ("b", 1))], [(("a",),), (("a", "b"),), ("a", 1.0)]),
    ("Mapping[str, str | Path]", [{}, {"a": "x", "b": Path("x")}], [[("a", "x")], {"a": 1}, {1: "a"}, None]),
    ("Callable[[int], int] | None", [None, abs], ["abs", 3]),
    ("Progress", [SILENT], [None, print, "quiet"]),
    ("Thing", [Thing(), SubThing()], [None, "thing", Thing]),
    ("tests.Thing", [SubThing()], [1]),
]


def function_of(annotation):
    def run(value):
        return value

    run.__annotations__ = {"value": annotation}
    return checked()(run)


@pytest.mark.parametrize(("annotation", "right", "wrong"), CASES, ids=[case[0] for case in CASES])
def test_what_an_annotation_takes(annotation, right, wrong):
    run = function_of(annotation)
    for value in right:
        made = run(value)
        assert made is value or (isinstance(value, np.generic) and made == float(str(float(value))))
        assert not isinstance(made, np.generic)
    for value in wrong:
        with pytest.raises(SepoError, match="value is ") as caught:
            run(value)
        assert str(caught.value).startswith("run: value is ")
        assert type(value).__name__ in caught.value.hint


def test_a_bare_number_of_percent_is_refused_with_what_to_write():
    with pytest.raises(SepoError, match='value is 30, not a share: write "30%"'):
        function_of("Amount | None")(30)


@pytest.mark.parametrize(
    ("annotation", "words"),
    [
        ("Mapping[str, str | Path]", "not a dictionary from a text to a text or a path"),
        ("Sequence[Thing]", "not a list or tuple of: Thing"),
        ("tuple[tuple[str, float], ...]", "not a list or tuple of: a list or tuple of: a text, a finite number"),
        ("tests.Thing | None", "not Thing or None"),
    ],
)
def test_containers_in_words(annotation, words):
    with pytest.raises(SepoError, match="value is 3, ") as caught:
        function_of(annotation)(3)
    assert caught.value.message.endswith(words)
    assert "[" not in caught.value.message


@checked(part=Part, rows=at_least(2), rate=above(0), share=between(0, 1))
def stage(
    name: str, part: Part | None = None, *, rows: int = 2, rate: float | None = None, share: float = 0.0, **more: float
) -> tuple[object, ...]:
    """A stage."""
    return name, part, rows, rate, share, more


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"part": "promt"}, "stage: part is 'promt', not one of 'prompt', 'response'"),
        ({"part": 1}, "stage: part is 1, not one of"),
        ({"rows": 1}, "stage: rows is 1, not a number from 2"),
        ({"rate": 0}, "stage: rate is 0, not a number above 0"),
        ({"share": 1.5}, "stage: share is 1.5, not a number from 0 to 1"),
        ({"beta": "x"}, "stage: beta is 'x', not a finite number"),
        ({"name": 5}, "stage: name is 5, not a text"),
        ({"name": "x" * 99, "rows": "y" * 99}, r"not a whole number"),
    ],
)
def test_limits_and_choices(arguments, message):
    with pytest.raises(SepoError, match=message):
        stage(**{"name": "x", **arguments})


def test_what_is_right_passes_unchanged():
    assert stage("x", "prompt", rows=3, rate=0.5, beta=2) == ("x", "prompt", 3, 0.5, 0.0, {"beta": 2})
    assert stage.__doc__ == "A stage."
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        stage()


@dataclass(frozen=True)
class Options:
    rows: int = 1
    columns: Mapping[str, str] | None = None
    allowed: Callable[[int], int] | None = None

    def __post_init__(self) -> None:
        check_fields(self, rows=at_least(1))


def test_fields():
    assert Options(2, {"a": "b"}, abs).rows == 2
    for wrong in ({"rows": 0}, {"rows": "2"}, {"columns": ["a"]}, {"allowed": 3}):
        with pytest.raises(SepoError, match=f"Options: {next(iter(wrong))} is "):
            Options(**wrong)


def test_a_path_is_the_name_of_a_model():
    assert path_text(Path("a") / "b") == str(Path("a") / "b")
    assert path_text("hf/model") == "hf/model"


class Text(str):
    __slots__ = ()


def test_subclasses_of_text_are_choices():
    for part in (Text("prompt"), np.str_("prompt")):
        assert stage("x", part)[1] == "prompt"
    with pytest.raises(SepoError, match="not one of 'prompt', 'response'"):
        stage("x", part=True)


def test_scalars_of_numpy_become_those_of_python():
    made = stage("x", rows=np.int64(3), rate=np.float32(0.3), share=np.float64(0.5), beta=np.float16(0.1))
    assert made == ("x", None, 3, 0.3, 0.5, {"beta": 0.1})
    assert json.loads(json.dumps(made[2:])) == [3, 0.3, 0.5, {"beta": 0.1}]
    assert type(Options(np.int32(2)).rows) is int
    [(name, weight)] = function_of("tuple[tuple[str, float], ...]")(((np.str_("a"), np.float32(0.5)),))
    assert (type(name), type(weight)) == (str, float)
