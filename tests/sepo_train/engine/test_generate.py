"""Generation in batches, against the loop over one token after the other."""

import pytest
import torch

from sepo_data.errors import SepoError
from sepo_train.engine import generate as generation
from sepo_train.engine.generate import Generation, end_ids, generate
from sepo_train.metrics import sampled_kl

EOS = 2


@pytest.fixture
def model(llama):
    llama.generation_config.eos_token_id = None
    return llama


@pytest.fixture(scope="module")
def prompts():
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(3, 97, (length,), generator=generator).tolist() for length in (3, 9, 5, 1, 7)]


def plain_greedy(model, prompt, count, ends):
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax()))
        if ids[-1] in ends:
            break
    return ids[len(prompt) :]


def test_greedy_answers_are_those_of_a_plain_loop(model, prompts):
    expected = [plain_greedy(model, prompt, 12, []) for prompt in prompts]
    assert generate(model, prompts, Generation(12), []) == expected
    # The token that the second answer has in its middle ends it there.
    end = expected[1][5]
    expected = [plain_greedy(model, prompt, 12, [end]) for prompt in prompts]
    assert len(expected[1]) <= 6
    assert generate(model, prompts, Generation(12), [EOS, end]) == [
        plain_greedy(model, prompt, 12, [EOS, end]) for prompt in prompts
    ]


KINDS = {
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4},
    "mamba": {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8},
    "rwkv": {"hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32},
}


@pytest.mark.parametrize("kind", KINDS)
def test_models_of_other_kinds(kind, random_model, prompts, new_progress):
    """Learned positions, ALiBi and recurrent layers; RWKV takes padding for text, and is not given any."""
    other, notes = random_model(kind, **KINDS[kind]), new_progress()
    other.generation_config.eos_token_id = None
    answers = generate(other, prompts, Generation(10), [], progress=notes)
    assert answers == [plain_greedy(other, prompt, 10, []) for prompt in prompts]
    assert len(notes.steps) == (5 if kind == "rwkv" else 1)


def test_rows_that_may_not_be_padded_run_alone(model, prompts, monkeypatch, new_progress):
    expected = generate(model, prompts, Generation(8), [])
    together, alone = new_progress(), new_progress()
    generate(model, prompts, Generation(8), [], progress=together)
    monkeypatch.setattr(generation, "tolerance", lambda _model: -1.0)
    assert generate(model, prompts, Generation(8), [], progress=alone) == expected
    assert (len(together.steps), len(alone.steps)) == (1, 5)


@pytest.mark.unstable_api
def test_nothing_but_the_temperature_shapes_the_distribution(model, prompts):
    greedy = generate(model, prompts, Generation(8), [])
    own = model.generation_config
    own.repetition_penalty, own.top_k, own.no_repeat_ngram_size, own.max_length = 5.0, 1, 1, 3
    assert generate(model, prompts, Generation(8), []) == greedy
    assert generate(model, prompts, Generation(8, temperature=1.0), []) != greedy, "top_k = 1 is greedy"
    assert model.generation_config is own


def test_samples_are_those_of_the_model(model, llama_like):
    """The divergence of one token, estimated from samples, is the exact one over the whole vocabulary."""
    torch.manual_seed(4)
    other = llama_like(hidden_size=16)
    prompt = [5, 9, 4]
    logps = [m(input_ids=torch.tensor([prompt])).logits[0, -1].double().log_softmax(0).detach() for m in (model, other)]
    exact = float((logps[0].exp() * (logps[0] - logps[1])).sum())
    samples = generate(model, [prompt] * 3000, Generation(1, temperature=1.0, seed=1), [])
    own, theirs = ([values[token] for token in samples] for values in logps)
    found = sampled_kl(own, theirs)["per_answer"]
    assert abs(found["mean"] - exact) < 4 * found["se"]
    assert found["se"] < exact / 10


def test_the_seed_decides_and_the_callers_numbers_stay(model, prompts):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    sampling = [Generation(8, temperature=1.0, seed=seed) for seed in (1, 1, 2)]
    first, again, other = (generate(model, prompts, each, []) for each in sampling)
    assert first == again != other
    assert torch.equal(torch.rand(3), expected)


def test_an_answer_ends_with_the_context(llama_like, prompts):
    small = llama_like(max_position_embeddings=8)
    small.generation_config.eos_token_id = None
    answers = generate(small, prompts, Generation(4), [])
    assert [len(answer) for answer in answers] == [4, 0, 3, 4, 1]
    assert answers[2] == plain_greedy(small, prompts[2], 3, [])
    assert generate(small, [prompts[1]], Generation(4), []) == [[]]
    assert generate(small, [], Generation(4), []) == []


def test_a_batch_that_does_not_fit_is_halved(model, prompts, monkeypatch):
    expected = generate(model, prompts, Generation(6), [])
    whole, most = generation._generated, 2

    def cramped(model, prompts, config):
        if len(prompts) > most and config.max_new_tokens > 1:
            raise torch.OutOfMemoryError("no room")
        return whole(model, prompts, config)

    monkeypatch.setattr(generation, "_generated", cramped)
    assert generate(model, prompts, Generation(6), []) == expected
    most = 0
    with pytest.raises(SepoError, match="does not fit into memory"):
        generate(model, prompts, Generation(6), [])


def test_what_ends_an_answer(model):
    assert end_ids(model, None) == []
    assert end_ids(model, 5) == [5]
    model.generation_config.eos_token_id = [7, 5]
    assert end_ids(model, 5) == [5, 7]
    model.generation_config.eos_token_id = 9
    assert end_ids(model, 5) == [5, 9]


def test_an_error_of_the_library_is_a_sentence(llama, monkeypatch):
    library = {"__name__": "transformers.some_model"}
    exec("def refuse(*_, **__):\n    raise ValueError('this model knows no cache')", library)  # noqa: S102
    monkeypatch.setattr(llama, "generate", library["refuse"])
    with pytest.raises(SepoError, match="a LlamaForCausalLM cannot generate answers: this model knows no cache"):
        generate(llama, [[5, 6]], Generation(4), [2])
