"""The README.md of a policy and of an oracle."""

import re
import shutil

import pytest
import yaml
from peft import LoraConfig, get_peft_model

from sepo_data.publishing.markdown import as_code, as_python, as_text, as_value, table
from sepo_data.schemas.manifest import InputRecord, Manifest, ModelRecord, ShardRecord, TokenizerRecord
from sepo_data.schemas.stages import Stage
from sepo_data.stages.lineage import read_ancestors
from sepo_data.storage.atomic import write_text
from sepo_train.models.load import load_model
from sepo_train.models.tokenizers import load_tokenizer
from sepo_train.publishing.model_card import model_card, write_model_card

HOME = "/home/somebody/secret"
VERSIONS = {"python": "3.11.7", "sepo": "0.1.0", "peft": "not installed"}


def model(name, revision=None):
    return ModelRecord(name=name, revision=revision, weights="0123456789abcdef" * 4, parameters=134_515_008)


def tokenizer(name, template="c" * 64):
    return TokenizerRecord(name=name, tokenizer="t", chat_template=template, vocabulary=49_152)


def chain(folder, *, start="org/base", revision="abc123"):
    """The manifests of an oracle, rewards, a selection and a policy; all but the last are written."""
    base, source = model(start, revision), InputRecord(name="org/pairs", split="train", fingerprint="f", rows=160)
    oracle = Manifest(
        stage=Stage.ORACLE,
        input=source,
        models={"ref": base},
        tokenizer=tokenizer(start),
        options={"beta": 0.1, "fraction": "60%", "truncate": None, "lr": 5e-5, "lora_r": 0},
        versions=VERSIONS,
        complete=True,
        results={"pairs_seen": 96, "first_loss": 0.6931, "last_loss": 0.5, "last_accuracy": 0.75},
    )
    rewards = Manifest(
        stage=Stage.REWARDS,
        input=source,
        models={"oracle": model(f"{folder}/oracle"), "ref": base},
        options={"beta": 0.1, "dtype": "float32", "max_length": 2048},
        parent=oracle.fingerprint,
    )
    shard = ShardRecord(
        file="data-00000-of-00001.arrow",
        rows=160,
        bytes=9,
        sha256="s",
        tokens={"chosen": 3007, "prompt": 6731, "rejected": 2969},
        notes={"chosen_selected": 837, "rejected_selected": 829},
    )
    selection = Manifest(
        stage=Stage.SELECTION,
        input=InputRecord(name=f"{folder}/rewards", fingerprint=rewards.fingerprint, rows=160),
        models=rewards.models,
        options={"rule": "top", "chosen": "30%", "rejected": "20%"},
        parent=rewards.fingerprint,
        shards=[shard],
    )
    policy = Manifest(
        stage=Stage.POLICY,
        input=InputRecord(name=f"{folder}/selection", fingerprint=selection.fingerprint, rows=160),
        models={"policy": base},
        tokenizer=tokenizer(start),
        options={"loss": "sepo", "gamma": 2.0, "limit": None, "lr": 1e-6, "lora_r": 0},
        parent=selection.fingerprint,
        versions=VERSIONS,
        seconds=1234.5,
        complete=True,
        results={
            "pairs": 110,
            "layout": "shared prompt",
            "first_loss": 0.1412345678,
            "last_loss": 0.04,
            "eval": {
                "before": {"all/accuracies": 0.52, "all/margins": 0.06, "rewards/margins": 1.0},
                "after": {"all/accuracies": 0.58, "all/margins": 0.1424, "rewards/margins": 1.5, "kl": 0.01},
            },
        },
    )
    for name, manifest in {"oracle": oracle, "rewards": rewards, "selection": selection}.items():
        (folder / name).mkdir(parents=True)
        write_text(folder / name / "sepo.json", manifest.to_json())
    return policy


def front_matter(card):
    return yaml.safe_load(re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)[1])


def cells(card):
    """First cell of each line of a table, with the others."""
    lines = [re.split(r"(?<!\\)\|", line)[1:-1] for line in card.splitlines() if line.startswith("| ")]
    return {line[0].strip(): [cell.strip() for cell in line[1:]] for line in lines}


