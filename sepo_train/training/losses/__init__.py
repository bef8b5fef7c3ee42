"""Losses of training: a function in any file of this folder, registered where it stands; `sepo train --loss` finds it.

A loss is written with `loss` of registry.py, as those in `reference_free.py` and `with_reference.py` are. Its signature
names the tensors and numbers it is a function of; the first line of its docstring is its row in the documentation:

    c, r    mean log-probability of the selected tokens of the chosen and of the rejected response, in nats
    C, R    their sum
    c_ref   and so on: the same under the reference model

Sums and means are weighted where the selection has soft weights. With every token selected each loss is the one that
its paper describes. Torch is imported when a loss is computed, not before.
"""

from __future__ import annotations

from sepo_train.training.losses.registry import LOSSES as LOSSES
