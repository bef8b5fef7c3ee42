"""Code that comes with a model never runs unasked, and nobody is asked; with the flag it runs, and that is recorded."""

import io
import json
import shutil
import sys

import pytest
from peft import LoraConfig, get_peft_model

from sepo_data.errors import SepoError
from sepo_train.models import remote_code
from sepo_train.models.load import load_model, model_record
from sepo_train.models.remote_code import check_kernels
from sepo_train.models.tokenizers import load_stage_tokenizer, load_tokenizer
from sepo_train.training.settings import Training
from sepo_train.training.trainable_model import trainable_model
from tests.fixtures.planted import (
    ADAPTER_PLANTS,
    PLANTS,
    config_of_its_own,
    edit,
    kernel,
    known_tokenizer,
    processors,
    tokenizer_of_its_own,
    write_code,
)

LOADERS = {
    "tokenizer": load_tokenizer,
    "record": model_record,
    "model": lambda name: load_model(name, dtype="float32"),
}
FLAG = "read that code; if you trust its author, add --trust-remote-code"


@pytest.fixture
def yes(monkeypatch, tmp_path):
    """Answer `y` to every question, and let Python find the modules beside the model."""
    answers = io.StringIO("y\n" * 1000)
    monkeypatch.setattr(sys, "stdin", answers)
    monkeypatch.syspath_prepend(str(tmp_path / "model"))
    return answers


@pytest.fixture
def canary(tmp_path):
    """The file that planted code writes."""
    return tmp_path / "canary"


@pytest.fixture
def model(tiny_model, tmp_path, canary):
    """A copy of the tiny model, and beside its files code that none of them names yet."""
    folder = shutil.copytree(tiny_model, tmp_path / "model")
    write_code(folder, canary)
    return folder


@pytest.fixture(scope="module")
def saved_adapter(tiny_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapter")
    lora = LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM")
    get_peft_model(load_model(str(tiny_model), dtype="float32"), lora).save_pretrained(folder)
    load_tokenizer(str(tiny_model)).save_pretrained(folder)
    return folder


def outcomes(name, loaders):
    """The error of each loader, as text; empty where it loaded the model."""
    found = {}
    for part, load in loaders.items():
        try:
            load(name)
            found[part] = ""
        except SepoError as error:
            found[part] = f"{error}; {error.hint}"
    return found


@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.__name__)
def test_nothing_planted_in_a_model_runs_and_nothing_asks(plant, model, canary, yes):
    plant(model, canary)
    found = outcomes(str(model), LOADERS)
    assert not canary.exists()
    assert yes.tell() == 0
    # What names code that transformers has itself, and what lies beside the files that are read, is no hindrance.
    harmless = {"known_model", "known_tokenizer", "processors", "generation", "pickles_beside"}
    assert bool(found["model"]) is (plant.__name__ not in harmless)
    assert all(text.count("\n") == 0 for text in found.values())
    if plant.__name__ in {"config_of_its_own", "tokenizer_of_its_own"}:
        assert found["model"] == f"{model} needs code of its own, mine.py, which is not run unasked; {FLAG}"
    if "kernel" in plant.__name__:
        assert "needs the kernel somebody/kernel" in found["model"]
        assert found["model"].endswith(FLAG)
    if "pickle" in plant.__name__ and plant.__name__ not in harmless:
        assert "weights" in found["model"] or "pytorch_model.bin" in found["model"]


@pytest.mark.parametrize("plant", ADAPTER_PLANTS)
def test_nothing_planted_in_an_adapter_runs_and_nothing_asks(plant, saved_adapter, tmp_path, canary, yes):
    folder = shutil.copytree(saved_adapter, tmp_path / "model")
    write_code(folder, canary)
    ADAPTER_PLANTS[plant](folder, canary)
    train = {"training": lambda name: trainable_model(name, Training(dtype="float32"))}
    found = outcomes(str(folder), LOADERS | train)
    assert not canary.exists()
    assert yes.tell() == 0
    assert bool(found["model"]) is bool(found["training"]) is (plant not in {"auto mapping", "pickle beside"})


def test_the_tokenizer_of_a_stage_directory_is_never_trusted(model, tmp_path, canary, yes):
    stage = shutil.copytree(model, tmp_path / "stage" / "tokenizer").parent
    tokenizer_of_its_own(stage / "tokenizer", canary)
    loaded = load_stage_tokenizer(stage)
    assert not canary.exists()
    assert yes.tell() == 0
    assert loaded.get_vocab() == load_tokenizer(str(model)).get_vocab()
    assert loaded.chat_template == load_tokenizer(str(model)).chat_template
    shutil.rmtree(stage / "tokenizer")
    with pytest.raises(SepoError, match=r"lacks tokenizer/tokenizer\.json"):
        load_stage_tokenizer(stage)


