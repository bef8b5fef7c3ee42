"""The prompt is found by position, and a prompt that ends in a turn of the assistant is continued."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepo_data.shapes.pairs import Pair
from sepo_data.tokenization.chat_template import RenderedPair, render_pairs
from tests.conftest import tiny_tokenizer

CHATML = tiny_tokenizer().chat_template
THINKING = CHATML.replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")
"""A template that opens a turn that is to be generated otherwise than one that is there."""

QWEN = CHATML.replace(
    "{{ message.content }}",
    "{% if message.role == 'assistant' and loop.last and '</think>' not in message.content %}<think>\n\n</think>\n\n"
    "{% endif %}{{ message.content }}",
)
"""A template that opens an answer without reasoning with an empty one."""


def tokenizer_of(template):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    return tokenizer


def user(content):
    return {"role": "user", "content": content}


def said(content, **more):
    return {"role": "assistant", "content": content, **more}


def rendered(template, prompt, chosen, rejected):
    [row] = render_pairs([Pair(0, prompt, chosen, rejected)], tokenizer_of(template))
    return row


@pytest.mark.parametrize("letters", [("A", "B"), ("i", "m"), ("assistant", "<think>"), ("n", "s"), ("a s", "s")])
def test_answers_that_stand_in_the_opening_as_well(letters):
    chosen, rejected = letters
    row = rendered(THINKING, [user("assistant")], [said(chosen)], [said(rejected)])
    assert row.prompt == "<|im_start|>user\nassistant<|im_end|>\n<|im_start|>assistant\n"
    assert row.responses == (f"{chosen}<|im_end|>", f"{rejected}<|im_end|>")


TEXT = st.text(st.sampled_from("aAs<|>\n "), min_size=1, max_size=4).filter(str.strip)


@given(TEXT, TEXT, TEXT)
def test_any_answers(asked, chosen, rejected):
    row = rendered(THINKING, [user(asked)], [said(chosen)], [said(rejected)])
    assert isinstance(row, RenderedPair)
    assert row.prompt == f"<|im_start|>user\n{asked}<|im_end|>\n<|im_start|>assistant\n"
    assert row.responses == (f"{chosen}<|im_end|>", f"{rejected}<|im_end|>")


NEMOTRON = CHATML.replace(
    "{{ message.content }}",
    "{% if message.role == 'assistant' %}<think>{{ message.reasoning_content }}</think>{% endif %}"
    "{{ message.content }}",
).replace("assistant\n{% endif %}", "assistant\n<think>\n{% endif %}")


@pytest.mark.parametrize("tokens", [[], ["<think>"]])
def test_one_response_with_reasoning_and_one_without(tokens):
    tokenizer = tokenizer_of(NEMOTRON)
    tokenizer.add_tokens(tokens)
    pair = Pair(0, [user("Hi")], [said("Yes", reasoning_content="Hm. </th")], [said("No")])
    [row] = render_pairs([pair], tokenizer)
    assert row.prompt == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n" + "".join(tokens)
    assert ["".join(tokens) + text for text in row.responses] == [
        "<think>Hm. </th</think>Yes<|im_end|>",
        "<think></think>No<|im_end|>",
    ]


def test_an_opening_that_depends_on_the_answer_is_none():
    template = THINKING.replace("{{ message.content }}", "{{ message.content | length }} {{ message.content }}")
    assert rendered(template, [user("Hi")], [said("yes")], [said("no")]).reason == "template_not_prefix"


@given(st.text(min_size=1, max_size=6), st.text(min_size=1, max_size=6), st.text(max_size=6))
def test_a_continued_turn(begun, chosen, rejected):
    row = rendered(CHATML, [user("Hi"), said(begun)], [said(chosen)], [said(rejected)])
    assert row.prompt == f"<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n{begun}"
    assert row.responses == (f"{chosen}<|im_end|>", f"{rejected}<|im_end|>")


@pytest.mark.parametrize(
    ("template", "prompt", "opening"),
    [
        (THINKING, [said("Sure, ")], "<|im_start|>assistant\nSure, "),
        (QWEN, [said("Sure, ")], "<|im_start|>assistant\n<think>\n\n</think>\n\nSure, "),
        (QWEN, [said("<think>\nLet me</think>")], "<|im_start|>assistant\n<think>\nLet me</think>"),
        (
            CHATML.replace("message.content", "message.content | trim"),
            [said("Sure, ")],
            "<|im_start|>assistant\nSure, ",
        ),
        (CHATML, [said("")], "<|im_start|>assistant\n"),
        (CHATML, [said("Sure."), said(" And")], "<|im_start|>assistant\nSure.<|im_end|>\n<|im_start|>assistant\n And"),
    ],
)
def test_templates_that_open_a_continued_turn(template, prompt, opening):
    row = rendered(template, [user("Hi"), *prompt], [said("here.")], [said("no.")])
    assert row.prompt == f"<|im_start|>user\nHi<|im_end|>\n{opening}"
    assert row.responses == ("here.<|im_end|>", "no.<|im_end|>")


def test_a_continued_turn_goes_on_with_further_turns():
    row = rendered(CHATML, [user("Hi"), said("Sure, ")], [said("a"), said("b")], [said("c")])
    assert row.responses == ("a<|im_end|>\n<|im_start|>assistant\nb<|im_end|>", "c<|im_end|>")


def test_white_space_that_no_longer_ends_a_turn_is_no_prompt():
    """The template trims `Sure, ` where it is a turn of its own, and then not where it is continued by nothing."""
    template = CHATML.replace("message.content", "message.content | trim")
    row = rendered(template, [user("Hi"), said("Sure, ")], [said("  ", tool_calls=[])], [said("x")])
    assert row.reason == "template_not_prefix"


def test_a_tool_call_is_not_continued():
    template = CHATML.replace("{{ message.content }}", "{{ message.content }}{{ message.tool_calls or '' }}")
    call = said("", tool_calls=[{"function": {"name": "dice", "arguments": {}}}])
    row = rendered(template, [user("Hi"), call], [said("a")], [said("b")])
    assert row.prompt.endswith("<|im_end|>\n<|im_start|>assistant\n")
    assert row.responses == ("a<|im_end|>", "b<|im_end|>")
