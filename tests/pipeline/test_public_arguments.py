"""Every public function, each argument given what it does not take: our error that names it, before any work."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

import sepo_data
import sepo_train
from sepo_data.checked import SIMPLE, _split
from sepo_data.errors import SepoError
from sepo_data.selection.rules.top import top

PUBLIC = {name: getattr(package, name) for package in (sepo_data, sepo_train) for name in package.__all__}


class Foreign:
    """A value of a type that nothing takes."""


REQUIRED = {
    "training": sepo_train.Training(),
    "sql": "SELECT 1",
    "tables": {"pairs": "none"},
    "selections": {"none": top()},
    "name": "dpo",
    "folders": ["none"],
}
"""Values of required arguments that no path or name fits."""

TRAPS = {
    "bool": ["no", 2],
    "int": [True, 1.5, "3"],
    "float": [True, "0.1"],
    "str": [5, b"x"],
    "Path": [5, b"x"],
    "Amount": [30, 1, 0, True],
    "Progress": [print, []],
    "tuple": ["ab", "a,b"],
    "Mapping": [["a"], "a=b"],
}
"""Values that have a meaning by accident, by the kind of an annotation that takes them for none."""


def parameters_of(function):
    for name, parameter in inspect.signature(function).parameters.items():
        if name != "self" and parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            yield name, str(parameter.annotation), parameter


def kinds_of(annotation):
    return [kind.partition("[")[0] for kind in _split(annotation, "|")]


def wrong_values(annotation):
    kinds = kinds_of(annotation)
    values = [Foreign(), *(value for kind in kinds for value in TRAPS.get(kind, []))]
    if "None" not in kinds:
        values.append(None)
    return [value for value in values if not any(SIMPLE[kind](value) for kind in kinds if kind in SIMPLE)]


CASES = [
    pytest.param(function, name, value, id=f"{public}-{name}-{value!r}"[:60])
    for public, function in PUBLIC.items()
    for name, annotation, _ in parameters_of(function)
    for value in wrong_values(annotation)
]


def required(function, tmp_path):
    """The arguments without a default, none of which is there: what runs fails later and otherwise."""
    return {
        name: REQUIRED.get(name, str(tmp_path / "none"))
        for name, _, parameter in parameters_of(function)
        if parameter.default is parameter.empty
    }


@pytest.mark.parametrize(("function", "name", "value"), CASES)
def test_a_wrong_value_is_named_before_any_work(function, name, value, tmp_path):
    with pytest.raises(SepoError, match=f"^{function.__name__}: {name} is "):
        function(**{**required(function, tmp_path), name: value})
    assert not list(tmp_path.iterdir())


CHOICES = [
    pytest.param(function, name, id=f"{public}-{name}")
    for public, function in PUBLIC.items()
    for name, _, _ in parameters_of(function)
    if name in {"on_bad_row", "truncate", "dtype", "pairs_from_ranking"}
]


@pytest.mark.parametrize(("function", "name"), CHOICES)
def test_a_misspelt_choice_is_named(function, name, tmp_path):
    with pytest.raises(SepoError, match=f"{name} is 'skpi', not one of"):
        function(**{**required(function, tmp_path), name: "skpi"})


PATHS = [
    pytest.param(function, name, id=f"{public}-{name}")
    for public, function in PUBLIC.items()
    for name, annotation, _ in parameters_of(function)
    if "Path" in kinds_of(annotation)
]


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize(("function", "name"), PATHS)
def test_a_path_is_a_text_or_a_path(function, name, kind, tmp_path):
    assert {"str", "Path"} <= set(kinds_of({each: text for each, text, _ in parameters_of(function)}[name]))
    given = {**required(function, tmp_path), name: kind(tmp_path / "nothing here")}
    if inspect.isclass(function):
        function(**given)
        return
    with pytest.raises(SepoError) as caught:
        function(**given)
    assert f"{name} is " not in str(caught.value)


def test_the_name_of_a_dataset_may_be_a_path():
    reading = sepo_data.Reading(Path("a") / "pairs.jsonl")
    assert reading == sepo_data.Reading(str(Path("a") / "pairs.jsonl"))
    assert isinstance(reading.dataset, str)


def test_no_share_is_a_bare_number():
    for function in PUBLIC.values():
        for name, annotation, parameter in parameters_of(function):
            if name in {"chosen", "rejected", "fraction", "share"}:
                assert "Amount" in annotation
                assert not isinstance(parameter.default, int)


@pytest.mark.parametrize("amount", ["50%", 0.5, "0.5"])
def test_a_share_is_the_same_however_it_is_written(amount):
    assert str(top(amount)) == "top(chosen=50%, rejected=50%)" == str(sepo_data.Selection(f"top({amount})").rule)


@pytest.mark.parametrize("amount", [30, 1, 0, True, None, [0.3], 30.0, 1.5])
def test_a_rule_takes_no_ambiguous_share(amount):
    with pytest.raises(SepoError, match="write"):
        top(amount)
    with pytest.raises(SepoError):
        top(chosen=amount)
