"""The memory of scoring, each measurement in a process of its own: parts of `score.py`, which says what they are."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from contest import BATCH, Bench, note, open_bench, padded, plain_loop, response_tokens, run_sepo
from process import status
from torch.profiler import ProfilerActivity, profile

from sepo_data.preferences.reading import Reading
from sepo_train.engine.layout import Tree, batches_by_tokens
from sepo_train.engine.layout_policy import LayoutPolicy
from sepo_train.models.load import load_model
from sepo_train.models.tokenizers import load_tokenizer
from sepo_train.scoring.options import ScoringOptions
from sepo_train.scoring.score import score

if TYPE_CHECKING:
    from collections.abc import Sequence

MIB = 1 << 20
ROWS = 8


def memory(bench: Bench) -> None:
    """What scoring adds to a process that holds the model, each in a process of its own."""
    weights = sum(parameter.nbytes for parameter in bench.model.parameters())
    batch = child(bench, "activations")["peak"]
    print(f"\nmemory, MiB: weights {weights / MIB:,.0f}, the largest batch's tensors {batch / MIB:,.0f}")
    print(f"{'':44}{'loaded':>9}{'peak':>10}{'added':>10}{'(weights + added) / (weights + batch)':>40}")
    for name in ("sepo, a quarter of the pairs", "sepo, all pairs", "plain loop", "padded batches of 8"):
        found = child(bench, name)
        added = found["peak"] - found["loaded"]
        print(f"{name:44}{found['loaded'] / MIB:9,.0f}{found['peak'] / MIB:10,.0f}{added / MIB:10,.0f}", end="")
        print(f"{(weights + added) / (weights + batch):40.2f}", flush=True)


def child(bench: Bench, what: str) -> dict[str, float]:
    """The numbers that a process of its own prints about `what`."""
    command = [sys.executable, __file__, what, "--dataset", bench.dataset, "--pairs", str(len(bench.trees))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603 - our own file
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    note(str(found))
    return found


@torch.inference_mode()
def measure(bench: Bench, what: str) -> None:
    """Print the peak of this process while it scores; the peers' is that of their largest batch."""
    by_length = sorted(bench.trees, key=lambda tree: -tree.shared_length)  # a quarter includes the longest
    order = range(0, len(bench.trees), ROWS // 2)
    worst = max((bench.trees[start : start + ROWS // 2] for start in order), key=longest)
    policy = LayoutPolicy(shared_limit=1 << 40)
    ways = {
        "activations": lambda: None,
        "sepo, a quarter of the pairs": partial(run_sepo, bench.model, by_length[::4], policy),
        "sepo, all pairs": partial(run_sepo, bench.model, by_length, policy),
        "plain loop": partial(plain_loop, bench.model, max(([tree] for tree in bench.trees), key=longest)),
        "padded batches of 8": partial(padded, bench.model, worst, rows=ROWS),
    }
    run_sepo(bench.model, by_length[-1:], policy)  # weights are mapped, and in memory once they have been read
    loaded = status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # forgets the peak of loading
    ways[what]()
    peak = batch_tensors(bench, policy) if what == "activations" else status("VmHWM")
    print(json.dumps({"loaded": loaded, "peak": peak}))


def longest(trees: Sequence[Tree]) -> int:
    return max(len(tree.prompt_ids) + max(map(len, tree.responses)) for tree in trees)


def batch_tensors(bench: Bench, policy: LayoutPolicy) -> int:
    """The bytes of tensors alive at a time in the longest batch, or in that with most response tokens."""
    plan = batches_by_tokens([policy.length(tree) for tree in bench.trees], BATCH)
    batches = [[bench.trees[index] for index in batch] for batch in plan]
    peaks = []
    for batch in (batches[0], max(batches, key=response_tokens)):
        run_sepo(bench.model, batch, policy)  # what is made once and kept is no activation
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
            run_sepo(bench.model, batch, policy)
        live = peak = 0
        for event in profiler.profiler.kineto_results.events():
            if event.name() == "[memory]":
                live += event.nbytes()
                peak = max(peak, live)
        peaks.append(peak)
    return max(peaks)


def models_in_memory(bench: Bench) -> None:
    """`sepo score` of a quarter of the rows, once each; whether both models are in memory must not change a byte."""
    rows = len(bench.part(4))
    with tempfile.TemporaryDirectory(prefix="sepo-benchmark-") as folder:
        whole, lora = oracles(bench, Path(folder))
        settings = {
            "one at a time, one shard": (whole, 1, rows),
            "one at a time, four shards": (whole, 1, -(-rows // 4)),
            "both, one shard": (whole, 2, rows),
            "LoRA oracle, one shard": (lora, 1, rows),
        }
        print(f"\n{f'models in memory, {rows} rows, MiB':44}{'seconds':>9}", end="")
        print(f"{'imports':>10}{'peak':>10}{'bytes of the first':>24}")
        first = None
        for number, (name, (oracle, in_memory, shard_rows)) in enumerate(settings.items()):
            out = f"{folder}/{number}"
            models = {"oracle": oracle, "ref": bench.name}
            options = {"models_in_memory": in_memory, "shard_rows": shard_rows, "limit": rows}
            found = child(bench, json.dumps({"dataset": bench.dataset, "out": out, **models, **options}))
            shards = [file.read_bytes() for file in sorted(Path(out).glob("*.arrow"))]
            first = first or shards
            print(f"{name:44}{found['seconds']:9.1f}{found['loaded'] / MIB:10,.0f}{found['peak'] / MIB:10,.0f}", end="")
            print(f"{'yes' if shards == first else 'no':>24}", flush=True)


def oracles(bench: Bench, folder: Path) -> tuple[str, str]:
    """A whole oracle and a LoRA one, both a little off the reference model; their folders."""
    from peft import LoraConfig, get_peft_model  # noqa: PLC0415 - takes seconds, and memory that is measured

    model = load_model(bench.name, dtype="float32")
    model.get_output_embeddings().weight.data *= 1.01
    model.save_pretrained(folder / "whole")
    adapted = get_peft_model(load_model(bench.name, dtype="float32"), LoraConfig(init_lora_weights=False))
    adapted.save_pretrained(folder / "lora")
    for name in ("whole", "lora"):
        load_tokenizer(bench.name).save_pretrained(folder / name)
    return str(folder / "whole"), str(folder / "lora")


def measure_score(options: dict[str, Any]) -> None:
    """Print how long `score` takes and the peak of this process."""
    loaded, begun = status("VmRSS"), time.perf_counter()
    reading = Reading(options.pop("dataset"), limit=options.pop("limit"))
    models = {role: options.pop(role) for role in ("oracle", "ref")}
    score(reading, Path(options.pop("out")), **models, options=ScoringOptions(**options))
    print(json.dumps({"loaded": loaded, "peak": status("VmHWM"), "seconds": time.perf_counter() - begun}))


def main() -> None:
    parser = argparse.ArgumentParser(description="one measurement, printed as JSON")
    parser.add_argument("what")
    parser.add_argument("--dataset")
    parser.add_argument("--pairs", type=int)
    given = parser.parse_args()
    torch.set_num_threads(2)
    if given.what.startswith("{"):
        measure_score(json.loads(given.what))
    else:
        measure(open_bench(given.dataset, given.pairs), given.what)


if __name__ == "__main__":
    main()
