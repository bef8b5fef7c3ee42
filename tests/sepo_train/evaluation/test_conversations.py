"""Questions to a model, turn after turn."""

import pytest

from sepo_data.errors import SepoError
from sepo_train.engine.generate import Generation, generate
from sepo_train.evaluation.benchmarks import Prompt
from sepo_train.evaluation.conversations import answer_prompts, prompt_ids
from sepo_train.models.load import load_model
from sepo_train.models.tokenizers import load_tokenizer

PROMPTS = [Prompt(0, ("Tea?",), system="Be brief."), Prompt(1, ("Tea?", "Or coffee?"), question_id=1)]


@pytest.fixture
def model(tiny_model):
    return load_model(str(tiny_model), dtype="float32")


@pytest.fixture
def tokenizer(tiny_model):
    return load_tokenizer(str(tiny_model))


def test_a_conversation_as_text(tokenizer):
    assert tokenizer.decode(prompt_ids(PROMPTS[0], (), tokenizer)) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nTea?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert tokenizer.decode(prompt_ids(PROMPTS[1], ("Yes.",), tokenizer)) == (
        "<|im_start|>user\nTea?<|im_end|>\n<|im_start|>assistant\nYes.<|im_end|>\n"
        "<|im_start|>user\nOr coffee?<|im_end|>\n<|im_start|>assistant\n"
    )


def test_a_base_model_is_given_the_text_itself(tokenizer):
    tokenizer.chat_template = None
    plain = Prompt(0, ("Tea?",))
    assert prompt_ids(plain, (), tokenizer) == tokenizer("Tea?")["input_ids"]
    for conversation in PROMPTS:
        with pytest.raises(SepoError, match=f"row {conversation.row} .* has no chat template"):
            prompt_ids(conversation, (), tokenizer)


def test_a_template_that_refuses(tokenizer):
    tokenizer.chat_template = "{{ raise_exception('no system turn, please') }}"
    with pytest.raises(SepoError, match="refuses row 0 of the prompts: no system turn"):
        prompt_ids(PROMPTS[0], (), tokenizer)


def test_each_turn_sees_the_answer_before_it(model, tokenizer):
    how = Generation(max_new_tokens=6)
    first, second = answer_prompts(model, tokenizer, PROMPTS, how)
    assert [len(answer.turns) for answer in (first, second)] == [1, 2]
    assert all(0 < count <= 6 for count in (*first.tokens, *second.tokens))
    assert [ended for answer in (first, second) for ended in answer.ended] == [
        count < 6 for answer in (first, second) for count in answer.tokens
    ]
    # The same by hand.
    ends = [tokenizer.eos_token_id]
    so_far = ()
    for turn in range(2):
        [ids] = generate(model, [prompt_ids(PROMPTS[1], so_far, tokenizer)], Generation(6), ends)
        so_far = (*so_far, tokenizer.decode(ids, skip_special_tokens=True).strip())
        assert second.turns[: turn + 1] == so_far


def test_no_room_is_an_empty_answer(model, tokenizer):
    long = Prompt(0, ("tea " * 600,))
    [answer] = answer_prompts(model, tokenizer, [long], Generation(max_new_tokens=6))
    assert (answer.turns, answer.tokens, answer.ended) == (("",), (0,), (False,))
