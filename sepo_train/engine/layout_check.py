"""Compare the log-probabilities of a batch layout with those of single sequences, on real pairs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import cycle, islice
from typing import TYPE_CHECKING, TypeAlias

import torch

from sepo_data.errors import SepoError
from sepo_train.engine.layout import Tree, padded_layout
from sepo_train.engine.layout_policy import PLAIN, LayoutPolicy
from sepo_train.engine.logps import score_trees, token_logps
from sepo_train.models.files import library_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

COMPARED_TREES = 4
"""Trees on which layouts are compared, the longest and the shortest among them: so many within the attention window,
and so many beyond it."""

HEAD_TOKENS = 64
"""Tokens of the prompt, and of a response, on which the output head is compared with full logits."""

TOLERANCE = 1e-4
"""Nats that any log-probability may change by in fp32 before a layout is refused."""

TOLERANCE_16_BIT = 0.1
"""Nats for the mean change in 16-bit types, where rounding alone changes single tokens by 0.3."""

GROSS_FACTOR = 4
"""A change of so many times the tolerance is no rounding: padding that makes one is refused, and an attention window
whose absence makes one was seen to matter."""

ROW_COPIES = (2, 3)
"""Batches in which a row is computed again before a change stops a run: rounding is another one in other shapes."""

_ANOTHER = "leave out longer pairs with --max-length, or name another model"

Expected: TypeAlias = "list[tuple[Tree, Tensor]]"
"""Trees, each with the (target tokens,) log-probabilities of its responses, each of them scored by itself."""


@dataclass(frozen=True, slots=True)
class Change:
    """The difference between a layout and single sequences.

    Attributes:
        size: nats, as `change_size` measures them; infinite where the model refuses the layout.
        text: the same in words.
        largest: nats, of any log-probability.
        scores: what `score_trees` gave with the layout; empty where it was refused.
    """

    size: float = 0.0
    text: str = ""
    largest: float = 0.0
    scores: list[list[Tensor]] | None = None


def single_logps(model: PreTrainedModel, trees: Iterable[Tree]) -> Expected:
    """The first few of `trees` that give finite numbers, with the log-probabilities of every response by itself."""
    expected: Expected = []
    for tree in islice(trees, 4 * COMPARED_TREES):
        with library_errors(f"{_name(model)} cannot be run on a row of {tree.longest} tokens", _ANOTHER):
            logps = torch.cat([score_trees(model, [branch], PLAIN, batch_tokens=1)[0][0] for branch in tree.split()])
        # Scoring skips pairs that give NaN, which in a shared row spreads to the other responses.
        if logps.isfinite().all():
            expected.append((tree, logps))
        if len(expected) == COMPARED_TREES:
            break
    return expected


def _name(model: PreTrainedModel) -> str:
    """The name that a model was loaded by, or that of its class."""
    return str(getattr(model, "name_or_path", "") or f"a {type(model).__name__}")


def layout_change(
    model: PreTrainedModel, expected: Expected, policy: LayoutPolicy, *, batch_tokens: int, from_position: int = 0
) -> Change:
    """The change that `policy` makes to log-probabilities that are predicted at `from_position` and later."""
    if not expected:
        return Change()
    try:
        scores = score_trees(model, [tree for tree, _ in expected], policy, batch_tokens=batch_tokens)
    except Exception as error:  # noqa: BLE001 - a model's own code may fail in any way on a mask it does not know
        return Change(math.inf, f"is refused ({type(error).__name__})")
    positions = [
        len(tree.prompt_ids) + index - 1
        for tree, _ in expected
        for branch in range(len(tree.responses))
        for index in tree.target_positions(branch)
    ]
    found = torch.cat([logps for responses in scores for logps in responses])
    changes = (found - torch.cat([single for _, single in expected])).abs().nan_to_num(math.inf)
    changes = changes[torch.tensor(positions) >= from_position]
    if not len(changes):
        return Change(scores=scores)
    largest = float(changes.max())
    text = f"changes log-probabilities by up to {largest:.2g}"
    return Change(change_size(model, changes), text, largest, scores)


def sharing_change(
    model: PreTrainedModel,
    expected: Expected,
    policy: LayoutPolicy,
    *,
    batch_tokens: int,
    tolerated: float,
    rounding: Change,
) -> Change:
    """The change that `policy`, which shares prompts, makes to log-probabilities, or one response to another.

    In 16-bit types, the mean over all tokens hides what goes wrong with a few, as where a model counts blocks along the
    row. So single tokens are judged, too, against those that rounding alone changes: in the first responses of rows,
    where nothing but the prompt stands before them, and in padded rows.
    """
    change = layout_change(model, expected, policy, batch_tokens=batch_tokens)
    if change.size > tolerated or not change.scores:
        return change
    if is_16_bit(model):
        first, others = displaced_changes([single for _, single in expected], change.scores)
        if others > max(GROSS_FACTOR * max(first, rounding.largest), tolerance(model)):
            return Change(others, f"changes log-probabilities behind another response by up to {others:.2g}")
    return _leak(model, expected, policy, change.scores, batch_tokens=batch_tokens)


def displaced_changes(single: Sequence[Tensor], scores: Sequence[Sequence[Tensor]]) -> tuple[float, float]:
    """The largest change of a log-probability in the first responses of rows, and in the others.

    Args:
        single: for each row, the log-probabilities of its responses by themselves, one after the other.
        scores: for each row and response, those in the layout.
    """
    first, others = [0.0], [0.0]
    for alone, responses in zip(single, scores, strict=True):
        changes = (torch.cat([*responses]) - alone).abs().nan_to_num(math.inf)
        for part, found in ((changes[: len(responses[0])], first), (changes[len(responses[0]) :], others)):
            found.append(float(part.max()) if len(part) else 0.0)
    return max(first), max(others)


def _leak(
    model: PreTrainedModel, expected: Expected, policy: LayoutPolicy, scores: list[list[Tensor]], *, batch_tokens: int
) -> Change:
    """The largest change of `leaks`."""
    changes = leaks(model, [tree for tree, _ in expected], policy, scores, batch_tokens=batch_tokens)
    if not len(changes):
        return Change()
    leak = float(changes.max())
    return Change(leak, f"lets a response see the one before it, which changes log-probabilities by up to {leak:.2g}")


def leaks(
    model: PreTrainedModel,
    trees: Sequence[Tree],
    policy: LayoutPolicy,
    scores: Sequence[Sequence[Tensor]],
    *,
    batch_tokens: int,
) -> Tensor:
    """The changes that the first response of a shared row makes to the others, none of which may attend to it.

    Another response of the same length takes its place: everything keeps its shape, so rounding changes next to nothing
    and single tokens can be judged in 16-bit types, too. There, what a convolution or a recurrent state carries over to
    the first tokens of the next response would be lost in the mean of `layout_change`.

    Args:
        model: the model that is tested.
        trees: from which the rows are made.
        policy: shares their prompts.
        scores: what `policy` gives for the trees as they are.
        batch_tokens: as in the run to come.

    Returns:
        (n,) the size of each change of a log-probability of any response but the first.
    """
    exchanged = [
        replace(tree, responses=([*islice(cycle(tree.prompt_ids), len(first))], *rest))
        for tree in trees
        for first, *rest in [tree.responses]
    ]
    others = score_trees(model, exchanged, policy, batch_tokens=batch_tokens)
    pairs = [pair for both in zip(scores, others, strict=True) for pair in list(zip(*both, strict=True))[1:]]
    return torch.cat([torch.empty(0), *((ours - theirs).abs() for ours, theirs in pairs)]).nan_to_num(math.inf)


@torch.no_grad()
def check_head(model: PreTrainedModel, expected: Expected) -> None:
    """Raise if the output head gives other values on target positions alone than in a plain forward pass.

    Large batches run it a tile of positions at a time, so that is compared, too.
    """
    for tree, _ in sorted(expected, key=lambda item: item[0].longest)[:1]:
        # The logits of a long row would be the most memory that a run ever takes.
        short = Tree(tree.prompt_ids[-HEAD_TOKENS:], [response[:HEAD_TOKENS] for response in tree.responses]).split()
        plain = torch.cat([_full_logits(model, branch) for branch in short])
        for tiles in (1, 2):
            layouts = [padded_layout([branch]) for branch in short]
            ours = [token_logps(model, layout, tile=-(-len(layout.targets) // tiles)).cpu() for layout in layouts]
            changes = (plain - torch.cat(ours)).abs()
            if change_size(model, changes) > GROSS_FACTOR * tolerance(model):
                raise SepoError(
                    f"the logits of {type(model).__name__} change when its output head runs on selected positions "
                    f"only: log-probabilities differ by up to {changes.max():.2g}",
                    "this architecture cannot be scored; please report it",
                )


@torch.inference_mode()
def _full_logits(model: PreTrainedModel, tree: Tree) -> Tensor:
    """(target tokens,) log-probabilities of the one response of `tree`, in the plainest way."""
    fed = torch.tensor([[*tree.prompt_ids, *tree.input_ids_of(0)]], device=model.device)
    logps = model(input_ids=fed, use_cache=False).logits[0].float().log_softmax(dim=-1).cpu()
    targets = torch.tensor(tree.target_positions(0), dtype=torch.long)
    return logps[targets + len(tree.prompt_ids) - 1, torch.tensor(tree.responses[0])[targets]]


def change_size(model: PreTrainedModel, changes: Tensor) -> float:
    """The part of `changes` that is held against `tolerance`: the mean in 16-bit types, the largest in fp32."""
    return float(changes.mean() if is_16_bit(model) else changes.max())


def tolerance(model: PreTrainedModel) -> float:
    """Nats that rounding alone may change the log-probabilities of `model` by, as `change_size` measures them."""
    return TOLERANCE_16_BIT if is_16_bit(model) else TOLERANCE


def is_16_bit(model: PreTrainedModel) -> bool:
    """True if products of `model` are rounded to 16 bits or fewer."""
    return model.dtype.itemsize < torch.float32.itemsize or torch.is_autocast_enabled(model.device.type)
