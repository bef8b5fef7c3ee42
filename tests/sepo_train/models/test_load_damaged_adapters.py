"""Damaged adapters, and random values at random places: refused by name, or they work."""

import json
import random
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from sepo_data.errors import SepoError
from sepo_train.models.tokenizers import load_tokenizer
from sepo_train.training.settings import Training
from sepo_train.training.trainable_model import trainable_model
from tests.fixtures.damaged_models import edit, refused, use

pytestmark = [pytest.mark.usefixtures("quiet"), pytest.mark.filterwarnings("ignore")]

SEED = 15


@pytest.fixture(scope="module")
def adapter(tiny_model, tmp_path_factory):
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(tiny_model),
        LoraConfig(r=2, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM", init_lora_weights=False),
    )
    folder = tmp_path_factory.mktemp("adapters") / "adapter"
    model.save_pretrained(folder)
    load_tokenizer(str(tiny_model)).save_pretrained(folder)
    return folder


@pytest.fixture
def adapter_copy(adapter, tmp_path):
    return shutil.copytree(adapter, tmp_path / "adapter")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"base_model_name_or_path": ...}, "names no base model"),
        ({"base_model_name_or_path": None}, "names no base model"),
        ({"base_model_name_or_path": ["a"]}, "names no base model"),
        ({"base_model_name_or_path": "/no/such/folder"}, "/no/such/folder .*the base model of the adapter"),
        ({"r": 10**9}, "rank 1000000000, but its file has no tensor longer than 32"),
        ({"r": 4}, "other shapes"),
        ({"r": 0}, "r` should be a positive integer"),
        ({"r": "x"}, "cannot load"),
        ({"rank_pattern": {"q_proj": 10**9}}, "rank 1000000000"),
        ({"rank_pattern": 5}, "cannot load"),
        ({"lora_alpha": None}, "cannot load"),
        ({"layer_replication": [[0, 10**9]]}, "1,000,000,000 layers, but its file has 8 tensors"),
        ({"layer_replication": [[0, 2]] * 2}, "cannot load|lacks"),
        ({"target_modules": ["none_of_them"]}, "none_of_them"),
        ({"target_modules": ["q_proj"]}, "has 4 weights that an adapter of .* has not"),
        ({"target_modules": ["q_proj", "k_proj", "v_proj"]}, "lacks 4 weights of an adapter"),
        ({"task_type": "SEQ_CLS"}, "for the task SEQ_CLS"),
        ({"task_type": "none of them"}, "none of them"),
        ({"peft_type": "none of them"}, "none of them"),
        ({"peft_type": "PROMPT_TUNING"}, "is a prompt-tuning adapter"),
        ({"peft_type": "PREFIX_TUNING"}, "is a prefix-tuning adapter"),
        ({"peft_type": "XLORA"}, "is an X-LoRA adapter"),
        ({"alora_invocation_tokens": [5, 6]}, "is an activated-LoRA adapter"),
        ({"use_dora": True}, "lacks 4 weights of an adapter of .*lora_magnitude_vector"),
        ({"modules_to_save": ["norm"]}, "lacks 5 weights of an adapter of .*norm"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_an_adapter_that_cannot_be_used(adapter_copy, changes, match):
    edit(adapter_copy / "adapter_config.json", **changes)
    refused(adapter_copy, match)


@pytest.mark.parametrize(
    ("file", "weight"),
    [
        ("adapter_model.safetensors", "base_model.model.score.weight"),
        ("adapter_model.safetensors", "base_model.model.v_head.summary.weight"),
        ("value_head.safetensors", "v_head.summary.weight"),
    ],
)
def test_the_adapter_of_a_reward_model(adapter_copy, file, weight):
    held = load_file(adapter_copy / file) if (adapter_copy / file).exists() else {}
    save_file(held | {weight: torch.zeros(1, 32)}, adapter_copy / file, metadata={"format": "pt"})
    refused(adapter_copy, "reward model")


@pytest.mark.parametrize("base", ["another size", "itself", "another adapter"])
def test_an_adapter_of_another_base(save_tiny, adapter, adapter_copy, tmp_path, base):
    others = {"itself": adapter_copy, "another adapter": adapter}
    other = others.get(base) or save_tiny(tmp_path / "other", kind="gpt2")
    edit(adapter_copy / "adapter_config.json", base_model_name_or_path=str(other))
    refused(adapter_copy, "q_proj" if base == "another size" else "is an adapter itself")


@pytest.mark.parametrize(
    "content", [b"", b"{}", (10**18).to_bytes(8, "little") + b"{}", None], ids=["empty", "short", "header", "cut"]
)
def test_damaged_weight_files(adapter_copy, content):
    file = adapter_copy / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:2000] if content is None else content)
    refused(file.parent, rf"{file.name} is damaged")


@pytest.mark.parametrize("changes", [{"r": 4}, {"target_modules": ["q_proj", "k_proj", "v_proj"]}], ids=str)
def test_an_adapter_that_does_not_fit_is_not_trained(adapter_copy, changes):
    edit(adapter_copy / "adapter_config.json", **changes)
    with pytest.raises(SepoError, match=str(adapter_copy)):
        trainable_model(str(adapter_copy), Training())


def random_json(draw, depth=0):
    plain = [
        *(None, True, False, 0, 1, -1, 2, 5, 0.5, -0.0, 1e30, float("nan"), 10**7, 10**9, 10**12, 10**30),
        *("", "x", "llama", "bfloat16", "../..", "ä\0"),
    ]
    kind = draw.randrange(8 if depth < 2 else 6)
    if kind < 6:
        return draw.choice(plain)
    items = [random_json(draw, depth + 1) for _ in range(draw.randrange(3))]
    return items if kind == 6 else {draw.choice(["type", "a", "rope_type", "factor"]): item for item in items}


MUTATED = ("config.json", "config.json", "config.json", "tokenizer_config.json", "generation_config.json")
MORE_KEYS = (
    "quantization_config",
    "text_config",
    "head_dim",
    "sliding_window",
    "layer_types",
    "auto_map",
    "num_labels",
)


@pytest.mark.parametrize("part", range(4))
def test_random_values_at_random_places(tiny_model, adapter, tmp_path, part):
    """Whatever is written there, a model works or is refused: no other error, and soon."""
    draw = random.Random(SEED + part)  # noqa: S311 - reproducible on purpose
    for number in range(25):
        of_adapter = number % 5 == 4
        folder = shutil.copytree(adapter if of_adapter else tiny_model, tmp_path / str(number))
        file = folder / ("adapter_config.json" if of_adapter else draw.choice(MUTATED))
        keys = sorted(json.loads(file.read_text("utf-8"))) + ([] if of_adapter else list(MORE_KEYS))
        changes = {draw.choice(keys): random_json(draw) for _ in range(draw.choice([1, 1, 2]))}
        edit(file, **changes)
        try:
            logits = use(folder)
        except SepoError:
            pass
        except BaseException as error:
            raise AssertionError(f"{file.name} with {changes}") from error
        else:
            assert logits.shape == (1, 3, 384), changes
        shutil.rmtree(folder)


def test_a_quantized_model_is_trained_through_adapters_alone(tiny_model, monkeypatch):
    def load(name, **_):
        model = AutoModelForCausalLM.from_pretrained(name)
        model.is_quantized = True
        return model

    monkeypatch.setattr("sepo_train.training.trainable_model.load_model", load)
    with pytest.raises(SepoError, match="is quantized, and the weights of a quantized") as caught:
        trainable_model(str(tiny_model), Training())
    assert "--lora-r" in caught.value.hint
