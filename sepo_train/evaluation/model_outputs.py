"""The outputs of one model in an evaluation: log-probabilities of pairs, samples, answers."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import SepoError
from sepo_data.tokenization.template_date import uses_date
from sepo_train.engine.choose import choose_layout_policy
from sepo_train.engine.generate import end_ids, generate
from sepo_train.engine.layout import Tree
from sepo_train.engine.logps import default_batch_tokens, score_trees
from sepo_train.engine.recheck import recheck_longest
from sepo_train.evaluation.conversations import answer_prompts
from sepo_train.models.load import load_model
from sepo_train.models.tokenizers import load_tokenizer
from sepo_train.models.weight_changes import check_kept

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torch import Tensor

    from sepo_train.engine.generate import Generation
    from sepo_train.evaluation.benchmarks import Answers, Prompt
    from sepo_train.metrics import PairLogps
    from sepo_train.models.device import Dtype

PROGRESS_EVERY_PAIRS = 256


@dataclass(frozen=True, slots=True)
class ModelOutputs:
    """The outputs of one model, collected while it was in memory.

    Attributes:
        layout: the layout of its rows.
        dated: whether its chat template asks for the date.
        pairs: log-probabilities of both responses of each pair.
        samples: answers sampled from the evaluated model, one a tree.
        sample_logps: their log-probabilities under this model.
        answers: to the prompts.
    """

    layout: str
    dated: bool
    pairs: list[PairLogps]
    samples: list[Tree]
    sample_logps: list[Tensor]
    answers: list[Answers]


def collect_outputs(
    name: str,
    trees: Sequence[Tree],
    prompts: Sequence[Prompt],
    generation: Generation,
    *,
    samples: int | list[Tree],
    dtype: Dtype,
    chat_template: str | Path | None = None,
    template_date: str | None = None,
    trust_remote_code: bool = False,
    progress: Progress = SILENT,
) -> ModelOutputs:
    """Load the model `name`, compute all outputs that an evaluation needs, and release it.

    Args:
        name: of the model.
        trees: pairs whose responses are scored.
        prompts: prompts to answer.
        generation: length, temperature and random seed of answers.
        samples: answers to score; or the number of prompts of `trees` to sample answers to.
        dtype: number type of its weights.
        chat_template: used for answers in place of its own.
        template_date: day, as YYYY-MM-DD, that the chat template takes for today; by default the day it is.
        trust_remote_code: run the code that comes with it.
        progress: receives the steps done.
    """
    tokenizer = load_tokenizer(
        name, chat_template=chat_template, template_date=template_date, trust_remote_code=trust_remote_code
    )
    model = load_model(name, dtype=dtype, trust_remote_code=trust_remote_code, progress=progress)
    layout_policy = choose_layout_policy([model], trees, batch_tokens=default_batch_tokens())

    def score(selected: Sequence[Tree], kind: str) -> Iterator[list[Tensor]]:
        for start in range(0, len(selected), PROGRESS_EVERY_PAIRS):
            part = selected[start : start + PROGRESS_EVERY_PAIRS]
            scores = score_trees(model, part, layout_policy, batch_tokens=default_batch_tokens())
            recheck_longest(model, part, scores, layout_policy, name=partial(_numbered, kind, start))
            yield from scores
            progress.step(start + len(part), len(selected), f"{kind} under {name}")

    pairs: list[PairLogps] = list(score(trees, "pairs"))
    if not any(all(bool(logps.isfinite().all()) for logps in pair) for pair in pairs):
        raise SepoError(
            f"{name} gives log-probabilities that are not finite for every pair",
            "its weights are broken, or need --dtype float32",
        )
    if isinstance(samples, int):
        asked = some_prompts(trees, samples, generation.seed)
        sampled = generate(
            model,
            asked,
            replace(generation, temperature=1.0),
            end_ids(model, tokenizer.eos_token_id),
            label=f"sampled from {name}",
            progress=progress,
        )
        samples = [Tree(prompt, (answer,)) for prompt, answer in zip(asked, sampled, strict=True) if answer]
    sample_logps = [logps for [logps] in score(samples, "samples")]
    answers = answer_prompts(model, tokenizer, prompts, generation, progress=progress) if prompts else []
    check_kept(model)
    return ModelOutputs(layout_policy.layout_name, uses_date(tokenizer), pairs, samples, sample_logps, answers)


def _numbered(kind: str, start: int, place: int) -> str:
    """The name of one of the `kind` of rows that are scored, the first of which has the number `start`."""
    return f"number {start + place} of the {kind}"


def some_prompts(trees: Sequence[Tree], count: int, seed: int) -> list[Sequence[int]]:
    """At most `count` different prompts of `trees`, drawn at random."""
    prompts = list({tuple(tree.prompt_ids): None for tree in trees})
    return [prompts[index] for index in np.random.default_rng(seed).permutation(len(prompts))[:count]]
