"""The longest pair that trains in 4 GiB: a part of `train.py`."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from contest import note
from training_task import Task, run
from transformers import AutoModelForCausalLM, LlamaConfig

from sepo_data.selection.quota import Quota
from sepo_train.engine.layout import Tree
from sepo_train.models.files import load_config

GIB = 1 << 30
LIMIT = 4 * GIB
SHARE = 3000
LENGTHS = [round(64 * 2 ** (step / 4)) for step in range(29)]
"""From 64 tokens to 8192, each a fifth more than the one before."""


def longest(model: str) -> None:
    """Print the longest pairs for `model`, and for a small one with a large vocabulary and random weights."""
    print(f"\n{'longest prompt and response in 4 GiB':44}{'tokens':>9}{'x':>7}{'peak, GiB':>11}{'a step, s':>12}")
    _longest(model, Path(model).stem)
    with tempfile.TemporaryDirectory(prefix="sepo-benchmark-") as folder:
        config = LlamaConfig(
            vocab_size=262_144,
            hidden_size=256,
            intermediate_size=1024,
            num_hidden_layers=8,
            num_attention_heads=4,
            max_position_embeddings=LENGTHS[-1],
            tie_word_embeddings=True,
        )
        AutoModelForCausalLM.from_config(config, dtype=torch.float32).save_pretrained(folder)
        _longest(folder, "random, 262,144 tokens of vocabulary")


def _longest(model: str, label: str) -> None:
    config = load_config(model).get_text_config()
    lengths = [length for length in LENGTHS if length <= config.max_position_embeddings]
    base = Task("dense", model, [], batch_size=1, rows=2, limit=LIMIT)
    tasks = {
        "dense": base,
        "dense, checkpointing": replace(base, checkpointing=True),
        "sepo": replace(base, way="sepo"),
        "sepo, checkpointing": replace(base, way="sepo", checkpointing=True),
    }
    dense = 0
    for name, task in tasks.items():
        fits, beyond, best = -1, len(lengths), None
        while beyond - fits > 1:
            middle = (fits + beyond) // 2
            begun = time.perf_counter()
            result = run(replace(task, pairs=steps_of(lengths[middle], config.vocab_size)))
            taken = f"{time.perf_counter() - begun:.0f} s"
            note(f"{label}, {name}, {lengths[middle]} tokens: {'fits' if result else 'does not fit'}, {taken}")
            if result:
                fits, best = middle, result
            else:
                beyond = middle
        if best is None:
            print(f"{f'{label}: {name}':44}{'none':>9}", flush=True)
            continue
        dense = dense or lengths[fits]
        at_least = "" if fits < len(lengths) - 1 else " (the longest tried)"
        print(f"{f'{label}: {name}':44}{lengths[fits]:9}{lengths[fits] / dense:7.1f}{best.peak / GIB:11.2f}", end="")
        print(f"{best.steps[-1]:12.1f}{at_least}", flush=True)


def steps_of(length: int, vocabulary: int) -> list[Tree]:
    """The pairs of six steps: short ones, on which sepo compares layouts, and two of `length` tokens.

    Two, because AdamW has its state in memory from the second step on. Half of the tokens are the prompt's, half those
    of either response.
    """
    rng = np.random.default_rng(0)

    def pair(tokens: int) -> Tree:
        half = tokens // 2
        ids = rng.integers(3, vocabulary, (3, half)).tolist()
        masks = [(rng.permutation(half) < Quota(basis_points=SHARE).k_of(half)).tolist() for _ in range(2)]
        return Tree(ids[0], (ids[1], ids[2]), masks)

    return [pair(tokens) for tokens in (*[LENGTHS[0]] * 4, length, length)]
