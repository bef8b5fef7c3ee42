"""Rules, grids and their mistakes as text."""

import pytest

from sepo_data.errors import SepoError
from sepo_data.selection.parse import grid_rules, parse_rule
from sepo_data.selection.rule import RULES


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("top", "top(chosen=30%, rejected=30%)"),
        ("top(40%)", "top(chosen=40%, rejected=40%)"),
        (" top ( chosen = 40% , rejected=0.2 ) ", "top(chosen=40%, rejected=20%)"),
        ("top(chosen=16 tokens, rejected=1t)", "top(chosen=16 tokens, rejected=1 token)"),
        ("threshold(above=0.1, below=-0.2)", "threshold(above=0.1, below=-0.2)"),
        ("threshold(0.1)", "threshold(above=0.1, below=-0.1)"),
        ("threshold(q90%)", "threshold(above=q90%, below=q10%)"),
        ("mass(80%)", "mass(chosen=80%, rejected=80%)"),
        ("budget(30%, rejected=10%)", "budget(chosen=30%, rejected=10%)"),
        ("random(30%, seed=1)", "random(chosen=30%, rejected=30%, seed=1)"),
        ("position-random(30%, seed=1)", "position-random(chosen=30%, rejected=30%, seed=1)"),
        ("inverse(30%)", "inverse(chosen=30%, rejected=30%)"),
        ("all", "all"),
        ("all()", "all"),
        ("confidence", "confidence"),
        ("ref-gap", "ref-gap(chosen=40%, rejected=40%)"),
        ("decay(0.98, 30%)", "decay(gamma=0.98, chosen=30%, rejected=30%)"),
        ("span(decisive)", "span(column=decisive)"),
    ],
)
def test_rules_as_text(text, canonical):
    rule = parse_rule(text)
    assert str(rule) == canonical
    assert str(parse_rule(canonical)) == canonical
    assert rule.options() == {"rule": rule.name, **rule.arguments}


@pytest.mark.parametrize("name", RULES)
def test_every_rule_with_its_defaults_as_text(name):
    rule = parse_rule(name)
    assert rule.name == name
    assert str(parse_rule(str(rule))) == str(rule)
    assert rule.options() == {"rule": name, **rule.arguments}


def test_further_arguments():
    assert str(parse_rule("top", {"chosen": "40%"})) == "top(chosen=40%, rejected=30%)"
    assert str(parse_rule("mass(50%)", {"chosen": "40%", "rejected": "1%"})) == "mass(chosen=40%, rejected=1%)"
    with pytest.raises(SepoError, match="chosen=40%: the rule all has no argument chosen"):
        parse_rule("all", {"chosen": "40%"})
    with pytest.raises(SepoError, match="has it already"):
        parse_rule("top(chosen=10%)", {"chosen": "40%"})
    with pytest.raises(SepoError, match="has it already"):
        parse_rule("decay(0.9)", {"gamma": "0.8"})


def test_a_grid():
    rules = grid_rules("top", ["chosen=10%,30%,16t", "rejected=10%,2.5%"])
    assert {name: str(rule) for name, rule in rules.items()} == {
        "chosen-10_rejected-10": "top(chosen=10%, rejected=10%)",
        "chosen-10_rejected-2.5": "top(chosen=10%, rejected=2.5%)",
        "chosen-30_rejected-10": "top(chosen=30%, rejected=10%)",
        "chosen-30_rejected-2.5": "top(chosen=30%, rejected=2.5%)",
        "chosen-16t_rejected-10": "top(chosen=16 tokens, rejected=10%)",
        "chosen-16t_rejected-2.5": "top(chosen=16 tokens, rejected=2.5%)",
    }
    assert list(grid_rules("random(20%)", ["seed=1,2"])) == ["seed-1", "seed-2"]
    assert list(grid_rules("top", ["chosen=10% rejected=10%"])) == ["chosen-10_rejected-10"]


@pytest.mark.parametrize(
    "grid", [[], ["chosen"], ["chosen="], ["chosen=1%,"], ["chosen=1% chosen=2%"], ["chosen=1%,1%"], ["x=1"]]
)
def test_a_grid_that_is_none(grid):
    with pytest.raises(SepoError):
        grid_rules("top", grid)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("tpo(40%)", f"unknown rule 'tpo'; known: {', '.join(RULES)}", "did you mean top"),
        ("xyz", "unknown rule 'xyz'; known: top", ""),
        ("top(chsen=40%)", "top has no 'chsen'", "did you mean chosen"),
        ("top(40%, 20%)", "too many positional arguments", "it is top(share=30%, chosen, rejected)"),
        ("top(chosen=40%, 20%)", "'20%' cannot be read at this place", "it is top("),
        ("top(chosen=)", "chosen has no value", "it is top("),
        ("top(chosen=1%, chosen=2%)", "chosen has two values", "it is top("),
        ("random(40%, share=30%)", "multiple values", "it is random("),
        ("top(40%", "is no rule", "name(value, key=value)"),
        ("top(40)", "'40' may mean a percentage or a fraction", "16t"),
        ("top(0 tokens)", "at least one token", "1 token"),
        ("mass(16 tokens)", "is not a share", "this rule takes a share"),
        ("threshold(above=high)", "above=high is not a number", "above=0.1"),
        ("threshold(above=q200%)", "neither a number nor a quantile", "q90%"),
        ("random(seed=-1)", "seed=-1 is not a whole number", "seed=1"),
        ("decay(1.5)", "gamma is 1.5, not above 0 and at most 1", "0.98"),
    ],
)
def test_mistakes_are_explained(text, message, hint):
    with pytest.raises(SepoError) as caught:
        parse_rule(text)
    assert message in str(caught.value)
    assert hint in caught.value.hint
