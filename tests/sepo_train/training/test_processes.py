"""Processes that train together agree on a layout."""

from transformers import AutoModelForCausalLM

from sepo_train.engine.layout import Tree
from sepo_train.engine.layout_policy import LayoutPolicy
from sepo_train.training import processes
from sepo_train.training.processes import agree_on_layout

TREES = [Tree([5, 6, 7], ([8, 9], [10]))]


def test_what_one_process_refuses_none_does(tiny_model, monkeypatch):
    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    alone = agree_on_layout(model, TREES)
    monkeypatch.setattr(processes, "gather_object", lambda found: [*found, *found])
    assert agree_on_layout(model, TREES) == alone
    monkeypatch.setattr(processes, "gather_object", lambda found: [*found, LayoutPolicy(0, padded_limit=0)])
    agreed = agree_on_layout(model, TREES)
    assert agreed.layout_name == "unshared: the processes found different layouts exact, one by one"
