"""Weights that passes change: noticed at the first pass, refused later, and put back before they are saved."""

import pytest
import torch

from sepo_data.errors import SepoError
from sepo_train.models.load import load_model
from sepo_train.models.weight_changes import (
    changes_weights,
    check_kept,
    check_trainable,
    first_pass,
    kept_weights,
    refuse_adapter,
    to_stored_weights,
    weight_sums,
)

RWKV = {"hidden_size": 32, "attention_hidden_size": 32, "num_hidden_layers": 4, "rescale_every": 1}


def run(model):
    with torch.no_grad():
        model(input_ids=torch.tensor([[5, 6, 7]]), use_cache=False)


def changing(model, after, change):
    """Let `change` of the weights of the first layer happen in pass number `after`."""
    weight, passes = next(iter(model.model.layers.parameters())), []
    forward = model.forward

    def counted(**given):
        passes.append(None)
        if len(passes) == after:
            with torch.no_grad():
                change(weight)
        return forward(**given)

    model.forward = counted
    return model


CHANGES = {
    "all of them": lambda weight: weight.div_(2),
    "the last bit of one": lambda weight: weight[3, 5].copy_(torch.nextafter(weight[3, 5], torch.tensor(9.0))),
    "the sign of a zero": lambda weight: weight[0, 0].copy_(torch.tensor(-0.0)),
}


@pytest.fixture
def rwkv(random_model):
    return random_model("rwkv", **RWKV)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_change_of_any_size_is_seen(llama, change, dtype):
    weight = next(iter(llama.model.layers.parameters()))
    weight.data[0, 0] = 0.0
    llama.to(dtype)
    before = weight_sums(llama)
    assert weight_sums(llama) == before
    with torch.no_grad():
        if dtype is torch.float32:
            change(weight)
        else:
            weight[3, 5] *= 1.01
    assert weight_sums(llama) != before


def test_the_first_pass_that_changes_weights_is_noticed(rwkv, llama):
    before = weight_sums(rwkv)
    for model in (rwkv, llama):
        with first_pass(model):
            run(model)
    assert changes_weights(rwkv)
    assert not changes_weights(llama)
    assert weight_sums(rwkv) != before
    for _ in range(2):
        run(rwkv)
    check_kept(rwkv)  # it changes them once
    to_stored_weights(rwkv)
    assert weight_sums(rwkv) == before
    to_stored_weights(llama)
    assert not llama.training, "nothing to do"


@pytest.mark.parametrize("after", [2, 5])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_later_change_is_refused(llama, after, change):
    changing(llama, after, change)
    with first_pass(llama):
        run(llama)
    for _ in range(after - 2):
        run(llama)
        check_kept(llama)
    run(llama)
    with pytest.raises(SepoError, match=r"a LlamaForCausalLM changed its own weights while it computed \(model.layers"):
        check_kept(llama)


def test_a_block_that_only_computes(rwkv, llama):
    with first_pass(rwkv):
        run(rwkv)
    rwkv.train()
    run(rwkv)
    with kept_weights(rwkv):  # its switch to evaluation mode is not counted
        run(rwkv)
    with pytest.raises(SepoError, match="changed its own weights"), kept_weights(changing(llama, 2, torch.Tensor.neg_)):
        run(llama)
    check_kept(llama)  # it was not watched from its first pass on


def test_what_nothing_puts_back_is_not_trained(llama, rwkv):
    with first_pass(rwkv):
        run(rwkv)
    check_trainable(rwkv, "it")
    changing(llama, 1, CHANGES["all of them"])
    with first_pass(llama):
        run(llama)
    with pytest.raises(
        SepoError, match=r"^it changes its own weights when it runs .* what was trained could not be saved"
    ):
        check_trainable(llama, "it")


def test_an_adapter_on_weights_that_change_is_refused(rwkv, llama):
    with first_pass(rwkv):
        run(rwkv)
    with pytest.raises(SepoError, match="but not those of an adapter on top of it"):
        refuse_adapter(rwkv, "it")
    refuse_adapter(llama, "it")


def test_loading_makes_the_first_pass(rwkv, llama, tmp_path):
    for name, model in (("rwkv", rwkv), ("llama", llama)):
        model.save_pretrained(tmp_path / name)
    assert changes_weights(load_model(str(tmp_path / "rwkv"), dtype="float32"))
    assert not changes_weights(load_model(str(tmp_path / "llama"), dtype="float32"))
