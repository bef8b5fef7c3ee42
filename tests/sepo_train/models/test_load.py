"""Models and tokenizers: those that load, those that are refused with a sentence, and their records."""

import json
import shutil

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GPT2Config, LlamaConfig, LlamaModel, T5Config

from sepo_data.errors import SepoError
from sepo_train.models import files as model_files
from sepo_train.models.files import context_length, load_config
from sepo_train.models.load import load_model, model_record
from sepo_train.models.tokenizers import check_same_vocabulary, load_tokenizer, tokenizer_record


@pytest.fixture
def copy(tiny_model, tmp_path):
    """A copy of the tiny model that a test may spoil."""
    return shutil.copytree(tiny_model, tmp_path / "copy")


@pytest.fixture(scope="module")
def adapter(tiny_model, tmp_path_factory):
    """A LoRA adapter of the tiny model that does something."""
    torch.manual_seed(0)
    model = get_peft_model(
        load_model(str(tiny_model), dtype="float32"),
        LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False),
    )
    folder = tmp_path_factory.mktemp("adapter")
    model.save_pretrained(folder)
    load_tokenizer(str(tiny_model)).save_pretrained(folder)
    return folder


def test_a_folder(tiny_model):
    model = load_model(str(tiny_model), dtype="float32")
    assert not model.training
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert load_model(str(tiny_model), dtype="bfloat16").dtype is torch.bfloat16
    assert context_length(load_config(str(tiny_model))) == 512


def test_a_decoder_of_another_depth_than_its_encoder(tmp_path):
    """The library cannot make its cache."""
    heads = {"encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_layers": 1, "decoder_layers": 2}
    sizes = {"d_model": 32, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 64}
    config = AutoConfig.for_model("bart", vocab_size=97, is_decoder=True, is_encoder_decoder=False, **heads, **sizes)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    assert not load_model(str(tmp_path), dtype="float32").training


def test_an_adapter_is_loaded_onto_its_base(tiny_model, adapter):
    ids = torch.tensor([[5, 6, 7]])
    base, adapted = (load_model(str(folder), dtype="float32")(ids).logits for folder in (tiny_model, adapter))
    assert (base - adapted).abs().max() > 1e-3
    assert context_length(load_config(str(adapter))) == 512
    assert model_record(str(adapter)).weights != model_record(str(tiny_model)).weights


def test_the_record_follows_content_not_place(tiny_models, copy):
    ref, moved, oracle = (model_record(str(folder)) for folder in (tiny_models["ref"], copy, tiny_models["oracle"]))
    assert ref.weights == moved.weights != oracle.weights
    assert ref.parameters == sum(p.numel() for p in AutoModelForCausalLM.from_pretrained(copy).parameters())
    (copy / "README.md").write_text("notes")
    assert model_record(str(copy)).weights == ref.weights
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.1}))
    assert model_record(str(copy)).weights != ref.weights, "another configuration is another model"


def test_the_adapters_record_follows_its_base(adapter, copy, tmp_path):
    moved = shutil.copytree(adapter, tmp_path / "adapter")
    config = json.loads((moved / "adapter_config.json").read_text()) | {"base_model_name_or_path": str(copy)}
    (moved / "adapter_config.json").write_text(json.dumps(config))
    before = model_record(str(moved)).weights
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"rms_norm_eps": 0.1}))
    assert model_record(str(moved)).weights != before


@pytest.mark.parametrize("content", [b"", b"\0" * 100, None], ids=["empty", "zeros", "cut in half"])
def test_damaged_weights(copy, content):
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:40_000] if content is None else content)
    with pytest.raises(SepoError, match=r"cannot load .*copy: "):
        load_model(str(copy), dtype="float32")


