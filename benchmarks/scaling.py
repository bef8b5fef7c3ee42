"""The limits of scoring millions of pairs on many GPUs: tokens, FLOPs, bytes, shards and files, computed.

    python benchmarks/scaling.py                                  # 10 million pairs on 64 GPUs
    python benchmarks/scaling.py --pairs 60000 --gpus 1 --rate 60e9   # such as this machine's processor

Nothing is run. The rate is what one GPU achieves of matrix products in such forward passes, in FLOP/s: an assumption,
as no GPU was at hand. Sizes are those of the columns of a rewards dataset; attention is left out, which adds
2 x layers x hidden x row length for a token: under a tenth for 1B parameters and rows of 800 tokens.
"""

from __future__ import annotations

import argparse
import math

TEXT_BYTES = 4.5
"""UTF-8 bytes of a token, measured on HH-RLHF with SmolLM2's tokenizer."""


def main() -> None:
    parser = argparse.ArgumentParser(description="scoring at scale, computed")
    parser.add_argument("--pairs", type=float, default=10e6)
    parser.add_argument("--prompt", type=int, default=200, help="tokens, mean")
    parser.add_argument("--response", type=int, default=300, help="tokens of one response, mean")
    parser.add_argument("--gpus", type=int, default=64)
    parser.add_argument("--rate", type=float, default=120e12, help="FLOP/s that one GPU achieves")
    parser.add_argument("--disk", type=float, default=1e9, help="bytes/s that the file system takes")
    parser.add_argument("--parameters", type=float, nargs="+", default=[0.135e9, 1e9, 8e9], help="of either model")
    given = parser.parse_args()

    shared = given.prompt + 2 * given.response
    apart = 2 * (given.prompt + given.response)
    ids = 4 * shared
    numbers = 12 * 2 * given.response  # two log-probabilities and a reward
    text = TEXT_BYTES * shared
    size = given.pairs * (ids + numbers + text)
    print(f"{given.pairs:,.0f} pairs, {given.prompt} + {given.response} | {given.response} tokens")
    print(f"tokens to compute: {given.pairs * shared:.3g} in shared rows, {given.pairs * apart:.3g} apart")
    print(f"on the disk: {size / 1e9:,.0f} GB ({ids + numbers + text:,.0f} bytes a pair)")
    print(f"writing it: {size / given.disk / 60:,.1f} min at {given.disk / 1e9:g} GB/s, while the models run\n")
    print("| parameters of a model | FLOPs | hours | rows a shard | shards | MB a shard | s a shard | weights, bf16 |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for parameters in given.parameters:
        flops = given.pairs * shared * 2 * 2 * parameters
        # As in sepo_train.scoring.plan.default_shard_rows, on an accelerator.
        rows = 2 ** min(14, max(6, math.floor(math.log2(300 * 1e14 / (4 * shared * parameters)))))
        shards = math.ceil(given.pairs / rows)
        print(
            f"| {parameters / 1e9:g}B | {flops:.2g} | {flops / given.rate / given.gpus / 3600:,.2f} | {rows:,} "
            f"| {shards:,} | {rows * size / given.pairs / 1e6:,.0f} | {rows * flops / given.pairs / given.rate:,.0f} "
            f"| {2 * parameters / 1e9:,.1f} GB |"
        )


if __name__ == "__main__":
    main()
