"""Models that change their weights in evaluation mode: what is saved or resumed from is what was trained.

RWKV divides some of its weights at its first pass in evaluation mode, and multiplies them again in training mode.
"""

import shutil

import pytest
import torch
from transformers import AutoModelForCausalLM

from sepo_train.engine.layout import Tree
from sepo_train.engine.layout_policy import LayoutPolicy
from sepo_train.models.tokenizers import load_tokenizer
from sepo_train.training.checkpoint import save_model
from sepo_train.training.objectives import objective
from sepo_train.training.resume import CHECKPOINTS
from sepo_train.training.run import fit
from sepo_train.training.selected_pairs import TrainingPair
from sepo_train.training.settings import Training
from sepo_train.training.trainable_model import trainable_model

IDS = torch.arange(5, 15)[None]
PAIRS = [
    TrainingPair(f"p{number}", Tree([5, 6, 7 + number], ([8, 9], [10, 11, 12 + number]), [[True] * 2, [True] * 3]))
    for number in range(4)
]
TRAINING = Training(lr=1e-3, batch_size=1, micro_batch_size=1, eval_steps=1, save_steps=3, dtype="float32")


class Ignored:
    def note(self, text):
        pass

    def metrics(self, *_):
        pass


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=IDS).logits


@pytest.fixture(scope="module")
def rwkv(random_model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rwkv")
    sizes = {"hidden_size": 32, "attention_hidden_size": 32, "num_hidden_layers": 4, "intermediate_size": 64}
    random_model("rwkv", context_length=64, rescale_every=1, **sizes).save_pretrained(folder)
    return folder


def run(rwkv, tokenizer, out, *, resume=False):
    """Train, evaluate after every step, and save: the model in memory."""
    model = trainable_model(str(rwkv), TRAINING)
    fit(
        model,
        PAIRS,
        lengths=[pair.tree.shared_length for pair in PAIRS],
        objective=objective("sepo"),
        layout_policy=LayoutPolicy(shared_limit=0),
        training=TRAINING,
        out=out,
        resume=resume,
        progress=Ignored(),
        evaluate=lambda model: {"loss": float(logits(model).sum())},
    )
    save_model(model, tokenizer, out)
    return model


def test_what_is_saved_is_what_was_trained(rwkv, tiny_model, tmp_path):
    tokenizer = load_tokenizer(str(tiny_model))
    trained = logits(run(rwkv, tokenizer, tmp_path / "whole"))
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "whole")
    assert torch.equal(logits(saved), trained)
    assert (trained - logits(AutoModelForCausalLM.from_pretrained(rwkv))).abs().max() > 1e-3
    # The checkpoint after step 3 was saved behind an evaluation.
    [checkpoint] = (tmp_path / "whole" / CHECKPOINTS).glob("checkpoint-3")
    (tmp_path / "cut" / CHECKPOINTS).mkdir(parents=True)
    shutil.copytree(checkpoint, tmp_path / "cut" / CHECKPOINTS / checkpoint.name)
    resumed = run(rwkv, tokenizer, tmp_path / "cut", resume=True)
    assert torch.equal(logits(resumed), trained)
