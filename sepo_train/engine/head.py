"""Run the output head only where a token is predicted, a tile of positions at a time."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch.nn.functional import cross_entropy
from torch.utils.checkpoint import checkpoint

from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor
    from transformers import PreTrainedModel

TILE_LOGITS = 1 << 25
"""Logits that exist at a time where the head can be tiled: 128 MiB in fp32."""

_DIMENSIONS = len(("rows", "tokens", "features"))

_TEST_LOGITS = (-3.0, 0.5, 2.0, 40.0)


def head_logps(
    model: PreTrainedModel,
    run: Callable[[], Tensor],
    logit_positions: Tensor,
    targets: Tensor,
    *,
    tile: int | None = None,
) -> Tensor:
    """Log-probabilities of `targets` from one forward pass of `model`, in fp32.

    The model's own head runs on these positions alone, inside the model's own forward pass, so that biases,
    adapters, scales and soft-caps apply as usual. If the model does no more than scale the output of its head, each
    tile of logits is reduced to log-probabilities at once, and in training computed again for the backward pass:
    memory grows with the tile, not with positions x vocabulary.

    Args:
        model: owner of the head, not wrapped for parallel training.
        run: makes the forward pass, which may be that of a wrapper, and returns its logits.
        logit_positions: (n,) positions in the flattened rows.
        targets: (n,) token ids.
        tile: positions at a time; by default as many as `TILE_LOGITS` allows.

    Returns:
        (n,) natural logarithms.

    Raises:
        SepoError: the head is given something else than one vector a token.
    """

    def selected(hidden: Tensor) -> Tensor:
        if hidden.dim() != _DIMENSIONS:
            raise SepoError(
                f"the output head of {type(model).__name__} is not given one vector a token, but {tuple(hidden.shape)}",
                "this architecture cannot be scored or trained; name a causal language model",
            )
        return hidden.flatten(0, 1)[logit_positions]

    head = model.get_output_embeddings()
    rows = tile or max(1, TILE_LOGITS // _vocabulary(head))
    scale = None if len(targets) <= rows else output_scale(model)
    if scale is None:
        with _head_input_replaced(head, lambda hidden: selected(hidden).unsqueeze(0)):
            logits = run()[0].float()
        return -cross_entropy(logits, targets, reduction="none")

    forward = head.forward

    def reduced(hidden: Tensor, token_ids: Tensor) -> Tensor:
        # The model scales what it is given, here log-probabilities, as if they were logits.
        return -cross_entropy(forward(hidden).float() * scale, token_ids, reduction="none")[:, None] / scale

    def tiled(hidden: Tensor) -> Tensor:
        tiles = zip(selected(hidden).split(rows), targets.split(rows), strict=True)
        if torch.is_grad_enabled():
            parts = [checkpoint(reduced, *tile, use_reentrant=False) for tile in tiles]
        else:
            parts = [reduced(*tile) for tile in tiles]
        return torch.cat(parts).unsqueeze(0)

    with _head_forward_replaced(head, tiled):
        return run()[0, :, 0].float()


def output_scale(model: PreTrainedModel) -> float | None:
    """The factor that `model` applies to the output of its head; None if it does anything else, such as a soft-cap.

    Tested once a model, with numbers in place of logits.
    """
    if model not in _scales:
        _scales[model] = _test_scale(model)
    return _scales[model]


_scales: WeakKeyDictionary[PreTrainedModel, float | None] = WeakKeyDictionary()


@torch.no_grad()
def _test_scale(model: PreTrainedModel) -> float | None:
    given = torch.tensor(_TEST_LOGITS, device=model.device)
    token = torch.zeros(1, 1, dtype=torch.long, device=model.device)
    try:
        with _head_forward_replaced(model.get_output_embeddings(), lambda _hidden: given.clone().view(1, 1, -1)):
            found = model(input_ids=token, use_cache=False).logits.flatten().float()
    except Exception:  # noqa: BLE001 - a model's own code may do anything with its logits
        return None
    if found.shape != given.shape:
        return None
    scale = float(found[-1] / given[-1])
    return scale if scale > 0 and torch.allclose(found, given * scale, rtol=1e-6, atol=0) else None


def _vocabulary(head: torch.nn.Module) -> int:
    weight = getattr(head, "weight", None)
    # Under DeepSpeed, a weight that processes share is empty between passes.
    return int(getattr(head, "out_features", 1 if weight is None else weight.shape[0]))


@contextmanager
def _head_input_replaced(head: torch.nn.Module, change: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within the block, `head` is given `change` of its input."""
    handle = head.register_forward_pre_hook(lambda _head, args: (change(args[0]), *args[1:]))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _head_forward_replaced(head: torch.nn.Module, forward: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Within the block, `forward` runs in the place of `head`'s own; hooks around it stay."""
    before = head.__dict__.get("forward")
    head.forward = forward
    try:
        yield
    finally:
        if before is None:
            del head.forward
        else:
            head.forward = before
