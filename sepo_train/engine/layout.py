"""How prompts and their responses become rows of token ids.

One prompt with N responses is N branches of a tree; a preference pair is the case N = 2. `shared_layout` puts a whole
tree in one row, so that the prompt is computed once; `padded_layout` gives every response a row of its own and is the
plain form that the other is checked against. In both, the last token of a response that is wanted is not an input: it
is only predicted.
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

    `keep` marks the response tokens whose log-probability is wanted, None for all; `weights` says how much each counts
    in a mean, None for alike.
    """

    prompt_ids: Sequence[int]
    responses: Sequence[Sequence[int]]
    keep: Sequence[Sequence[bool]] | None = None
    weights: Sequence[Sequence[float]] | None = None

    def wanted(self, branch: int) -> list[int]:
        """The positions in response `branch` whose log-probability is wanted."""
        if self.keep is None:
            return list(range(len(self.responses[branch])))
        return [index for index, kept in enumerate(self.keep[branch]) if kept]

    def counts(self, branch: int) -> list[float]:
        """How much each wanted token of response `branch` counts."""
        wanted = self.wanted(branch)
        return [1.0] * len(wanted) if self.weights is None else [self.weights[branch][index] for index in wanted]

    def inputs(self, branch: int) -> Sequence[int]:
        """The tokens of response `branch` that have to be fed: all before the last wanted one."""
        return self.responses[branch][: max(self.wanted(branch), default=0)]

    def apart(self) -> list[Tree]:
        """A tree for each response alone."""
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
        return len(self.prompt_ids) + sum(len(self.inputs(branch)) for branch in range(len(self.responses)))

    @property
    def longest(self) -> int:
        """Tokens of its longest sequence: the prompt and one response."""
        return len(self.prompt_ids) + max(len(self.inputs(branch)) for branch in range(len(self.responses)))

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
        predicting: (n,) index into the flattened rows of the position that predicts target i.
        weights: (n,) how much target i counts in the mean of its response.
        targets: (n,) the token ids whose log-probability is wanted, response after response.
        response: (n,) which response target i belongs to, counted over all trees.
        responses: number of responses.
        shared: whether branches share a row, which needs a mask between them.
        windowed: whether that mask has the model's attention windows, too.
        preamble: tokens before the first of every row, which all rows see and none holds.
        alone: whether the rows have to run one by one, see `rows_apart`.
    """

    input_ids: Tensor
    segments: Tensor
    position_ids: Tensor
    predicting: Tensor
    targets: Tensor
    weights: Tensor
    response: Tensor
    responses: int
    shared: bool
    windowed: bool = False
    preamble: int = 0
    alone: bool = False

    def to(self, device: torch.device) -> Layout:
        return replace(
            self,
            input_ids=self.input_ids.to(device),
            segments=self.segments.to(device),
            position_ids=self.position_ids.to(device),
            predicting=self.predicting.to(device),
            targets=self.targets.to(device),
            weights=self.weights.to(device),
            response=self.response.to(device),
        )


def shared_layout(trees: Sequence[Tree], *, preamble: int = 0) -> Layout:
    """One row a tree: the prompt, then every branch; without the first `preamble` tokens, but at the same positions."""
    rest = [replace(tree, prompt_ids=tree.prompt_ids[preamble:]) for tree in trees] if preamble else trees
    layout = _layout([[(tree, list(range(len(tree.responses))))] for tree in rest], shared=True)
    return replace(layout, position_ids=layout.position_ids + preamble, preamble=preamble)


def padded_layout(trees: Sequence[Tree]) -> Layout:
    """One row a response: the prompt, then this branch alone."""
    return _layout([[(tree, [branch])] for tree in trees for branch in range(len(tree.responses))], shared=False)


def rows_apart(layout: Layout) -> list[Layout]:
    """The rows of a padded layout that predict something, each by itself and without padding, in their order."""
    width = layout.input_ids.shape[1]
    apart = []
    for row in layout.response.unique().tolist():
        own, fed = layout.response == row, layout.segments[row] >= 0
        apart.append(
            replace(
                layout,
                input_ids=layout.input_ids[row, fed][None],
                segments=layout.segments[row, fed][None],
                position_ids=layout.position_ids[row, fed][None],
                predicting=layout.predicting[own] - row * width,
                targets=layout.targets[own],
                weights=layout.weights[own],
                response=torch.zeros_like(layout.response[own]),
                responses=1,
                alone=False,
            )
        )
    return apart


def _layout(rows: list[list[tuple[Tree, list[int]]]], *, shared: bool) -> Layout:
    ids: list[list[int]] = []
    segments: list[list[int]] = []
    positions: list[list[int]] = []
    predicting: list[list[tuple[int, int]]] = []
    targets: list[list[int]] = []
    weights: list[list[float]] = []
    for number, [(tree, branches)] in enumerate(rows):
        prompt = len(tree.prompt_ids)
        row_ids, row_segments, row_positions = list(tree.prompt_ids), [PROMPT] * prompt, list(range(prompt))
        for segment, branch in enumerate(branches, start=1):
            start, inputs, wanted = len(row_ids), tree.inputs(branch), tree.wanted(branch)
            row_ids += inputs
            row_segments += [segment] * len(inputs)
            row_positions += range(prompt, prompt + len(inputs))
            # The first token of a response is predicted by the last one of the prompt, the others by their predecessor.
            predicting.append([(number, start + index - 1 if index else prompt - 1) for index in wanted])
            targets.append([tree.responses[branch][index] for index in wanted])
            weights.append(tree.counts(branch))
        ids.append(row_ids)
        segments.append(row_segments)
        positions.append(row_positions)
    length = max(map(len, ids))
    return Layout(
        input_ids=padded(ids, 0),
        segments=padded(segments, PADDING),
        position_ids=padded(positions, 0),
        predicting=torch.tensor([row * length + column for part in predicting for row, column in part]),
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


def batches_by_tokens(lengths: Sequence[int], budget: int, *, most: int | None = None) -> list[list[int]]:
    """Group items so that rows x longest stays within `budget` tokens, the longest first; a longer one rides alone.

    No group has more than `most` items.

    Longest first makes running out of memory happen at the start. Equal lengths keep their order, so the plan depends
    on nothing but the lengths.
    """
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    starts = [0]
    for place in range(1, len(order)):
        longest = lengths[order[starts[-1]]]
        if longest * (place - starts[-1] + 1) > budget or place - starts[-1] == most:
            starts.append(place)
    return [order[start:stop] for start, stop in pairwise([*starts, len(order)]) if stop > start]
