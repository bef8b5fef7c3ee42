"""Log-probabilities of tokenized pairs under the oracle and the reference model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from sepo_data.shapes.pairs import SkippedRow
from sepo_data.shapes.skip_reasons import NON_FINITE
from sepo_train.engine.choose import choose_layout_policy
from sepo_train.engine.logps import score_trees
from sepo_train.engine.recheck import recheck_longest
from sepo_train.models.device import default_device
from sepo_train.models.weight_changes import check_kept
from sepo_train.scoring.model_comparison import ModelComparison
from sepo_train.scoring.prompt_groups import prompt_groups

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch import Tensor
    from transformers import PreTrainedModel

    from sepo_data.console.progress import Progress
    from sepo_data.tokenization.tokenize import TokenizedPair
    from sepo_train.engine.layout import Tree
    from sepo_train.engine.layout_policy import LayoutPolicy
    from sepo_train.scoring.model_pair import ModelPair

PairLogps: TypeAlias = "dict[str, list[list[NDArray[np.float32]]]]"
"""By role (`oracle`, `ref`), for each pair the (tokens,) log-probabilities of its chosen and its rejected response."""

OTHER_LAYOUT = (
    "score every response by itself with --batch-tokens 1 --overwrite, which takes longer, or leave out such long rows "
    "with --max-length"
)


@dataclass
class PairScorer:
    """Scores pairs under both models, in smaller batches once memory has run out.

    Attributes:
        models: the oracle and the reference model.
        policy: how rows are laid out, exact for both.
        batch_tokens: tokens in one forward pass; reduced when a batch does not fit into memory.
        progress: receives a note when `batch_tokens` is reduced.
        equal_models: whether both models give the same numbers; see `ModelComparison`.
        rechecked: rows of the last pairs that were scored again, each response by itself; see `recheck_longest`.
    """

    models: ModelPair
    policy: LayoutPolicy
    batch_tokens: int
    progress: Progress
    equal_models: bool = False
    rechecked: int = 0

    @classmethod
    def tested_on(
        cls, sample: Sequence[TokenizedPair], models: ModelPair, *, batch_tokens: int, progress: Progress
    ) -> PairScorer:
        """A scorer whose layout was tested on the pairs of `sample`; see `choose_layout_policy`."""
        trees, _ = prompt_groups(sample, batch_tokens)
        if models.check_adapter(trees[:1]):
            progress.note("the oracle is an adapter on the reference model: one set of weights serves both")
        comparison = ModelComparison(trees)
        policy = choose_layout_policy(map(comparison.passed, models.in_turn()), trees, batch_tokens=batch_tokens)
        device = default_device().type
        progress.note(f"{models.dtype} on {device}, {policy.layout_name}, {batch_tokens} tokens a batch")
        return cls(models, policy, batch_tokens, progress, equal_models=comparison.equal)

    def logps(self, pairs: Sequence[TokenizedPair]) -> PairLogps:
        """Natural logarithms of each response token's probability, given its prompt and the tokens before it.

        Raises:
            SepoError: the longest row has others where each response is scored by itself, or weights changed meanwhile.
        """
        trees, places = prompt_groups(pairs, self.batch_tokens)

        def row(tree: int) -> str:
            number = next(number for number, sides in enumerate(places) if any(place[0] == tree for place in sides))
            return f"row {pairs[number].pair.source_row}"

        def logps_of(model: PreTrainedModel) -> list[list[NDArray[np.float32]]]:
            scores = self._scores(model, trees)
            for index, responses in enumerate(scores):
                # In a shared row, NaN spreads from one response to the others.
                if len(responses) > 1 and not all(bool(logps.isfinite().all()) for logps in responses):
                    scores[index] = [logps for [logps] in self._scores(model, trees[index].split())]
            self.rechecked = recheck_longest(model, trees, scores, self.policy, name=row, hint=OTHER_LAYOUT)
            check_kept(model)
            return [[scores[tree][branch].numpy() for tree, branch in sides] for sides in places]

        return self.models.each(logps_of)

    def _scores(self, model: PreTrainedModel, trees: Sequence[Tree]) -> list[list[Tensor]]:
        return score_trees(
            model, trees, self.policy, batch_tokens=self.batch_tokens, on_out_of_memory=self._reduce_batch
        )

    def _reduce_batch(self, tokens: int) -> None:
        self.batch_tokens = min(self.batch_tokens, tokens)
        self.progress.note(f"out of memory: {self.batch_tokens} tokens a batch from now on")


def skip_non_finite(
    pairs: list[TokenizedPair], logps: PairLogps
) -> tuple[list[TokenizedPair], PairLogps, list[SkippedRow]]:
    """Skip the pairs for which a model gave NaN or infinity; neither ever reaches the disk.

    Returns:
        The other pairs, their log-probabilities, and the skipped rows.
    """
    bad = {
        index: role
        for role, by_pair in logps.items()
        for index, sides in enumerate(by_pair)
        if not all(np.isfinite(side).all() for side in sides)
    }
    good = [index for index in range(len(pairs)) if index not in bad]
    skipped = [
        SkippedRow(pairs[index].pair.source_row, NON_FINITE, f"the {role} model gave NaN or infinite log-probabilities")
        for index, role in bad.items()
    ]
    finite = {role: [by_pair[index] for index in good] for role, by_pair in logps.items()}
    return [pairs[index] for index in good], finite, skipped
