"""The report of `sepo evaluate` as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sepo_data.console.text import aligned_columns
from sepo_data.preferences.skipped import reasons_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


def evaluation_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """The report of `evaluate`, line by line. The number behind +- is a standard error."""
    names = {role: str(found[role]) for role in ("model", "against") if role in found}
    yield f"{found['pairs']:,} pairs of {found['data']['name']} ({found['data']['which']})"
    skipped = found["data"]["skipped"] | ({"non_finite": found["non_finite"]} if found["non_finite"] else {})
    if skipped:
        yield reasons_text(skipped)
    yield ""
    yield from aligned_columns(list(_preferences(found, names)))
    if "kl" in found:
        yield ""
        yield from _divergence(found["kl"], names)
    yield ""
    yield from aligned_columns(list(_token_counts(found, names)))
    yield f"the chosen response is the longer one in {_share(found['lengths']['chosen_is_longer'])} of the pairs"
    if "answers" in found:
        yield ""
        yield from _answers(found["answers"], names)
    if "judge" in found:
        yield ""
        yield from _verdict(found["judge"], names)


def _preferences(found: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[Sequence[str]]:
    yield "", "accuracy", "margin, nats", "log p chosen", "log p rejected"
    for role, numbers in found["preference"].items():
        logps = (f"{numbers[f'{side}_logps']['mean']:.3f}" for side in ("chosen", "rejected"))
        yield f"{names[role]}, a token", _share(numbers["accuracy"]), _number(numbers["margin"]), *logps
    for kind, words in (("per_token", "a token"), ("summed", "a response")):
        if reward := found.get("implicit_reward", {}).get(kind):
            lead = _share(reward["accuracy"]), _number(reward["margin"])
            yield f"log ratio of the two, {words}", *lead, "", ""


def _divergence(kl: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    yield (
        f"KL({names['model']} || {names['against']}), nats: {_number(kl['per_token'])} a token, "
        f"{_number(kl['per_answer'])} an answer"
    )
    yield (
        f"  k3 on {kl['answers']:,} sampled answers ({kl['tokens']:,} tokens, at most {kl['max_new_tokens']:,} each); "
        f"k1 gives {_number(kl['k1_per_token'])} a token"
    )


def _token_counts(found: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[Sequence[str]]:
    rows = {side: found["lengths"][side] for side in ("chosen", "rejected")}
    if "answers" in found:
        rows |= {f"answers of {names[role]}": counts for role, counts in found["answers"]["tokens"].items()}
    yield "tokens", *rows["chosen"]
    for name, counts in rows.items():
        yield name, *(f"{count:,}" for count in counts.values())


def _answers(answers: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    decoding = f"sampled at temperature {answers['temperature']:g}" if answers["temperature"] else "greedy"
    yield f"{answers['prompts']:,} prompts of {answers['file']}, {answers['turns']:,} turns; answers are {decoding}"
    if skipped := answers["skipped"]:
        first = skipped[0]
        yield f"{len(skipped):,} rows skipped; row {first['row']}: {first['reason']}: {first['detail']}"
    for role, name in names.items():
        unended, no_room = answers["unended"][role], answers["no_room"][role]
        if unended or no_room:
            empty = f", {no_room:,} had no room in its context" if no_room else ""
            yield f"{name} had not ended {unended:,} of its answers{empty}"
    yield from answers["written"]


def _verdict(judge: Mapping[str, Any], names: Mapping[str, str]) -> Iterator[str]:
    low, high = judge["interval"]
    yield (
        f"{names['model']} wins {judge['win_rate']:.1%} (95% interval {low:.1%} to {high:.1%}) of {judge['prompts']:,} "
        f"prompts against {names['against']}: {judge['wins']:,} won, {judge['ties']:,} tied, {judge['losses']:,} lost"
    )
    yield f"  judge {judge['name']}; its answers are {_number(judge['longer_by'])} tokens longer"


def _number(estimate: Mapping[str, float | None]) -> str:
    error = "" if estimate["se"] is None else f" +- {estimate['se']:.2g}"
    return f"{estimate['mean']:.4g}{error}"


def _share(estimate: Mapping[str, float | None]) -> str:
    error = "" if estimate["se"] is None else f" +- {estimate['se']:.1%}"
    return f"{estimate['mean']:.1%}{error}"
