"""Two processes that share a model out between them train as one does; accelerate takes the configurations we ship.

Data-parallel training, where each process has the whole model, is in test_pair_trainer.py.
"""

import copy
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import PartialState
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.commands.launch import _validate_launch_command, launch_command_parser
from accelerate.utils import DistributedType
from accelerate.utils.launch import prepare_multi_gpu_env
from safetensors.torch import load_file
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from transformers import AutoModelForCausalLM

from sepo_data.preferences.reading import Reading
from sepo_data.selection.select import select
from sepo_train.engine import head
from sepo_train.engine.layout import Tree, shared_layout
from sepo_train.engine.pair_logps import response_logps
from sepo_train.scoring.score import score
from sepo_train.training.checkpoint import METRICS
from sepo_train.training.losses.reference_free import sepo_loss
from sepo_train.training.objectives import objective
from sepo_train.training.policy import train
from sepo_train.training.settings import Training

pytestmark = pytest.mark.slow

CONFIGS = Path(__file__).resolve().parents[2] / "examples" / "accelerate"

STEPS = Training(lr=1e-3, batch_size=5, micro_batch_size=1)
WHOLE = replace(STEPS, gradient_checkpointing=True)

PROCESS = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("parallel_training", {__file__!r})
tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tests)
tests.{{function}}()
"""


def join():
    """Let this process and the other one find each other."""
    torch.set_num_threads(1)
    meet, rank = os.environ["MEET"], int(os.environ["RANK"])
    torch.distributed.init_process_group("gloo", init_method=f"file://{meet}", rank=rank, world_size=2)


def join_as_accelerators():
    """Accelerate shards models on accelerators alone; what it then runs is torch's, which runs on CPUs too."""
    join()
    PartialState._prepare_backend = lambda *_arguments, **_options: ("gloo", DistributedType.MULTI_GPU)


def train_whole_model():
    """Before the command that the test gives, so that the processes begin but once."""
    join_as_accelerators()
    names = ("SELECTION", "OUT", "POLICY")
    selection, out, policy = (os.environ[name] for name in names)
    train(Path(selection), Path(out), policy=policy, training=WHOLE, holdout="30%")


def gradients(model, trees):
    chosen, rejected = response_logps(model, shared_layout(trees), torch.zeros(len(trees), 2))
    sepo_loss(chosen.means, rejected.means, gamma=2.0, target_margin=0.0).sum().backward()
    return {name: parameter.grad for name, parameter in model.named_parameters()}


def compare_gradients():
    """Those of a model in shards, each process with half of the pairs, and those of a whole model with all pairs."""
    join()
    rank, mesh = int(os.environ["RANK"]), init_device_mesh("cpu", (2,))
    random = torch.Generator().manual_seed(1)
    trees = []
    for number in range(6):
        prompt, *sides = (torch.randint(3, 300, (n,), generator=random).tolist() for n in (2 + number, 3 + number, 5))
        trees.append(Tree(prompt, tuple(sides), [[place % 2 == 0 for place in range(len(side))] for side in sides]))
    for tied in (False, True):
        for head.TILE_LOGITS in (1 << 25, 400):  # the head in one piece, and a position at a time
            whole = AutoModelForCausalLM.from_pretrained(os.environ["MODEL"], dtype="float32", tie_word_embeddings=tied)
            whole.gradient_checkpointing_enable({"use_reentrant": False})
            sharded = copy.deepcopy(whole.train())
            for part in (*sharded.model.layers, *([] if tied else [sharded.lm_head]), sharded):
                fully_shard(part, mesh=mesh, reshard_after_forward=True)
            found = gradients(sharded, trees[rank::2])
            for name, gradient in gradients(whole, trees).items():
                # Of the sums over either half of the pairs fully_shard takes the mean.
                torch.testing.assert_close(2 * found[name].full_tensor(), gradient, rtol=1e-4, atol=1e-6, msg=name)
    torch.distributed.destroy_process_group()
    os._exit(0)  # there is no command to go on with


@pytest.fixture
def two(sepo_server, tmp_path):
    """Run a function of this file, then `sepo`, in two processes; what they answered."""

    def run(function, *arguments, **environment):
        meet = tmp_path / "meet"
        running = [
            sepo_server.start(
                *arguments,
                before=PROCESS.format(function=function),
                MEET=str(meet),
                RANK=str(rank),
                LOCAL_RANK=str(rank),
                WORLD_SIZE="2",
                **environment,
            )
            for rank in range(2)
        ]
        codes = [process.wait() for process in running]
        meet.unlink(missing_ok=True)
        assert codes == [0, 0], [process.stderr[-3000:] for process in running]
        return [process.stdout for process in running]

    return run


