"""Processes that train together agree on a layout."""

from transformers import AutoModelForCausalLM

from sepo_train.engine.choose import Engine
from sepo_train.engine.layout import Tree
from sepo_train.training import processes
from sepo_train.training.processes import choose_engine_together

TREES = [Tree([5, 6, 7], ([8, 9], [10]))]


def test_what_one_process_refuses_none_does(tiny_model, monkeypatch):
    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    alone = choose_engine_together(model, TREES)
    monkeypatch.setattr(processes, "gather_object", lambda found: [*found, *found])
    assert choose_engine_together(model, TREES) == alone
    monkeypatch.setattr(processes, "gather_object", lambda found: [*found, Engine(0, padded_limit=0)])
    agreed = choose_engine_together(model, TREES)
    assert agreed.path == "unshared: the processes found different layouts exact, one by one"
