"""Several threads give what one gives, and stop together."""

import time
from collections import deque

import pytest
import torch

from sepo_train.engine.layout_policy import NO_LIMIT, PLAIN, LayoutPolicy
from sepo_train.engine.logps import score_trees
from sepo_train.engine.threads import on_cores, with_same_weights
from sepo_train.models.weight_changes import first_pass

LONGROPE = {"rope_type": "longrope", "rope_theta": 10_000.0, "short_factor": [1.0] * 4, "long_factor": [4.0] * 4}


@pytest.fixture
def threads():
    """Set PyTorch's number of threads for a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def llama(llama_like):
    return llama_like()


def test_a_copy_has_the_same_weights_and_its_own_modules(llama):
    copy = with_same_weights(llama)
    for (name, own), (_, shared) in zip(copy.named_parameters(), llama.named_parameters(), strict=True):
        assert own is shared, name
    assert copy.get_output_embeddings() is not llama.get_output_embeddings()


def test_a_copy_has_buffers_of_its_own_unless_they_are_saved(llama_like):
    """LongRoPE writes the frequencies for the length of a row into one that is not."""
    model = llama_like("phi3", rope_parameters=LONGROPE, original_max_position_embeddings=16)
    model.register_buffer("kept", torch.ones(3))
    copy = with_same_weights(model)
    assert copy.kept is model.kept
    short, long = torch.arange(8)[None], torch.arange(40)[None]
    with torch.no_grad():
        expected = model(input_ids=short).logits
        copy(input_ids=long)
        rotations = model.model.rotary_emb.inv_freq
        assert not torch.equal(rotations, copy.model.rotary_emb.inv_freq)
        assert torch.equal(model(input_ids=short).logits, expected)


def test_a_model_that_changes_its_weights_has_one_thread(random_model, threads, random_trees, largest_difference):
    """Copies for other threads would change them once more."""
    options = {"hidden_size": 32, "attention_hidden_size": 32, "num_hidden_layers": 4, "rescale_every": 1}
    model, plain = random_model("rwkv", **options), random_model("rwkv", **options)
    trees = random_trees(*((1 + n % 7, 1 + n % 5, 1 + n % 4) for n in range(40)))
    with first_pass(model), torch.no_grad():
        model(input_ids=torch.tensor([[5]]))
    with torch.no_grad():
        model.train()(input_ids=torch.tensor([[5]]))  # as a step of training before an evaluation
    threads(3)
    scores = score_trees(model, trees, PLAIN, batch_tokens=30)
    assert largest_difference(scores, plain, trees) < 1e-4


@pytest.mark.parametrize("count", [1, 2, 5])
def test_everything_is_done_once(llama, threads, count):
    threads(count)
    done, models = [], set()

    def do(model, item):
        done.append(item)
        models.add(id(model))
        return True

    assert on_cores(do, llama, deque(range(40))) == []
    assert sorted(done) == list(range(40))
    assert len(models) <= count
    assert torch.get_num_threads() == count


def test_what_could_not_be_done_stops_all(llama, threads):
    threads(2)
    items = deque(range(100))

    def do(_model, item):
        time.sleep(0.01)
        return item != 10

    assert on_cores(do, llama, items) == [10]
    assert 0 < len(items) < 90, "what had begun was finished, the rest is left"


def test_an_error_in_a_thread_is_raised(llama, threads):
    threads(2)
    items = deque(range(100))

    def do(_model, item):
        time.sleep(0.01)
        if item == 3:
            raise ZeroDivisionError
        return True

    with pytest.raises(ZeroDivisionError):
        on_cores(do, llama, items)
    assert items, "the other thread stopped, too"


def test_scores_do_not_depend_on_threads(llama, threads, random_trees):
    trees = random_trees(*((1 + n % 7, 1 + n % 5, 1 + n % 4) for n in range(40)))
    found = []
    for count in (1, 3):
        threads(count)
        scores = score_trees(llama, trees, LayoutPolicy(NO_LIMIT), batch_tokens=30)
        found.append(torch.cat([logps for responses in scores for logps in responses]))
    assert torch.equal(*found)