def test_gradients_of_a_model_in_shards(two, tiny_model):
    two("compare_gradients", MODEL=str(tiny_model))


@pytest.fixture(scope="module")
def selection(examples, tiny_models, tmp_path_factory):
    """30% of the tokens of 12 pairs."""
    folder = tmp_path_factory.mktemp("parallel")
    options = {name: str(path) for name, path in tiny_models.items()}
    score(Reading(str(examples), limit=12), folder / "rewards", **options)
    select(folder / "rewards", folder / "selection", chosen="30%", rejected="30%")
    return folder / "selection"


@pytest.fixture(scope="module")
def tied(tiny_model, tmp_path_factory):
    """A model whose head is its embedding."""
    folder = tmp_path_factory.mktemp("models") / "tied"
    shutil.copytree(tiny_model, folder)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    model.config.tie_word_embeddings = True
    model.tie_weights()
    model.save_pretrained(folder)
    return folder


def launched(config, *arguments):
    """The environment that `accelerate launch --config_file` gives to the processes that it starts."""
    parsed = launch_command_parser().parse_args(["--config_file", str(CONFIGS / config), *arguments, "sepo"])
    environment = prepare_multi_gpu_env(_validate_launch_command(parsed)[0])
    return {name: value for name, value in environment.items() if name.startswith(("ACCELERATE_", "FSDP_"))}


def logged(folder):
    return [json.loads(line) for line in (folder / METRICS).read_text(encoding="utf-8").splitlines()]


def test_fsdp2_trains_as_one_process_does(two, selection, tied, tiny_model, tmp_path):
    """First a whole model with a tied head, held-out pairs and samples; by the command, LoRA, checkpoints and DPO."""
    answers = two(
        "train_whole_model",
        *("train", selection, "--policy", tiny_model, "--lora-r=2", "--save-steps=1", "--out", tmp_path / "adapter"),
        *("--batch-size=5", "--micro-batch-size=1", "--lr=1e-3", "--loss=dpo"),
        SELECTION=str(selection),
        POLICY=str(tied),
        OUT=str(tmp_path / "whole"),
        **launched("fsdp2.yaml"),
        ACCELERATE_TORCH_DEVICE="cpu",
    )
    assert answers == [f"{tmp_path / 'adapter'}\n", ""], "the first process answers for both"
    train(selection, tmp_path / "whole1", policy=str(tied), training=WHOLE, holdout="30%")
    lora = replace(STEPS, lora_r=2)
    train(selection, tmp_path / "adapter1", policy=str(tiny_model), training=lora, objective=objective("dpo"))
    for name, file in (("whole", "model"), ("adapter", "adapter_model")):
        for together, alone in zip(logged(tmp_path / name), logged(tmp_path / f"{name}1"), strict=True):
            assert together == pytest.approx(alone, rel=1e-4, abs=2e-4)
        shared, single = (load_file(tmp_path / folder / f"{file}.safetensors") for folder in (name, f"{name}1"))
        torch.testing.assert_close(shared, single, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("file", "kind"),
    [("ddp.yaml", "MULTI_GPU"), ("fsdp2.yaml", "FSDP"), ("deepspeed_zero3.yaml", "DEEPSPEED")],
)
def test_accelerate_reads_the_configurations(file, kind):
    config = load_config_from_file(str(CONFIGS / file))
    assert config.distributed_type == kind
    assert config.mixed_precision == "no", "sepo says in what type products are made"
    parsed, _, _ = _validate_launch_command(
        launch_command_parser().parse_args(["--config_file", str(CONFIGS / file), "--num_processes", "4", "sepo"])
    )
    assert parsed.num_processes == 4
    assert (parsed.multi_gpu, parsed.use_fsdp, parsed.use_deepspeed) == tuple(
        kind == known for known in ("MULTI_GPU", "FSDP", "DEEPSPEED")
    )


def test_fsdp2_is_what_the_processes_are_told():
    told = launched("fsdp2.yaml")
    assert told["ACCELERATE_USE_FSDP"] == "true"
    assert told["FSDP_VERSION"] == "2"
    # Each process tries the whole model before the weights are shared.
    assert told["FSDP_CPU_RAM_EFFICIENT_LOADING"] == "false"
