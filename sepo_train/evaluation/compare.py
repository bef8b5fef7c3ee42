"""The numbers of an evaluation, from the outputs of its models. Pure functions."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np

from sepo_data.analysis.lengths import Lengths
from sepo_data.errors import SepoError
from sepo_train.metrics import implicit_reward, mean_with_error, preference, sampled_kl, win_rate

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sepo_train.engine.generate import Generation
    from sepo_train.engine.layout import Tree
    from sepo_train.evaluation.benchmarks import Prompt
    from sepo_train.evaluation.judge import Judge
    from sepo_train.evaluation.model_outputs import ModelOutputs


def compare_on_pairs(
    outputs: Mapping[str, ModelOutputs], pairs: Sequence[Tree], generation: Generation
) -> dict[str, Any]:
    """The numbers on pairs and on sampled answers; pairs that are not finite under one of the models are left out."""
    scored = zip(*(run.pairs for run in outputs.values()), strict=True)
    finite = [all(bool(logps.isfinite().all()) for logps in chain(*both)) for both in scored]
    if not any(finite):
        raise SepoError("no pair has finite log-probabilities under both models", "one of them is broken")
    kept = {
        role: [logps for logps, good in zip(run.pairs, finite, strict=True) if good] for role, run in outputs.items()
    }
    trees = [tree for tree, good in zip(pairs, finite, strict=True) if good]
    found: dict[str, Any] = {
        "pairs": len(trees),
        "non_finite": len(finite) - len(trees),
        "preference": {role: preference(logps) for role, logps in kept.items()},
        "lengths": _lengths(trees),
    }
    if "against" in outputs:
        found["implicit_reward"] = implicit_reward(kept["model"], kept["against"])
        logps = [
            (own, other)
            for own, other in zip(outputs["model"].sample_logps, outputs["against"].sample_logps, strict=True)
            if own.isfinite().all() and other.isfinite().all()
        ]
        if logps:
            own, other = zip(*logps, strict=True)
            found["kl"] = {
                **sampled_kl(own, other),
                "max_new_tokens": generation.max_new_tokens,
                "seed": generation.seed,
            }
    return found


def _lengths(trees: Sequence[Tree]) -> dict[str, Any]:
    sides = [[len(tree.responses[side]) for tree in trees] for side in range(2)]
    longer = [float(chosen > rejected) for chosen, rejected in zip(*sides, strict=True)]
    return {"chosen": _summary(sides[0]), "rejected": _summary(sides[1]), "chosen_is_longer": mean_with_error(longer)}


def _summary(lengths: Iterable[int]) -> dict[str, float]:
    counted = Lengths()
    for length in lengths:
        counted.add(length)
    return counted.summary()


def compare_answers(
    outputs: Mapping[str, ModelOutputs], prompts: Sequence[Prompt], generation: Generation
) -> dict[str, Any]:
    """The numbers on the answers to `prompts`: turns, tokens, answers cut off."""
    tokens = {role: [count for answer in run.answers for count in answer.tokens] for role, run in outputs.items()}
    return {
        "prompts": len(prompts),
        "turns": sum(len(prompt.turns) for prompt in prompts),
        "max_new_tokens": generation.max_new_tokens,
        "temperature": generation.temperature,
        "seed": generation.seed,
        "tokens": {role: _summary(counts) for role, counts in tokens.items()},
        "unended": {role: sum(answer.ended.count(False) for answer in run.answers) for role, run in outputs.items()},
        "no_room": {role: counts.count(0) for role, counts in tokens.items()},
    }


def judge_answers(
    judge: Judge, prompts: Sequence[Prompt], outputs: Mapping[str, ModelOutputs], seed: int
) -> dict[str, Any]:
    """The win rate of the model. A prompt's score is the mean over its turns, each judged with all that came before."""
    scores: dict[str, list[float]] = {}
    items = [
        (prompt.messages(answer.turns[:turn]), text)
        for run in outputs.values()
        for prompt, answer in zip(prompts, run.answers, strict=True)
        for turn, text in enumerate(answer.turns)
    ]
    given = iter(judge(items))
    for role in outputs:
        scores[role] = [float(np.mean([next(given) for _ in prompt.turns])) for prompt in prompts]
    tokens = {role: [sum(answer.tokens) for answer in run.answers] for role, run in outputs.items()}
    return {
        "prompts": len(prompts),
        **win_rate(scores["model"], scores["against"], seed=seed),
        "scores": {role: mean_with_error(values) for role, values in scores.items()},
        "answer_tokens": {role: mean_with_error(values) for role, values in tokens.items()},
        "longer_by": mean_with_error(
            [one - other for one, other in zip(tokens["model"], tokens["against"], strict=True)]
        ),
    }
