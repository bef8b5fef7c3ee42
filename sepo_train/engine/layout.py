"""Lay out prompts and their responses as rows of token ids.

One prompt with N responses is N branches of a tree; a preference pair is the case N = 2. `shared_layout` puts a
tree in one row, so that the prompt is computed once; `padded_layout` gives every response a row of its own and is the
plain form that the other is compared with. In both, the last target token of a response is not an input: it is only
predicted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

PROMPT = 0
PADDING = -1


@dataclass(frozen=True, slots=True)
class Tree:
    """A prompt and its responses.

    Attributes:
        prompt_ids: token ids of the prompt.
        responses: token ids of each response.
        keep: for each response, which of its tokens are targets: their log-probabilities are computed. None for all.
        weights: for each response, the weight of each token in a mean. None for equal weights.
    """

    prompt_ids: Sequence[int]
    responses: Sequence[Sequence[int]]
    keep: Sequence[Sequence[bool]] | None = None
    weights: Sequence[Sequence[float]] | None = None

    def target_positions(self, branch: int) -> list[int]:
        """The positions of the target tokens in response `branch`."""
        if self.keep is None:
            return list(range(len(self.responses[branch])))
        return [index for index, kept in enumerate(self.keep[branch]) if kept]

    def target_weights(self, branch: int) -> list[float]:
        """The weight of each target token of response `branch`."""
        targets = self.target_positions(branch)
        return [1.0] * len(targets) if self.weights is None else [self.weights[branch][index] for index in targets]

    def input_ids_of(self, branch: int) -> Sequence[int]:
        """The tokens of response `branch` that are fed to the model: all before its last target."""
        return self.responses[branch][: max(self.target_positions(branch), default=0)]

    def split(self) -> list[Tree]:
        """A tree for each response."""
        return [
            Tree(
                self.prompt_ids,
                (response,),
                None if self.keep is None else (self.keep[branch],),
                None if self.weights is None else (self.weights[branch],),
            )
            for branch, response in enumerate(self.responses)
        ]

    @property
    def shared_length(self) -> int:
        """Tokens of its row in the shared layout."""
        return len(self.prompt_ids) + sum(len(self.input_ids_of(branch)) for branch in range(len(self.responses)))

    @property
    def longest(self) -> int:
        """Tokens of its longest sequence: the prompt and one response."""
        return len(self.prompt_ids) + max(len(self.input_ids_of(branch)) for branch in range(len(self.responses)))

    @property
    def padded_length(self) -> int:
        """Tokens of its rows in the padded layout."""
        return self.shared_length + (len(self.responses) - 1) * len(self.prompt_ids)


@dataclass(frozen=True, slots=True)
class Layout:
    """Rows ready for a model, and which of their positions predict which tokens.

    Attributes:
        input_ids: (rows, length) token ids, padded on the right.
        segments: (rows, length) 0 for the prompt, b for branch b, -1 for padding.
        position_ids: (rows, length) positions counted from the start of the prompt along each branch.
        logit_positions: (n,) index into the flattened rows of the position whose logits predict target i.
        weights: (n,) the weight of target i in the mean of its response.
        targets: (n,) token ids of the targets, response after response.
        response: (n,) index of the response of target i, counted over all trees.
        responses: number of responses.
        shared: whether branches share a row, which needs a mask between them.
        windowed: whether that mask includes the model's attention windows.
        prefix_tokens: tokens of the cached prefix, which stand before every row and which all rows attend to.
        one_row_at_a_time: whether the rows have to run one by one, see `split_rows`.
    """

    input_ids: Tensor
    segments: Tensor
    position_ids: Tensor
    logit_positions: Tensor
    targets: Tensor
    weights: Tensor
    response: Tensor
    responses: int
    shared: bool
    windowed: bool = False
    prefix_tokens: int = 0
    one_row_at_a_time: bool = False

    def to(self, device: torch.device) -> Layout:
        return replace(
            self,
            input_ids=self.input_ids.to(device),
            segments=self.segments.to(device),
            position_ids=self.position_ids.to(device),
            logit_positions=self.logit_positions.to(device),
            targets=self.targets.to(device),
            weights=self.weights.to(device),
            response=self.response.to(device),
        )


def shared_layout(trees: Sequence[Tree], *, prefix_tokens: int = 0) -> Layout:
    """One row a tree: the prompt without its first `prefix_tokens`, then every branch; positions stay those of all."""
    rest = [replace(tree, prompt_ids=tree.prompt_ids[prefix_tokens:]) for tree in trees] if prefix_tokens else trees
    layout = _layout([[(tree, list(range(len(tree.responses))))] for tree in rest], shared=True)
    return replace(layout, position_ids=layout.position_ids + prefix_tokens, prefix_tokens=prefix_tokens)


def padded_layout(trees: Sequence[Tree]) -> Layout:
    """One row a response: the prompt, then this branch alone."""
    return _layout([[(tree, [branch])] for tree in trees for branch in range(len(tree.responses))], shared=False)


def split_rows(layout: Layout) -> list[Layout]:
    """The rows of a padded layout that have targets, each as a layout of its own without padding, in their order."""
    width = layout.input_ids.shape[1]
    rows = []
    for row in layout.response.unique().tolist():
        own, fed = layout.response == row, layout.segments[row] >= 0
        rows.append(
            replace(
                layout,
                input_ids=layout.input_ids[row, fed][None],
                segments=layout.segments[row, fed][None],
                position_ids=layout.position_ids[row, fed][None],
                logit_positions=layout.logit_positions[own] - row * width,
                targets=layout.targets[own],
                weights=layout.weights[own],
                response=torch.zeros_like(layout.response[own]),
                responses=1,
                one_row_at_a_time=False,
            )
        )
    return rows


def _layout(rows: list[list[tuple[Tree, list[int]]]], *, shared: bool) -> Layout:
    ids: list[list[int]] = []
    segments: list[list[int]] = []
    positions: list[list[int]] = []
    logit_positions: list[list[tuple[int, int]]] = []
    targets: list[list[int]] = []
    weights: list[list[float]] = []
    for number, [(tree, branches)] in enumerate(rows):
        prompt = len(tree.prompt_ids)
        row_ids, row_segments, row_positions = list(tree.prompt_ids), [PROMPT] * prompt, list(range(prompt))
        for segment, branch in enumerate(branches, start=1):
            start, inputs, positions_of_targets = len(row_ids), tree.input_ids_of(branch), tree.target_positions(branch)
            row_ids += inputs
            row_segments += [segment] * len(inputs)
            row_positions += range(prompt, prompt + len(inputs))
            # The first token of a response is predicted by the last one of the prompt, the others by their predecessor.
            logit_positions.append(
                [(number, start + index - 1 if index else prompt - 1) for index in positions_of_targets]
            )
            targets.append([tree.responses[branch][index] for index in positions_of_targets])
            weights.append(tree.target_weights(branch))
        ids.append(row_ids)
        segments.append(row_segments)
        positions.append(row_positions)
    length = max(map(len, ids))
    return Layout(
        input_ids=padded(ids, 0),
        segments=padded(segments, PADDING),
        position_ids=padded(positions, 0),
        logit_positions=torch.tensor([row * length + column for part in logit_positions for row, column in part]),
        targets=torch.tensor([token for part in targets for token in part]),
        weights=torch.tensor([weight for part in weights for weight in part], dtype=torch.float32),
        response=torch.tensor([index for index, part in enumerate(targets) for _ in part]),
        responses=len(targets),
        shared=shared,
    )


def padded(rows: Sequence[list[int]], fill: int) -> Tensor:
    """(rows, longest) the `rows`, filled up on the right."""
    longest = max(map(len, rows))
    return torch.tensor([row + [fill] * (longest - len(row)) for row in rows])


def batches_by_tokens(lengths: Sequence[int], budget: int, *, max_items: int | None = None) -> list[list[int]]:
    """Group items so that rows x longest stays within `budget` tokens, the longest first.

    An item longer than `budget` is a group of its own. No group has more than `max_items` items.

    Longest first makes running out of memory happen at the start. Equal lengths keep their order, so the plan depends
    on nothing but the lengths.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    starts = [0]
    for place in range(1, len(order)):
        longest = lengths[order[starts[-1]]]
        if longest * (place - starts[-1] + 1) > budget or place - starts[-1] == max_items:
            starts.append(place)
    return [order[start:stop] for start, stop in pairwise([*starts, len(order)]) if stop > start]
