"""Every pair counts once: whatever the micro-batch, the accumulation, the number of processes or the layout."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sepo_data.console.progress import SILENT
from sepo_data.errors import SepoError
from sepo_train.engine.layout import Tree
from sepo_train.engine.layout_policy import PLAIN, LayoutPolicy
from sepo_train.models.tokenizers import load_tokenizer
from sepo_train.training.checkpoint import CHECKPOINTS, METRICS, save_model
from sepo_train.training.objectives import objective
from sepo_train.training.pair_trainer import PAIR_METRICS as NAMES
from sepo_train.training.pair_trainer import learning_rate_factor
from sepo_train.training.processes import end_process_group, is_main_process
from sepo_train.training.run import fit
from sepo_train.training.selected_pairs import TrainingPair
from sepo_train.training.settings import Training
from sepo_train.training.trainable_model import trainable_model

SHARED = LayoutPolicy(1 << 40)
STEP = Training(lr=1e-2, batch_size=8, micro_batch_size=8, seed=3)
CLOSE = 0.02 * STEP.lr
"""Adam's first step has the size of the rate wherever a gradient is not 0, and blows up rounding where it almost is."""


def pairs_of(count):
    """Pairs of uneven lengths with every second response token kept."""
    generator = torch.Generator().manual_seed(1)

    def ids(length):
        return torch.randint(3, 300, (length,), generator=generator).tolist()

    pairs = []
    for number in range(count):
        responses = ids(1 + 2 * number % 9), ids(2 + number % 5)
        keep = [[place % 2 == 0 for place in range(len(side))] for side in responses]
        pairs.append(TrainingPair(f"pair{number}", Tree(ids(3 + number % 4), responses, keep)))
    return pairs


SEPO = objective("sepo")


def lengths(pairs):
    return [pair.tree.shared_length for pair in pairs]


def run(folder, model, training, pairs, *, layout_policy=SHARED, resume=False, minimised=SEPO, evaluate=None):
    """The trained weights and the history of a run."""
    model = trainable_model(str(model), training)
    history, _ = fit(
        model,
        pairs,
        lengths=lengths(pairs),
        objective=minimised,
        layout_policy=layout_policy,
        training=training,
        out=folder,
        resume=resume,
        progress=SILENT,
        evaluate=evaluate,
    )
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}, history


def furthest(first, second):
    return max(float((first[name] - second[name]).abs().max()) for name in first)


def test_the_learning_rate_by_hand():
    # 4 steps, half of them warm-up: 1/3, 2/3, then the cosine at 0 and half way.
    assert [learning_rate_factor(step, 4, 0.5) for step in range(4)] == pytest.approx([1 / 3, 2 / 3, 1.0, 0.5])
    assert learning_rate_factor(0, 1, 0.1) == 1.0, "a run of one step learns"
    assert learning_rate_factor(0, 1, 1.0) == 0.5
    assert all(0 < learning_rate_factor(step, 7, share) <= 1 for share in (0.0, 0.1, 1.0) for step in range(7))


@pytest.fixture(scope="module")
def one_step(tiny_model, tmp_path_factory):
    """Weights after one step on 8 pairs in one pass, and what was logged."""
    return run(tmp_path_factory.mktemp("step"), tiny_model, STEP, pairs_of(8))


@pytest.mark.unstable_api
def test_the_step_is_the_mean_over_pairs(tiny_model, one_step):
    """The logged loss, its metrics and the gradient's norm, worked out pair by pair."""
    model = trainable_model(str(tiny_model), STEP)
    total, rewards = torch.zeros(()), []
    for pair in pairs_of(8):
        means = []
        for response, keep in zip(pair.tree.responses, pair.tree.keep, strict=True):
            ids = torch.tensor([[*pair.tree.prompt_ids, *response]])
            logps = model(input_ids=ids).logits[0].log_softmax(-1)
            first = len(pair.tree.prompt_ids) - 1
            means.append(torch.stack([logps[first + i, token] for i, token in enumerate(response) if keep[i]]).mean())
        rewards.append([2 * float(mean.detach()) for mean in means])
        total = total + torch.nn.functional.softplus(-2 * (means[0] - means[1])) / 8
    total.backward()
    norm = math.sqrt(sum(float(parameter.grad.square().sum()) for parameter in model.parameters()))
    [entry] = one_step[1]
    assert entry["loss"] == pytest.approx(float(total.detach()), rel=1e-5)
    assert entry["grad_norm"] == pytest.approx(norm, rel=1e-4)
    assert entry["rewards/chosen"] == pytest.approx(sum(chosen for chosen, _ in rewards) / 8, abs=1e-3)
    assert entry["rewards/margins"] == pytest.approx(sum(a - b for a, b in rewards) / 8, abs=1e-3)
    assert entry["rewards/accuracies"] == sum(a > b for a, b in rewards) / 8
    assert set(NAMES) < set(entry)


