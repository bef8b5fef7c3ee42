"""What one model gives while it is in memory: log-probabilities of pairs, samples, answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sepo_data.console.progress import SILENT, Progress
from sepo_data.errors import SepoError
from sepo_train.engine.choose import CHECKED_PAIRS, choose_engine
from sepo_train.engine.generate import end_ids, generate
from sepo_train.engine.layout import Tree
from sepo_train.engine.logps import default_batch_tokens, score_trees
from sepo_train.evaluation.conversations import Answers, answer_prompts
from sepo_train.models.load import load_model, load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torch import Tensor

    from sepo_train.engine.generate import Generation
    from sepo_train.evaluation.benchmark_prompts import Prompt
    from sepo_train.metrics.preference import PairLogps

TOLD = 256
"""Pairs between two words on how far it is."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What one model gave while it was in memory.

    Attributes:
        path: how its rows were laid out.
        pairs: log-probabilities of both responses of each pair.
        samples: answers that the evaluated model sampled, one a tree.
        sample_logps: their log-probabilities under this model.
        answers: to the prompts.
    """

    path: str
    pairs: list[PairLogps]
    samples: list[Tree]
    sample_logps: list[Tensor]
    answers: list[Answers]


def measure(
    name: str,
    trees: Sequence[Tree],
    prompts: Sequence[Prompt],
    generation: Generation,
    *,
    samples: int | list[Tree],
    dtype: str,
    chat_template: Path | None = None,
    progress: Progress = SILENT,
) -> Measured:
    """Load the model `name` and ask it for everything that is wanted of it; then it is let go.

    Args:
        name: of the model.
        trees: pairs whose responses are scored.
        prompts: what the model answers.
        generation: how.
        samples: answers that are scored; or to how many prompts of `trees` the model samples them itself.
        dtype: of its weights.
        chat_template: through which it answers, instead of its own.
        progress: told how far it is.
    """
    model, tokenizer = load_model(name, dtype=dtype), load_tokenizer(name, chat_template=chat_template)
    engine = choose_engine([model], trees[:CHECKED_PAIRS], batch_tokens=default_batch_tokens())

    def score(wanted: Sequence[Tree], what: str) -> Iterator[list[Tensor]]:
        for start in range(0, len(wanted), TOLD):
            part = wanted[start : start + TOLD]
            yield from score_trees(model, part, engine, batch_tokens=default_batch_tokens())
            progress.step(start + len(part), len(wanted), f"{what} under {name}")

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
            eos_ids=end_ids(model, tokenizer.eos_token_id),
            max_new_tokens=generation.max_new_tokens,
            temperature=1.0,
            seed=generation.seed,
            what=f"sampled from {name}",
            progress=progress,
        )
        samples = [Tree(prompt, (answer,)) for prompt, answer in zip(asked, sampled, strict=True) if answer]
    sample_logps = [logps for [logps] in score(samples, "samples")]
    answers = answer_prompts(model, tokenizer, prompts, generation, progress=progress) if prompts else []
    return Measured(engine.path, pairs, samples, sample_logps, answers)


def some_prompts(trees: Sequence[Tree], count: int, seed: int) -> list[Sequence[int]]:
    """At most `count` different prompts of `trees`, drawn at random."""
    prompts = list({tuple(tree.prompt_ids): None for tree in trees})
    return [prompts[index] for index in np.random.default_rng(seed).permutation(len(prompts))[:count]]
