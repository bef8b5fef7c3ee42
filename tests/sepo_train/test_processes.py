"""Processes that train together agree on a layout."""

import pytest
from transformers import AutoModelForCausalLM

from sepo_train import processes
from sepo_train.engine import NO_LIMIT, Engine
from sepo_train.layout import Tree
from sepo_train.processes import choose_engine_together

TREES = [Tree([5, 6, 7], ([8, 9], [10]))]
SHARED = Engine(NO_LIMIT)


@pytest.mark.parametrize(
    ("other", "path"),
    [
        (SHARED, "shared prompt"),
        (Engine(0, "", padded_limit=0), "unshared: the processes found different layouts exact, one by one"),
    ],
)
def test_what_one_process_refuses_none_does(tiny_model, monkeypatch, other, path):
    monkeypatch.setattr(processes, "gather_object", lambda found: [*found, other])
    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    assert choose_engine_together(model, TREES).path == path