@pytest.mark.unstable_api
@pytest.mark.parametrize("micro", [1, 3, 4, 5])
def test_micro_batches_do_not_change_the_step(tiny_model, one_step, tmp_path, micro):
    weights, [entry] = run(tmp_path, tiny_model, replace(STEP, micro_batch_size=micro), pairs_of(8))
    assert furthest(weights, one_step[0]) < CLOSE
    for name in ("loss", "grad_norm", "learning_rate", *NAMES):
        assert entry[name] == pytest.approx(one_step[1][0][name], rel=1e-4, abs=1e-4), name


def test_layout_and_checkpointing_do_not_change_the_step(tiny_model, one_step, tmp_path):
    unshared, _ = run(tmp_path / "plain", tiny_model, STEP, pairs_of(8), layout_policy=PLAIN)
    twice, _ = run(tmp_path / "twice", tiny_model, replace(STEP, gradient_checkpointing=True), pairs_of(8))
    assert furthest(unshared, one_step[0]) < CLOSE
    assert furthest(twice, one_step[0]) < CLOSE


def test_a_batch_size_below_the_micro_batch_is_kept(tiny_model, tmp_path):
    _, history = run(tmp_path, tiny_model, replace(STEP, batch_size=2, micro_batch_size=4), pairs_of(8))
    assert len(history) == 4, "8 pairs, 2 a step"


def test_uneven_steps_over_epochs(tiny_model, tmp_path):
    """11 pairs in steps of 4, 4 and 3, for two epochs: alone and in three passes a step."""
    training = replace(STEP, batch_size=4, micro_batch_size=4, epochs=2.0, lr=1e-3)
    whole, history = run(tmp_path / "whole", tiny_model, training, pairs_of(11))
    split, again = run(tmp_path / "split", tiny_model, replace(training, micro_batch_size=2), pairs_of(11))
    assert len(history) == len(again) == 6
    assert [entry["loss"] for entry in again] == pytest.approx([entry["loss"] for entry in history], rel=1e-4)
    assert furthest(split, whole) < 1e-4


def test_the_same_seed_gives_the_same_bytes(tiny_model, tmp_path):
    training = replace(STEP, batch_size=3, micro_batch_size=2)
    first, history = run(tmp_path / "a", tiny_model, training, pairs_of(8))
    second, again = run(tmp_path / "b", tiny_model, training, pairs_of(8))
    other, _ = run(tmp_path / "c", tiny_model, replace(training, seed=4), pairs_of(8))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert history == again
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_learning_rate_of_0_changes_nothing(tiny_model, tmp_path):
    weights, _ = run(tmp_path, tiny_model, replace(STEP, lr=0.0), pairs_of(8))
    before = trainable_model(str(tiny_model), STEP).state_dict()
    assert all(torch.equal(weights[name], before[name]) for name in before)


class PowerCutError(Exception):
    pass


class CutAfter:
    """A progress that loses power in the given step."""

    def __init__(self, step):
        self.last = step

    def note(self, text):
        pass

    def metrics(self, done, total, values):
        if done == self.last:
            raise PowerCutError