@pytest.mark.parametrize(
    ("config", "refused"),
    [
        ({"attn_implementation": "flash_attention_2"}, True),
        ({"parts": [{"attn_implementation": {"text": "flash_attention_3"}}]}, True),
        ({"experts_implementation": "deepgemm"}, True),
        ({"quantization_config": {"quant_method": "mxfp4"}}, True),
        ({"attn_implementation": "sdpa", "experts_implementation": "grouped_mm"}, False),
        ({"quantization_config": {"quant_method": "gptq"}, "attn_implementation": None}, False),
    ],
)
@pytest.mark.parametrize("installed", [True, False])
def test_kernels_that_transformers_would_fetch(config, refused, installed, monkeypatch):
    monkeypatch.setattr(remote_code, "find_spec", lambda _: object() if installed else None)
    if refused and installed:
        with pytest.raises(SepoError, match=r"needs (the|a) kernel"):
            check_kernels("m", config)
    else:
        check_kernels("m", config)


def test_a_kernel_of_anyone_is_fetched_with_the_flag_alone(model, canary, monkeypatch):
    from transformers.integrations import hub_kernels

    asked = []

    def get_kernel(name, *, allow_all_kernels, **_):
        asked.append((name, allow_all_kernels))
        raise ValueError("no network")

    monkeypatch.setattr(hub_kernels, "is_kernels_available", lambda: True)
    monkeypatch.setattr(hub_kernels, "get_kernel", get_kernel)
    kernel(model, canary)
    with pytest.raises(SepoError, match="needs the kernel"):
        load_model(str(model), dtype="float32")
    assert asked == []
    with pytest.raises(SepoError, match="no network"):
        load_model(str(model), dtype="float32", trust_remote_code=True)
    assert asked == [("somebody/kernel", True)]


def test_commands(sepo_server, twelve_pairs, tiny_models, tmp_path, canary):
    """Commands with code in a tokenizer and a model, `y` or the dataset on standard input, and then with the flag."""
    answers = tmp_path / "answers"
    answers.write_text("y\n" * 1000, encoding="utf-8")
    planted = {role: shutil.copytree(folder, tmp_path / role) for role, folder in tiny_models.items()}
    for folder in planted.values():
        write_code(folder, canary)
        tokenizer_of_its_own(folder, canary)

    def run(*arguments, stdin=answers):
        return sepo_server.run(*arguments, before=f"import os; os.dup2(os.open({str(stdin)!r}, os.O_RDONLY), 0)")

    def refused(*arguments, stdin=answers):
        code, _, stderr = run(*arguments, stdin=stdin)
        assert code == 1
        assert any(
            f"{model} needs code of its own, mine.py, which is not run unasked" in stderr for model in planted.values()
        )
        assert FLAG in stderr
        assert not canary.exists()

    score = ["score", twelve_pairs, *(f"--{role}={folder}" for role, folder in planted.items()), "--max-skipped=1"]
    out, selection = tmp_path / "rewards", tmp_path / "selection"
    refused(*score, "--out", out)
    refused("check", "-", "--tokenizer", planted["ref"], stdin=twelve_pairs)

    known = shutil.copytree(tiny_models["ref"], tmp_path / "known")
    write_code(known, canary)
    known_tokenizer(known, canary)
    processors(known, canary)
    code, stdout, _ = run("check", "-", "--tokenizer", known, "--json", stdin=twelve_pairs)
    assert (code, json.loads(stdout)["rows"]) == (0, 12)
    assert not canary.exists()

    assert run(*score, "--out", out, "--trust-remote-code")[0] == 0
    assert canary.exists()
    manifest = json.loads((out / "sepo.json").read_text("utf-8"))
    assert manifest["options"]["trust_remote_code"] is True
    assert sorted(file.name for file in (out / "tokenizer").iterdir()) == [
        "chat_template.jinja",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    assert "auto_map" not in (out / "tokenizer" / "tokenizer_config.json").read_text("utf-8")
    canary.unlink()

    assert run("select", out, "--out", selection)[0] == 0
    train = ["train", selection, "--policy", planted["ref"], "--epochs=0.1", "--out", tmp_path / "policy"]
    refused(*train)
    assert run(*train, "--trust-remote-code")[0] == 0
    assert canary.exists()
    manifest = json.loads((tmp_path / "policy" / "sepo.json").read_text("utf-8"))
    assert manifest["options"]["trust_remote_code"] is True
    canary.unlink()
    # A hostile selection is refused; unverified it is trained on, and its code does not run.
    edit(selection / "tokenizer" / "tokenizer_config.json", auto_map={"AutoTokenizer": [None, "mine.Tokenizer"]})
    write_code(selection / "tokenizer", canary)
    config_of_its_own(selection / "tokenizer", canary)
    plain = ["train", selection, "--policy", tiny_models["ref"], "--epochs=0.1", "--out", tmp_path / "plain"]
    code, _, stderr = run(*plain)
    assert (code, "is damaged" in stderr) == (1, True)
    assert run(*plain, "--trust-remote-code", "--no-verify")[0] == 0
    assert not canary.exists()