def test_the_card_of_a_policy(tmp_path):
    policy = chain(tmp_path)
    card = model_card(policy, read_ancestors(policy), name="me/policy", adapter=False, curve=True)
    assert front_matter(card) == {
        "base_model": "org/base",
        "base_model_relation": "finetune",
        "datasets": ["org/pairs"],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["sepo", "preference-optimization"],
    }
    assert "# policy\n" in card
    assert "a full model, trained from org/base on 110 preference pairs of org/pairs." in card
    assert "![The training curve](curve.png)" in card
    assert "2408.13518" in card
    told = cells(card)
    assert told["rule"] == ["top"]
    assert [told["chosen"], told["rejected"]] == [["30%"], ["20%"]]
    # 837 / 3007 and 829 / 2969
    assert told["chosen tokens"] == ["837 of 3,007 selected (27.8%)"]
    assert told["rejected tokens"] == ["829 of 2,969 selected (27.9%)"]
    assert told["oracle"] == ["oracle (134,515,008 parameters, weights `0123456789abcdef`)"]
    assert told["ref"] == ["org/base (134,515,008 parameters at `abc123`)"]
    assert told["preference data"] == ["org/pairs, split train (160 rows)"]
    assert told["oracle: pairs trained on"] == ["96"]
    assert not [name for name in told if name.startswith("oracle: ") and "accuracy" in name]
    assert told["oracle: lr"] == ["5e-05"]
    assert told["rewards: beta"] == ["0.1"]
    assert told["time"] == ["1,234 s"]
    assert told["gamma"] == ["2"]
    assert told["lr"] == ["1e-06"]
    assert "limit" not in told
    assert told["loss of the first batch, before any update"] == ["0.141235"]
    assert told["chosen response preferred, by all tokens (ties as half)"] == ["52.0%", "58.0%"]
    assert told["margin, all tokens (nats a token)"] == ["0.06", "0.1424"]
    assert told["KL divergence from the start (nats a token)"] == ["", "0.01"]
    assert told["python"] == ["3.11.7"]
    assert "another rule" not in card
    assert str(tmp_path) not in card
    assert model_card(policy, read_ancestors(policy), name="me/policy", adapter=False, curve=True) == card


def test_what_is_not_known_is_not_told(tmp_path):
    policy = chain(tmp_path)
    (tmp_path / "rewards" / "sepo.json").unlink()
    assert set(read_ancestors(policy)) == {Stage.SELECTION}
    card = model_card(policy, {}, name="policy", adapter=False)
    assert front_matter(card).get("datasets") is None
    assert "The selection" not in card
    assert "curve.png" not in card
    other = policy.model_copy(update={"parent": "0" * 16})
    assert read_ancestors(other) == {}, "the directory was replaced by another run"


def test_the_card_of_an_oracle(tmp_path):
    chain(tmp_path, start=f"{HOME}/model.gguf", revision=None)
    oracle = Manifest.from_json((tmp_path / "oracle" / "sepo.json").read_text(encoding="utf-8"))
    card = model_card(oracle, {}, name="me/oracle", adapter=False)
    assert "base_model" not in front_matter(card)
    assert front_matter(card)["datasets"] == ["org/pairs"]
    assert "trained with [Direct Preference Optimization](https://arxiv.org/abs/2305.18290) from model.gguf" in card
    assert "on 96 pairs of org/pairs" in card
    assert "sepo score DATASET --oracle me/oracle --ref model.gguf --out rewards/" in card
    assert "accuracy" not in card, "that of the last batch is no accuracy of the oracle"


def test_the_accuracy_of_equal_rewards_is_left_out(tmp_path):
    before = {"rewards/accuracies": 0.449, "rewards/chosen": -0.0, "rewards/rejected": 1e-4, "all/accuracies": 0.5}
    after = {"rewards/accuracies": 1.0, "rewards/chosen": 0.5, "rewards/rejected": -0.5, "all/accuracies": 0.75}
    policy = chain(tmp_path).model_copy(update={"results": {"pairs": 8, "eval": {"before": before, "after": after}}})
    card = model_card(policy, {}, name="policy", adapter=False)
    told = cells(card)
    assert told["chosen response preferred, by selected tokens (ties as half)"] == ["", "100.0%"]
    assert told["chosen response preferred, by all tokens (ties as half)"] == ["50.0%", "75.0%"]
    assert "44.9%" not in card
    assert "somebody" not in card


def test_another_loss_and_another_rule_are_named(tmp_path):
    policy = chain(tmp_path)
    ancestors = read_ancestors(policy)
    ancestors[Stage.SELECTION] = ancestors[Stage.SELECTION].model_copy(update={"options": {"rule": "random"}})
    policy = policy.model_copy(update={"options": {"loss": "dpo", "beta": 0.1}})
    card = model_card(policy, ancestors, name="policy", adapter=False)
    assert "with the loss of [Direct Preference Optimization](https://arxiv.org/abs/2305.18290)." in card
    assert "another rule than the method's" in card


