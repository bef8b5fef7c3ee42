"""A response of 100,000 tokens and a prompt of 20,000 through the whole pipeline, in bounded memory."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.conftest import save_tiny_model, tiny_tokenizer
from tests.reliability.faults import little_memory

if TYPE_CHECKING:
    from random import Random

    from tests.reliability.tally import Tally
    from tests.reliability.workshop import Workshop

MEMORY = 4 << 30
"""Bytes beyond the interpreter and its imports. A mask of all pairs of tokens would take 14 GB or more."""

LENGTHS = {"3,000 and 600 tokens": (3000, 600), "100,000 and 20,000 tokens": (100_000, 20_000)}
"""Tokens of a response and of a prompt."""

PATIENCE = "import signal, torch; signal.alarm(3000); torch.set_num_threads(2)\n"
SHORT = [{"prompt": f"Tea or milk, {at}?", "chosen": " Tea." * (at + 1), "rejected": " Milk."} for at in range(8)]


def run_long(workshop: Workshop, lengths: tuple[int, int], _dice: Random, tally: Tally) -> None:
    """Check, score, select and train pairs of which one has a prompt and a response of these lengths in tokens."""
    response, prompt = lengths
    folder = workshop.place(f"long-{response}")
    tokenizer = tiny_tokenizer()
    models = {
        name: save_tiny_model(folder / name, tokenizer, seed=seed, layers=1, heads=1, context=4 * (response + prompt))
        for seed, name in enumerate(("ref", "oracle"))
    }
    long = {"prompt": _text(tokenizer, prompt), "chosen": _text(tokenizer, response), "rejected": " No."}
    rows = [*SHORT, long]
    data = folder / "pairs.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    longest = f"--max-length={2 * (response + prompt)}"
    ref, oracle = models["ref"], models["oracle"]
    commands = (
        ["check", data, f"--tokenizer={ref}", longest],
        ["score", data, f"--oracle={oracle}", f"--ref={ref}", longest, "--out", folder / "rewards"],
        ["select", folder / "rewards", "--out", folder / "selection"],
        ["query", folder / "selection", "SELECT COUNT(*) FROM tokens"],
        ["train", folder / "selection", f"--policy={ref}", "--micro-batch-size=1", "--out", folder / "policy"],
    )
    for command in commands:
        code, _, talk = workshop.run(*command, before=PATIENCE + little_memory(MEMORY))
        tally.runs += 1
        tally.exits[code] += 1
        tally.faults[command[0]] += 1
        if code:
            tally.problem(f"{command[0]} ended with {code}: {talk}")
            return
    rows = json.loads((folder / "rewards" / "sepo.json").read_text(encoding="utf-8"))["shards"]
    if sum(shard["rows"] for shard in rows) != len(SHORT) + 1:
        tally.problem(f"rows were skipped: {rows}")


def _text(tokenizer: object, tokens: int) -> str:
    sentence = " It is a lovely one."
    each = len(tokenizer(sentence * 100)["input_ids"]) / 100  # type: ignore[operator]
    return sentence * (int(tokens / each) + 1)