@pytest.mark.unstable_api
def test_missing_weights_are_not_made_up(tiny_model, tmp_path):
    """transformers would fill a missing output head with random numbers."""
    LlamaModel(LlamaConfig.from_pretrained(tiny_model)).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text()) | {"architectures": ["LlamaForCausalLM"]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(SepoError, match=r"lacks 1 weights of a LlamaForCausalLM, such as lm_head.weight"):
        load_model(str(tmp_path), dtype="float32")


def test_a_tied_head_is_not_missing(tmp_path):
    config = GPT2Config(vocab_size=50, n_embd=8, n_layer=1, n_head=2, n_positions=16, bos_token_id=1, eos_token_id=1)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    assert load_model(str(tmp_path), dtype="float32").num_parameters() == model_record(str(tmp_path)).parameters


def test_pickled_weights_are_not_loaded(copy):
    torch.save({}, copy / "pytorch_model.bin")
    (copy / "model.safetensors").unlink()
    with pytest.raises(SepoError):
        load_model(str(copy), dtype="float32")
    with pytest.raises(SepoError, match=r"no \.safetensors weights"):
        model_record(str(copy))


@pytest.mark.parametrize("load", [lambda name: load_model(name, dtype="float32"), load_config, load_tokenizer])
def test_no_such_folder(load, tmp_path):
    with pytest.raises(SepoError):
        load(str(tmp_path / "nothing"))
    with pytest.raises(SepoError, match="cannot load"):
        load(str(tmp_path))


def test_another_chat_template(tiny_model, tmp_path):
    file = tmp_path / "template.jinja"
    file.write_text("{{ messages[0].content }}", encoding="utf-8")
    plain, other = load_tokenizer(str(tiny_model)), load_tokenizer(str(tiny_model), chat_template=file)
    assert other.apply_chat_template([{"role": "user", "content": "ä"}], tokenize=False) == "ä"
    ours, theirs = tokenizer_record(plain), tokenizer_record(other)
    assert ours.tokenizer == theirs.tokenizer
    assert ours.chat_template != theirs.chat_template
    with pytest.raises(SepoError, match="does not exist"):
        load_tokenizer(str(tiny_model), chat_template=tmp_path / "none.jinja")


def test_one_vocabulary(tiny_model):
    first, second = load_tokenizer(str(tiny_model)), AutoTokenizer.from_pretrained(tiny_model)
    check_same_vocabulary(first, second, roles=("oracle", "reference"))
    second.add_tokens(["<|extra|>", "<|more|>"])
    with pytest.raises(SepoError) as caught:
        check_same_vocabulary(first, second, roles=("oracle", "reference"))
    assert "2 tokens differ, the first is '<|extra|>' (None and 384)" in str(caught.value)
    assert "oracle" in str(caught.value)
    assert "reference" in str(caught.value)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """The commits of some repositories, which the test may change; no Hub is asked."""
    commits = {}

    def snapshot(name, *_, **__):
        return str(tmp_path / f"models--{name.replace('/', '--')}" / "snapshots" / commits[name] / "config.json")

    monkeypatch.setattr(model_files, "find_adapter_config_file", lambda *_, **__: None)
    monkeypatch.setattr(model_files, "cached_file", snapshot)
    monkeypatch.setattr(model_files, "reach_model", lambda _: None)
    model_files._commit.cache_clear()
    yield commits
    model_files._commit.cache_clear()


def test_a_hub_model_is_known_by_its_commit(tiny_model, hub, monkeypatch):
    monkeypatch.setattr("sepo_train.models.load.load_config", lambda *_, **__: AutoConfig.from_pretrained(tiny_model))
    hub |= {"user/one": "a" * 40, "user/two": "b" * 40, "user/none": "main"}
    assert [model_record(name).weights for name in ("user/one", "user/two")] == [f"hub:{'a' * 40}", f"hub:{'b' * 40}"]
    with pytest.raises(SepoError, match="the revision of user/none on the Hub is unknown"):
        model_record("user/none")


def test_a_push_to_the_hub_changes_no_run(tiny_model, hub, monkeypatch):
    """Scoring loads a model for every shard, for hours."""
    asked = []

    class Stop(BaseException):
        pass

    def load(name, *, revision, **_):
        asked.append((name, revision))
        raise Stop

    monkeypatch.setattr(model_files, "read_json", lambda _: {"model_type": "llama"})
    monkeypatch.setattr("sepo_train.models.load.count_parameters", lambda *_, **__: 0)

    for auto in ("load.AutoModelForCausalLM", "files.AutoConfig", "tokenizers.AutoTokenizer"):
        monkeypatch.setattr(f"sepo_train.models.{auto}.from_pretrained", load)
    for commit in ("a" * 40, "c" * 40):
        hub["user/one"] = commit
        for use in (load_config, load_tokenizer, lambda name: load_model(name, dtype="float32")):
            with pytest.raises(Stop):
                use("user/one")
    assert asked == [("user/one", "a" * 40)] * 6


def test_an_error_without_words_is_named(tiny_model, monkeypatch):
    def fail(*_, **__):
        raise NotImplementedError

    monkeypatch.setattr("sepo_train.models.load.AutoModelForCausalLM.from_pretrained", fail)
    with pytest.raises(SepoError, match=r"cannot load .*: NotImplementedError"):
        load_model(str(tiny_model), dtype="float32")


def test_a_model_that_does_not_fit_says_so(tiny_model, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr("sepo_train.models.load.AutoModelForCausalLM.from_pretrained", full)
    with pytest.raises(SepoError, match="in float32 does not fit into the memory") as caught:
        load_model(str(tiny_model), dtype="float32")
    assert "--models-in-memory 1" in caught.value.hint


@pytest.mark.slow
def test_another_kind_of_model_is_an_error(tmp_path):
    T5Config(d_model=8, num_layers=1, num_heads=1, d_kv=4, vocab_size=16).save_pretrained(tmp_path)
    with pytest.raises(SepoError, match=r"is an encoder-decoder \(t5\)"):
        model_record(str(tmp_path))