def test_an_adapter(tmp_path):
    policy = chain(tmp_path).model_copy(update={"options": {"loss": "sepo", "lora_r": 16}})
    card = model_card(policy, {}, name="me/policy", adapter=True)
    told = front_matter(card)
    assert [told["library_name"], told["base_model_relation"]] == ["peft", "adapter"]
    assert "lora" in told["tags"]
    assert "a LoRA adapter of rank 16" in card
    assert 'PeftModel.from_pretrained(start, "me/policy")' in card


NASTY = "a|b`c<script>alert(1)</script>[x](http://evil)\n# head\n```\n---\nlicense: mit\u202e"


def test_nothing_in_a_manifest_is_markup_or_a_folder(tmp_path):
    policy = chain(tmp_path)
    ancestors = read_ancestors(policy)

    def spoilt(manifest):
        name = f"{HOME}/{NASTY}"
        models = {role: record.model_copy(update={"name": name}) for role, record in manifest.models.items()}
        return manifest.model_copy(
            update={
                "input": manifest.input.model_copy(update={"name": name, "split": NASTY}),
                "models": {role: record.model_copy(update={"revision": None}) for role, record in models.items()},
                "tokenizer": manifest.tokenizer and manifest.tokenizer.model_copy(update={"name": name}),
                "options": manifest.options | {NASTY: NASTY, "list": [name], "at": f"{HOME}/x"},
                "results": manifest.results | {NASTY: NASTY, "at": f"{HOME}/x"},
                "versions": {NASTY: NASTY},
            }
        )

    known = {stage: spoilt(manifest) for stage, manifest in ancestors.items()}
    for adapter in (False, True):
        card = model_card(spoilt(policy), known, name=NASTY, adapter=adapter)
        assert "somebody" not in card
        assert "license" not in front_matter(card)
        assert "\u202e" not in card
        assert not re.search(r"(?<!\\)<script", re.sub(r"```.*?\n```", "", card, flags=re.DOTALL))
        fences = [line for line in card.splitlines() if line.startswith("```")]
        assert fences == ["```python", "```", "```bibtex", "```"]
        assert [line for line in card.splitlines() if line.startswith("# ")] == [
            f"# {as_text(NASTY.rpartition('/')[2])}"
        ]
        code = re.search(r"```python\n(.*?)\n```", card, re.DOTALL)[1]
        compile(code, "card", "exec")


def test_a_name_in_the_front_matter_is_text(tmp_path):
    name = 'org/x"\nlicense: mit'
    card = model_card(chain(tmp_path, start=name), {}, name="policy", adapter=False)
    assert front_matter(card)["base_model"] == name
    assert "license" not in front_matter(card)


def test_markdown_by_hand():
    assert as_text("a|b_c*  <d>") == r"a\|b\_c\* \<d\>"
    assert as_text("a\nb") == r"a\\nb", "a line break is spelt out, and its backslash shown"
    assert [as_value(value) for value in (1234, 0.12345678, True, None, "x", ["y", 1])] == [
        "1,234",
        "0.123457",
        "true",
        "null",
        "x",
        r"\[" + '"y", 1' + r"\]",
    ]
    assert as_code("hub:abc") == "`hub:abc`"
    assert as_code("a`b") == r"a\`b"
    assert [as_python('a"b'), as_python("a"), as_python("a\n")] == ["'a\"b'", '"a"', '"a\\n"']
    assert table(("", "x"), [("a|b", "1")]) == "|  | x |\n| --- | --- |\n| a\\|b | 1 |"


@pytest.mark.parametrize("adapter", [False, True])
def test_the_snippet_runs(tiny_model, tmp_path, monkeypatch, capsys, adapter):
    """From the folder beside which both lie, as a card of local models names them."""
    start, folder = shutil.copytree(tiny_model, tmp_path / "start"), tmp_path / "policy"
    if adapter:
        wrapped = get_peft_model(load_model(str(start), dtype="float32"), LoraConfig(r=2, target_modules="all-linear"))
        wrapped.save_pretrained(folder)
        load_tokenizer(str(start)).save_pretrained(folder)
        assert str(start) in (folder / "README.md").read_text(encoding="utf-8"), "peft's own card names the folder"
    else:
        shutil.copytree(tiny_model, folder)
    write_model_card(folder, chain(tmp_path / "chain", start=str(start), revision=None))
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert str(tmp_path) not in card
    assert front_matter(card)["library_name"] == ("peft" if adapter else "transformers")
    monkeypatch.chdir(tmp_path)
    exec(re.search(r"```python\n(.*?)\n```", card, re.DOTALL)[1], {})  # noqa: S102 - that is what it is for
    assert capsys.readouterr().out.strip()
