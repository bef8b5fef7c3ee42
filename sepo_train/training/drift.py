"""How far a policy has moved from where it started, told by its answers to a few fixed prompts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from sepo_train.engine.generate import generate
from sepo_train.engine.layout import Tree
from sepo_train.engine.logps import default_batch_tokens, score_trees
from sepo_train.metrics.kl import k3

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

    from sepo_train.engine.choose import Engine

PROMPTS = 8
"""Most prompts of a probe."""

ANSWER_TOKENS = 64
"""Most tokens of an answer; longer ones are cut there."""


@dataclass(frozen=True)
class Probe:
    """Answers that the model gave when training started, with its log-probabilities of them.

    Attributes:
        answers: a prompt each, with one sampled answer.
        logps: of the tokens of each answer, by the model that gave it.
        eos_ids: what ends an answer.
        seed: of the samples.
        engine: how rows are laid out.
    """

    answers: list[Tree]
    logps: list[Tensor]
    eos_ids: Sequence[int]
    seed: int
    engine: Engine

    @classmethod
    def start(
        cls,
        model: PreTrainedModel,
        prompts: Sequence[Sequence[int]],
        *,
        eos_ids: Sequence[int],
        seed: int,
        engine: Engine,
    ) -> Probe:
        """Sample an answer to each of the first few different `prompts` from `model`."""
        different = list(dict.fromkeys(map(tuple, prompts)))[:PROMPTS]
        sampled = _sample(model.eval(), different, eos_ids, seed)
        answers = [Tree(prompt, (answer,)) for prompt, answer in zip(different, sampled, strict=True) if answer]
        return cls(answers, _logps(model, answers, engine), eos_ids, seed, engine)

    def metrics(self, model: PreTrainedModel) -> dict[str, float]:
        """The distance of `model` from the start.

        Returns:
            `kl`: nats a token of KL(start || model), the mean of `k3` over the tokens of the start's answers; `length`:
            mean tokens of answers that `model` samples now, cut at 64; `length_drift`: how much more that is than at
            the start.
        """
        if not self.answers:
            return {}
        now = _logps(model, self.answers, self.engine)
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
    return generate(model, prompts, eos_ids=eos_ids, max_new_tokens=ANSWER_TOKENS, temperature=1.0, seed=seed)


def _logps(model: PreTrainedModel, answers: Sequence[Tree], engine: Engine) -> list[Tensor]:
    return [logps for [logps] in score_trees(model, answers, engine, batch_tokens=default_batch_tokens())]


def _mean_length(answers: Sequence[Sequence[int]]) -> float:
    return sum(map(len, answers)) / len(answers)
