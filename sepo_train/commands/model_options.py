"""Options of commands that load models."""

from __future__ import annotations

from typing import Annotated

from sepo_data.commands.grouped_help import MODELS
from sepo_data.commands.options import option
from sepo_train.models.device import Dtype

TrustRemoteCode = Annotated[
    bool,
    option(MODELS, "--trust-remote-code", help="run the Python code and the kernels that come with a model"),
]
ModelDtype = Annotated[
    Dtype | None, option(MODELS, help="dtype of the models; float32 on a CPU, bfloat16 on a GPU by default")
]
