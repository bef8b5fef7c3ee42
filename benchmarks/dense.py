"""Training as one would write it with torch alone, to be compared with: padded rows, all logits, a mask.

A batch has a row for every chosen response and one for every rejected response, each with its prompt, padded on the
right. The model gives the logits of every position, all of them go through a log-softmax, and what is not selected is
multiplied by 0.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch
from torch.nn.functional import logsigmoid
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.rnn import pad_sequence
from torch.optim.lr_scheduler import CosineAnnealingLR

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

    from sepo_train.engine.layout import Tree


def dense_losses(model: PreTrainedModel, pairs: Sequence[Tree], *, gamma: float) -> Tensor:
    """(pairs,) -log sigmoid(gamma * (chosen - rejected)), of the means over the selected tokens of each response."""
    rows = [(pair.prompt_ids, pair.responses[side], pair.keep[side]) for side in (0, 1) for pair in pairs if pair.keep]
    ids = _padded([[*prompt, *response] for prompt, response, _ in rows])  # (2 pairs, length)
    attention = _padded([[1] * (len(prompt) + len(response)) for prompt, response, _ in rows])
    mask = _padded([[0] * len(prompt) + [int(kept) for kept in keep] for prompt, _, keep in rows])[:, 1:]
    logps = model(input_ids=ids, attention_mask=attention, use_cache=False).logits[:, :-1].log_softmax(dim=-1)
    of_tokens = logps.gather(-1, ids[:, 1:, None]).squeeze(-1)  # (2 pairs, length - 1)
    chosen, rejected = ((of_tokens * mask).sum(dim=1) / mask.sum(dim=1)).chunk(2)
    return -logsigmoid(gamma * (chosen - rejected))


def _padded(rows: list[list[int]]) -> Tensor:
    return pad_sequence([torch.tensor(row) for row in rows], batch_first=True)


def backward(model: PreTrainedModel, step: Sequence[Tree], *, rows: int, gamma: float) -> float:
    """Add the gradients of the mean loss of `step` to those of `model`, `rows` rows at a time; the loss."""
    loss = 0.0
    for start in range(0, len(step), rows // 2):
        part = dense_losses(model, step[start : start + rows // 2], gamma=gamma).sum() / len(step)
        part.backward()
        loss += part.item()
    return loss


def train_dense(
    model: PreTrainedModel, pairs: Sequence[Tree], *, batch_size: int, rows: int, lr: float, gamma: float
) -> tuple[list[float], list[float]]:
    """One epoch over `pairs` in their order, with what transformers' Trainer has: AdamW, clipping, a cosine.

    Returns:
        When each step ended, by `time.perf_counter`, and its loss.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0.0, fused=True)
    schedule = CosineAnnealingLR(optimizer, T_max=-(-len(pairs) // batch_size))
    model.train()
    ended, losses = [], []
    for start in range(0, len(pairs), batch_size):
        losses.append(backward(model, pairs[start : start + batch_size], rows=rows, gamma=gamma))
        clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        ended.append(time.perf_counter())
    return ended, losses
