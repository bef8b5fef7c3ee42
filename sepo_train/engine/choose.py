"""Which layouts a model computes the same in as alone, one sequence after the other: found out by trying."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import partial
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from sepo_data.errors import SepoError
from sepo_train.engine.attention import attention_window
from sepo_train.engine.layout import Layout, Tree, padded_layout, shared_layout
from sepo_train.engine.logps import score_trees, token_logps
from sepo_train.engine.prefix_cache import common_preamble

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch import Tensor
    from transformers import PretrainedConfig, PreTrainedModel

NO_LIMIT = 1 << 40

CHECKED_TREES = 4
"""On how many trees within the attention window, and on how many beyond it, layouts are compared."""

HEAD_TOKENS = 64
"""Tokens of the prompt, and of a response, on which the output head is compared with full logits."""

TOLERANCE = 1e-4
"""How far any log-probability may move in fp32 before a layout is refused."""

TOLERANCE_16_BIT = 0.1
"""The same for the mean difference in 16-bit types, where rounding alone moves single tokens by 0.3."""

NOISE = 2
"""How many times as far as padding moves them a shared prompt may move values: rounding grows with the model."""

CHECKED_PAIRS = 100
"""Pairs of a dataset that are worth reading for those that can tell."""

GROSS = 4
"""What moves values this many times as far as is tolerated is no rounding: padding that does so is refused, and a
window whose absence does so was seen to matter."""


@dataclass(frozen=True, slots=True)
class Engine:
    """How a model's rows are laid out.

    Attributes:
        shared_limit: rows up to this length share their prompt.
        reason: why none does.
        windowed: whether the mask of a shared row has the model's attention windows, too.
        preamble: whether what all prompts begin with is computed once, where they are shared.
        padded_limit: sequences up to this length may stand in one batch; with longer ones, each runs alone.
    """

    shared_limit: int
    reason: str = ""
    windowed: bool = False
    preamble: bool = False
    padded_limit: int = NO_LIMIT

    @property
    def path(self) -> str:
        """What the manifest records."""
        path = f"unshared: {self.reason}" if self.reason else "shared prompt"
        if self.preamble:
            path += " and preamble"
        if self.windowed:
            path += " with attention windows"
        elif 0 < self.shared_limit < NO_LIMIT:
            path += f", unshared beyond the attention window of {self.shared_limit} tokens"
        if self.padded_limit < NO_LIMIT:
            path += f", one by one beyond {self.padded_limit} tokens" if self.padded_limit else ", one by one"
        return path

    def length(self, tree: Tree, *, preamble: int = 0) -> int:
        """Tokens that `tree` takes in a batch, `preamble` of its prompt standing before the batch."""
        return tree.shared_length - preamble if self._shares(tree) else tree.padded_length

    def layout(self, trees: Sequence[Tree], *, preamble: int = 0) -> Layout:
        """Lay out `trees`, sharing prompts, and the first `preamble` tokens of them, where all their rows allow it."""
        if all(map(self._shares, trees)):
            return replace(shared_layout(trees, preamble=preamble), windowed=self.windowed)
        alone = self.padded_limit < NO_LIMIT and any(tree.longest > self.padded_limit for tree in trees)
        return replace(padded_layout(trees), alone=alone)

    def _shares(self, tree: Tree) -> bool:
        within = self.padded_limit == NO_LIMIT or tree.longest <= self.padded_limit
        return within and tree.shared_length <= self.shared_limit


Checked: TypeAlias = "list[tuple[Tree, Tensor]]"
"""Trees, each with the (wanted tokens,) log-probabilities of its responses, each by itself."""

Scores: TypeAlias = "list[list[Tensor]]"
"""What `score_trees` gives."""

PLAIN = Engine(shared_limit=0, reason="not asked for")


def choose_engine(models: Iterable[PreTrainedModel], trees: Sequence[Tree], *, batch_tokens: int) -> Engine:
    """Share prompts, and pad, where every one of `models` computes the same as alone, found out by trying.

    What all prompts begin with is computed once where the trees tried have such a beginning, and that changes nothing.

    A mask of our own replaces a sliding window. Rows longer than the window are shared where some of them were tried
    with a mask that has the window, and the window was seen to matter; otherwise they are not. Whatever else a model
    does (recurrence, ALiBi, a mask or positions that it reads differently) shows in the comparison.

    Args:
        models: those that the engine is for.
        trees: real ones, of which the first few are tried that can tell.
        batch_tokens: as in the run to come.
    """
    # No variable holds a model when the next one comes: memory may have room for one.
    found = list(map(partial(_choose, trees=trees, batch_tokens=batch_tokens), models))
    best = max(map(_for_all, zip(*found, strict=True)), key=lambda engine: engine.shared_limit)
    return replace(best, padded_limit=min(engine.padded_limit for kind in found for engine in kind))


def _for_all(engines: Sequence[Engine]) -> Engine:
    """What every one of several models allows."""
    least = min(engines, key=lambda engine: engine.shared_limit)
    return replace(least, preamble=all(engine.preamble for engine in engines))


def _choose(model: PreTrainedModel, trees: Sequence[Tree], batch_tokens: int) -> tuple[Engine, Engine]:
    """What `model` allows without its attention windows in the mask of a shared row, and with them."""
    config = model.config.get_text_config()
    window, padded_limit = attention_window(config) or NO_LIMIT, _padded_limit(config)

    def telling() -> Iterator[Tree]:
        # Where one response at most is fed, sharing cannot go wrong.
        fed = (tree for tree in trees if all(map(tree.inputs, range(len(tree.responses)))))
        return (tree for tree in fed if tree.longest <= padded_limit)

    near = _checked(model, (tree for tree in telling() if tree.shared_length <= window))
    far = _checked(model, (tree for tree in telling() if tree.longest > window)) if window < NO_LIMIT else []
    known = [*near, *far] or _checked(model, trees)
    _check_head(model, known)

    def moved(engine: Engine, checked: Checked, *, beyond: int = 0) -> tuple[float, str, Scores]:
        return _moved(model, checked, engine, batch_tokens, beyond=beyond)

    padded = Engine(0, padded_limit=padded_limit)
    noise, how, _ = moved(padded, known)
    if noise > GROSS * tolerance(model):
        alone = Engine(0, f"padding {how}", padded_limit=0)
        return alone, alone
    tolerated = max(tolerance(model), NOISE * noise)

    def preambled(engine: Engine, checked: Checked) -> Engine:
        tried, shared = replace(engine, preamble=True), common_preamble([tree for tree, _ in checked])
        return tried if engine.shared_limit and shared and moved(tried, checked)[0] <= tolerated else engine

    windowless = Engine(window, padded_limit=padded_limit)
    windowed = Engine(NO_LIMIT, windowed=True, padded_limit=padded_limit)
    if near:
        change, how = _inexact(model, near, windowless, batch_tokens, tolerated=tolerated)
        if change > tolerated:
            unshared = replace(padded, reason=f"a shared prompt {how}")
            return unshared, unshared
    else:
        within = f" within the attention window of {window}" if window < NO_LIMIT else ""
        windowless = replace(padded, reason=f"no pair{within} to try a shared prompt on")
    windowless = preambled(windowless, near)
    if window == NO_LIMIT:
        return windowless, replace(windowless, windowed=not windowless.reason)
    without, *_ = moved(replace(windowed, windowed=False), far, beyond=window)
    seen = GROSS * tolerated < without < math.inf
    exact = seen and moved(windowed, far, beyond=window)[0] <= tolerated
    if not exact or _inexact(model, known, windowed, batch_tokens, tolerated=tolerated)[0] > tolerated:
        return windowless, replace(padded, reason="attention windows are not shared exactly")
    return windowless, preambled(windowed, known)


def _checked(model: PreTrainedModel, trees: Iterable[Tree]) -> Checked:
    """The first of `trees` that give finite numbers, with the log-probabilities of every response by itself."""
    checked = []
    for tree in islice(trees, 4 * CHECKED_TREES):
        logps = torch.cat([score_trees(model, [branch], PLAIN, batch_tokens=1)[0][0] for branch in tree.apart()])
        # Scoring sets pairs aside that give NaN, which in a shared row spreads to the other responses.
        if logps.isfinite().all():
            checked.append((tree, logps))
        if len(checked) == CHECKED_TREES:
            break
    return checked


def _moved(
    model: PreTrainedModel, checked: Checked, engine: Engine, batch_tokens: int, *, beyond: int
) -> tuple[float, str, Scores]:
    """How far `engine` moves the log-probabilities predicted at position `beyond` and later, and that in words.

    Returns:
        The largest change in fp32, the mean in 16-bit types; the words; and what `engine` gave, nothing where refused.
    """
    if not checked:
        return 0.0, "", []
    try:
        scores = score_trees(model, [tree for tree, _ in checked], engine, batch_tokens=batch_tokens)
    except Exception as error:  # noqa: BLE001 - a model's own code may fail in any way on a mask it does not know
        return math.inf, f"is refused ({type(error).__name__})", []
    predicting = [
        len(tree.prompt_ids) + index - 1
        for tree, _ in checked
        for branch in range(len(tree.responses))
        for index in tree.wanted(branch)
    ]
    changes = torch.cat([logps for responses in scores for logps in responses]) - torch.cat([own for _, own in checked])
    changes = changes.abs().nan_to_num(math.inf)[torch.tensor(predicting) >= beyond]
    if not len(changes):
        return 0.0, "", scores
    return extent(model, changes), f"changes log-probabilities by up to {float(changes.max()):.2g}", scores


def _inexact(
    model: PreTrainedModel, checked: Checked, engine: Engine, batch_tokens: int, *, tolerated: float
) -> tuple[float, str]:
    """How far rows that share their prompt, as `engine` has it, are from exact, and that in words."""
    change, how, scores = _moved(model, checked, engine, batch_tokens, beyond=0)
    return (change, how) if change > tolerated else _leaked(model, checked, engine, batch_tokens, scores)


def _leaked(
    model: PreTrainedModel, checked: Checked, engine: Engine, batch_tokens: int, scores: Scores
) -> tuple[float, str]:
    """How far the first response of a shared row moves the others, none of which may see it, and that in words.

    Another response of the same length takes its place: everything keeps its shape, so rounding changes next to nothing
    and single tokens can be judged in 16-bit types, too. There, what a convolution or a recurrent state carries over to
    the first tokens of the next response would be lost in the mean that `_moved` gives.

    Args:
        model: the one that is tried.
        checked: trees, of which the rows are made.
        engine: shares their prompts.
        batch_tokens: as in the run to come.
        scores: what `engine` gives of the trees as they are.

    Returns:
        The largest change of a log-probability of any response but the first.
    """
    exchanged = [
        replace(tree, responses=([*islice(cycle(tree.prompt_ids), len(first))], *rest))
        for tree, _ in checked
        for first, *rest in [tree.responses]
    ]
    others = score_trees(model, exchanged, engine, batch_tokens=batch_tokens)
    pairs = [pair for both in zip(scores, others, strict=True) for pair in list(zip(*both, strict=True))[1:]]
    if not pairs:
        return 0.0, ""
    leak = float(torch.cat([ours - theirs for ours, theirs in pairs]).abs().nan_to_num(math.inf).max())
    return leak, f"lets a response see the one before it, which changes log-probabilities by up to {leak:.2g}"


@torch.no_grad()
def _check_head(model: PreTrainedModel, checked: Checked) -> None:
    """Raise where the output head gives other values on the wanted positions alone than in a plain forward pass.

    Large batches run it a tile of positions at a time, so that is compared, too.
    """
    for tree, _ in sorted(checked, key=lambda item: item[0].longest)[:1]:
        # The logits of a long row would be the most memory that a run ever takes.
        short = Tree(tree.prompt_ids[-HEAD_TOKENS:], [response[:HEAD_TOKENS] for response in tree.responses]).apart()
        plain = torch.cat([_full_logits(model, branch) for branch in short])
        for tiles in (1, 2):
            layouts = [padded_layout([branch]) for branch in short]
            own = [token_logps(model, layout, tile=-(-len(layout.targets) // tiles)).cpu() for layout in layouts]
            change = (plain - torch.cat(own)).abs()
            if extent(model, change) > GROSS * tolerance(model):
                raise SepoError(
                    f"{type(model).__name__} gives other logits where only some positions are asked for: "
                    f"log-probabilities differ by up to {change.max():.2g}",
                    "this architecture cannot be scored; please report it",
                )


@torch.inference_mode()
def _full_logits(model: PreTrainedModel, tree: Tree) -> Tensor:
    """(wanted tokens,) log-probabilities of the one response of `tree`, in the plainest way."""
    fed = torch.tensor([[*tree.prompt_ids, *tree.inputs(0)]], device=model.device)
    logps = model(input_ids=fed, use_cache=False).logits[0].float().log_softmax(dim=-1).cpu()
    wanted = torch.tensor(tree.wanted(0), dtype=torch.long)
    return logps[wanted + len(tree.prompt_ids) - 1, torch.tensor(tree.responses[0])[wanted]]


def extent(model: PreTrainedModel, changes: Tensor) -> float:
    """What of the `changes` of log-probabilities is held against `tolerance`: their mean in 16 bits, or the largest."""
    return float(changes.mean() if _is_16_bit(model) else changes.max())


def tolerance(model: PreTrainedModel) -> float:
    """How far the log-probabilities of `model` may move by rounding alone; see `extent`."""
    return TOLERANCE_16_BIT if _is_16_bit(model) else TOLERANCE


def _is_16_bit(model: PreTrainedModel) -> bool:
    return model.dtype.itemsize < torch.float32.itemsize or torch.is_autocast_enabled(model.device.type)


def _padded_limit(config: PretrainedConfig) -> int:
    """Up to which length a sequence may share a batch: LongRoPE turns all rows of a batch by its longest one."""
    parameters: dict[str, Any] = getattr(config, "rope_parameters", None) or {}
    # Some models have parameters for each kind of layer.
    each = [parameters, *(part for part in parameters.values() if isinstance(part, dict))]
    limits = [part["original_max_position_embeddings"] for part in each if part.get("rope_type") == "longrope"]
    return min(limits, default=NO_LIMIT)
