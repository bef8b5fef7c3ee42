"""The drift of a policy from its start, estimated on its answers to a few fixed prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sepo_train.engine.generate import Generation, generate
from sepo_train.engine.layout import Tree
from sepo_train.engine.logps import default_batch_tokens, score_trees
from sepo_train.metrics import k3

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

    from sepo_train.engine.layout_policy import LayoutPolicy

MAX_PROMPTS = 8
"""Prompts that answers are sampled to."""

MAX_ANSWER_TOKENS = 64
"""Tokens of an answer; longer ones are cut there."""


@dataclass(frozen=True)
class PolicyDrift:
    """Answers sampled from the model when training started, with its log-probabilities of them.

    Attributes:
        answers: a prompt each, with one sampled answer.
        logps: of the tokens of each answer, under the model it was sampled from.
        eos_ids: the tokens that end an answer.
        seed: random seed of the samples.
        layout_policy: the layout of rows.
    """

    answers: list[Tree]
    logps: list[Tensor]
    eos_ids: Sequence[int]
    seed: int
    layout_policy: LayoutPolicy

    @classmethod
    def start(
        cls,
        model: PreTrainedModel,
        prompts: Sequence[Sequence[int]],
        *,
        eos_ids: Sequence[int],
        seed: int,
        layout_policy: LayoutPolicy,
    ) -> PolicyDrift:
        """Sample an answer to each of the first few different `prompts` from `model`; none where there is no prompt."""
        different = list(dict.fromkeys(map(tuple, prompts)))[:MAX_PROMPTS]
        if not different:
            return cls([], [], eos_ids, seed, layout_policy)
        sampled = _sample(model.eval(), different, eos_ids, seed)
        answers = [Tree(prompt, (answer,)) for prompt, answer in zip(different, sampled, strict=True) if answer]
        return cls(answers, _logps(model, answers, layout_policy), eos_ids, seed, layout_policy)

    def metrics(self, model: PreTrainedModel) -> dict[str, float]:
        """The distance of `model` from the start.

        Returns:
            `kl`: KL(start || model) in nats a token, the mean of `k3` over the tokens of the start's answers; `length`:
            mean tokens of answers that `model` samples now, cut at 64; `length_drift`: that minus the length at the
            start. Empty where there are no answers.
        """
        if not self.answers:
            return {}
        now = _logps(model, self.answers, self.layout_policy)
        prompts = [tuple(tree.prompt_ids) for tree in self.answers]
        length = _mean_length(_sample(model, prompts, self.eos_ids, self.seed))
        start = _mean_length([tree.responses[0] for tree in self.answers])
        return {
            "kl": round(float(k3(torch.cat(self.logps), torch.cat(now)).mean()), 6),
            "length": round(length, 2),
            "length_drift": round(length - start, 2),
        }


def _sample(
    model: PreTrainedModel, prompts: Sequence[Sequence[int]], eos_ids: Sequence[int], seed: int
) -> list[list[int]]:
    return generate(model, prompts, Generation(MAX_ANSWER_TOKENS, temperature=1.0, seed=seed), eos_ids)


def _logps(model: PreTrainedModel, answers: Sequence[Tree], layout_policy: LayoutPolicy) -> list[Tensor]:
    return [logps for [logps] in score_trees(model, answers, layout_policy, batch_tokens=default_batch_tokens())]


def _mean_length(answers: Sequence[Sequence[int]]) -> float:
    return sum(map(len, answers)) / len(answers)
