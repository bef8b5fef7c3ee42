"""The examples that put sepo's datasets into TRL: the first step is that of sepo."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from sepo_data.preferences.reading import Reading
from sepo_data.selection.select import select
from sepo_train.engine.layout import Tree
from sepo_train.engine.layout_policy import PLAIN
from sepo_train.engine.logps import score_trees
from sepo_train.engine.pair_logps import SideLogps
from sepo_train.scoring.score import score
from sepo_train.training.checkpoint import METRICS
from sepo_train.training.losses.with_reference import dpo_loss
from sepo_train.training.objectives import objective
from sepo_train.training.policy import train
from sepo_train.training.settings import Training

pytestmark = pytest.mark.slow

trl = pytest.importorskip("trl")

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PAIRS = 8
STEP = {
    "max_steps": 1,
    "logging_steps": 1,
    "learning_rate": 1e-3,
    "save_strategy": "no",
    "report_to": "none",
    "use_cpu": True,
    "bf16": False,
    "disable_tqdm": True,
}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("CI", "1")  # TRL counts its users otherwise


def example(name):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rewards(examples, tiny_models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("trl") / "rewards"
    score(Reading(str(examples), limit=PAIRS), folder, **{name: str(path) for name, path in tiny_models.items()})
    return folder


@pytest.fixture(scope="module")
def selection(rewards):
    folder = rewards.with_name("selection")
    select(rewards, folder, chosen="30%", rejected="30%")
    return folder


@pytest.mark.parametrize(("batch", "passes"), [(8, 1), (2, 4)])
def test_a_selection_in_an_sft_trainer(selection, tiny_model, tmp_path, batch, passes):
    options = {"per_device_train_batch_size": batch, "gradient_accumulation_steps": passes}
    theirs = example("trl_sepo").train(str(selection), str(tiny_model), str(tmp_path / "trl"), **options, **STEP)
    training = Training(lr=1e-3, batch_size=PAIRS, micro_batch_size=batch)
    train(selection, tmp_path / "sepo", policy=str(tiny_model), training=training)
    ours = json.loads((tmp_path / "sepo" / METRICS).read_text(encoding="utf-8").splitlines()[0])
    first = theirs.state.log_history[0]
    assert first["loss"] == pytest.approx(ours["loss"], rel=1e-5)
    assert first["grad_norm"] == pytest.approx(ours["grad_norm"], rel=1e-4)
    assert first["loss"] > 0
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "trl").num_parameters() == theirs.model.num_parameters()


# TRL 1.16 calls it by the name that transformers 5 gives up.
@pytest.mark.filterwarnings("ignore:`gradient_checkpointing_disable` is deprecated:FutureWarning")
def test_stored_reference_log_probabilities_in_dpo(rewards, tiny_models, tmp_path):
    """As policy the other model, so that the loss is not log 2."""
    policy = str(tiny_models["oracle"])
    script = example("trl_dpo_stored_reference")
    options = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": PAIRS // 2, "beta": 0.3} | STEP
    stored = script.train(str(rewards), policy, str(tmp_path / "stored"), **options)
    assert stored.ref_model is None

    class OwnReference(trl.DPOTrainer):
        def _prepare_dataset(self, dataset, *_):
            return dataset

    own = OwnReference(
        model=AutoModelForCausalLM.from_pretrained(policy, dtype="float32"),
        ref_model=AutoModelForCausalLM.from_pretrained(tiny_models["ref"], dtype="float32"),
        args=trl.DPOConfig(output_dir=str(tmp_path / "own"), max_length=None, **options),
        train_dataset=script.with_reference(str(rewards)).select_columns(script.IDS),
        processing_class=AutoTokenizer.from_pretrained(policy),
    )
    own.train()

    rows = script.with_reference(str(rewards))
    model = AutoModelForCausalLM.from_pretrained(policy, dtype="float32")
    trees = [Tree(row["prompt_ids"], (row["chosen_ids"], row["rejected_ids"])) for row in rows]
    sums = torch.stack(
        [torch.stack([side.sum() for side in pair]) for pair in score_trees(model, trees, PLAIN, batch_tokens=256)]
    )
    reference = (torch.tensor(rows[f"ref_{side}_logps"]) for side in ("chosen", "rejected"))
    loss = float(dpo_loss(sums[:, 0], sums[:, 1], *reference, beta=0.3).mean())

    for theirs_name, name in (("ipo", "ipo"), ("apo_zero", "kto")):
        other = script.train(str(rewards), policy, str(tmp_path / name), **options | {"loss_type": [theirs_name]})
        means = [torch.tensor([len(row[f"{side}_ids"]) for row in rows]) for side in ("chosen", "rejected")]
        references = [torch.tensor(rows[f"ref_{side}_logps"]) for side in ("chosen", "rejected")]
        sides = [
            SideLogps(sums[:, side], sums[:, side] / means[side], references[side], references[side] / means[side])
            for side in (0, 1)
        ]
        ours = float(objective(name, beta=0.3).loss(*sides).mean())
        assert other.state.log_history[0]["loss"] == pytest.approx(ours, rel=1e-5), name

    first, theirs = stored.state.log_history[0], own.state.log_history[0]
    assert first["loss"] == pytest.approx(loss, rel=1e-5)
    assert theirs["loss"] == pytest.approx(loss, rel=1e-5)
    assert abs(loss - 0.6931) > 1e-3
    for name in ("grad_norm", "rewards/chosen", "rewards/rejected", "logps/chosen"):
        assert first[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-5), name