@pytest.mark.parametrize(("lora_r", "epochs", "cut"), [(0, 2.0, 7), (2, 2.0, 7), (0, 1.5, "after the last step")])
def test_resuming_gives_the_uninterrupted_weights(tiny_model, tmp_path, lora_r, epochs, cut):
    """8 pairs, 2 a step in two passes: cut in step 7, within an epoch; or whole but not saved, which adds no step."""
    training = replace(STEP, batch_size=2, micro_batch_size=1, epochs=epochs, save_steps=1, lora_r=lora_r)
    whole, history = run(tmp_path / "whole", tiny_model, training, pairs_of(8))

    def attempt(progress, *, resume):
        model = trainable_model(str(tiny_model), training)
        again, _ = fit(
            model,
            pairs_of(8),
            lengths=lengths(pairs_of(8)),
            objective=SEPO,
            layout_policy=SHARED,
            training=training,
            out=tmp_path / "cut",
            resume=resume,
            progress=progress,
        )
        return model.state_dict(), again

    if cut == 7:
        with pytest.raises(PowerCutError):
            attempt(CutAfter(cut), resume=False)
    else:
        attempt(SILENT, resume=False)
    # A checkpoint that was being written when the power went has no state yet and must not be taken.
    (tmp_path / "cut" / "checkpoints" / "checkpoint-99").mkdir()
    resumed, again = attempt(SILENT, resume=True)
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert [entry["loss"] for entry in again] == [entry["loss"] for entry in history]
    lines = (tmp_path / "cut" / METRICS).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 1 + int(4 * epochs)))


def test_a_loss_that_is_not_finite_names_its_pairs(tiny_model, tmp_path):
    def loss(chosen, rejected):
        return torch.where(chosen.ref_sums == 7, torch.nan, SEPO.loss(chosen, rejected))

    pairs = pairs_of(4)
    pairs[2] = replace(pairs[2], ref_logps=(7.0, 0.0))
    with pytest.raises(SepoError, match=r"not finite for pairs pair2 in step 1$"):
        run(tmp_path, tiny_model, STEP, pairs, minimised=replace(SEPO, loss=loss))
    one = replace(STEP, batch_size=1, save_steps=1)
    with pytest.raises(SepoError, match=r"pairs pair2 in step \d; .* is the last checkpoint before$") as caught:
        run(tmp_path, tiny_model, one, pairs, minimised=replace(SEPO, loss=loss))
    last = max((tmp_path / CHECKPOINTS).iterdir(), key=lambda folder: int(folder.name.split("-")[1]))
    assert str(last) in str(caught.value)
    assert all(torch.isfinite(weight).all() for weight in load_file(last / "model.safetensors").values())


PROGRAM = """
import importlib.util, sys
from pathlib import Path
spec = importlib.util.spec_from_file_location("pair_trainer_tests", sys.argv[1])
tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tests)
tests.uneven_run(Path(sys.argv[2]), sys.argv[3])
"""


def uneven_run(folder, model):
    """7 pairs in steps of 4 and 3, then 1 pair alone; two epochs of each; saved by the main process."""
    tokenizer = load_tokenizer(str(model))
    for count in (7, 1):
        training = replace(STEP, batch_size=4, micro_batch_size=1, epochs=2.0, lr=1e-3)
        policy = trainable_model(str(model), training)
        fit(
            policy,
            pairs_of(count),
            lengths=lengths(pairs_of(count)),
            objective=SEPO,
            layout_policy=SHARED,
            training=training,
            out=folder / str(count),
            resume=False,
            progress=SILENT,
        )
        if is_main_process():
            save_model(policy, tokenizer, folder / str(count))
    end_process_group()


@pytest.mark.slow
def test_two_processes_give_what_one_gives(tiny_model, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    root = Path(__file__).resolve().parents[3]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*command, str(program), __file__, str(tmp_path / "two"), str(tiny_model)],
        env=os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    uneven_run(tmp_path / "one", tiny_model)
    for count in ("7", "1"):
        one, two = (load_file(tmp_path / name / count / "model.safetensors") for name in ("one", "two"))
        assert furthest(one, two) < 1e-4
        logs = [
            [json.loads(line) for line in (tmp_path / name / count / METRICS).read_text(encoding="utf-8").splitlines()]
            for name in ("one", "two")
        ]
        for alone, together in zip(*logs, strict=True):
            for name in ("loss", "grad_norm", *NAMES):
                assert together[name] == pytest.approx(alone[name], rel=1e-3, abs=1e-3), name
