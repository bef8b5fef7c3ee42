"""Settings of training runs: what enters a run's plan, and what is refused before anything is loaded."""

import subprocess
import sys
from dataclasses import fields, replace

import pytest

from sepo_data.errors import SepoError
from sepo_train.training.settings import Training


def test_every_field_is_in_the_plan_or_in_the_runtime():
    training = Training(dtype="float32", trust_remote_code=True, allow_noise=True)
    plan, runtime = training.plan(), training.runtime()
    assert plan.keys() | runtime.keys() == {field.name for field in fields(Training)}
    assert not plan.keys() & runtime.keys()
    assert set(runtime) == {"micro_batch_size", "gradient_checkpointing", "save_steps", "eval_steps", "report_to"}
    assert replace(training, micro_batch_size=2, save_steps=5).plan() == plan
    assert replace(training, lr=1e-3).plan() != plan
    del plan["trust_remote_code"], plan["allow_noise"]  # as before there were such fields
    assert replace(training, trust_remote_code=False, allow_noise=False).plan() == plan


def test_the_plan_names_the_dtype_that_is_used():
    assert Training(dtype="bfloat16").plan()["dtype"] == "bfloat16"
    assert Training().plan()["dtype"] in {"float32", "bfloat16"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0.0}, "--epochs 0 leaves nothing to train"),
        ({"merge_lora": True}, "nothing to merge"),
        ({"report_to": "wandbb"}, "--report-to wandbb is not a logger"),
    ],
)
def test_settings_that_cannot_work_are_refused(options, message):
    with pytest.raises(SepoError, match=message):
        Training(**options)


def test_settings_and_losses_are_there_without_torch():
    code = (
        "import sys; from sepo_train.training.settings import Training; from sepo_train.training.losses import LOSSES;"
        "from sepo_train.training.objectives import objective; Training(lr=1e-5); objective('dpo', beta=0.2);"
        "sys.exit(sorted({'torch', 'transformers', 'polars', 'pyarrow', 'numpy'} & sys.modules.keys()) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
