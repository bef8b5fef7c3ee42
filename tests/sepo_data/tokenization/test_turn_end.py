"""Nothing but the end of a turn ends a response, whether messages were rendered or strings came rendered."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

from sepo_data.shapes.pairs import Pair
from sepo_data.tokenization.template import Template
from sepo_data.tokenization.tokenize import tokenize_pairs
from sepo_data.tokenization.turn_end import turn_end
from tests.conftest import tiny_tokenizer

HEADERS = ["<|bot|>", "<|head|>", "<|/head|>", "<|eot_id|>", "<|stop|>", "<|end|>"]
LLAMA = (
    "{% for m in messages %}<|head|>{{ m.role }}<|/head|>\n\n{{ m.content }}<|eot_id|>{% endfor %}"
    "{% if add_generation_prompt %}<|head|>assistant<|/head|>\n\n{% endif %}"
)
CHATML = tiny_tokenizer().chat_template
TEMPLATES = {
    "plain": CHATML,
    "header": LLAMA,
    "header always": LLAMA.replace("add_generation_prompt", "true"),
    "header always, an own token": LLAMA.replace("add_generation_prompt", "true").replace("<|eot_id|>", "<|stop|>"),
    "a second token": LLAMA.replace("<|eot_id|>", "<|end|>\n")
    .replace("{% if", "{% if not add_generation_prompt %}{{ eos_token }}{% endif %}{% if", 1),
    "two tokens": LLAMA.replace("<|eot_id|>", "<|/head|><|stop|>\n"),
    "a line break": LLAMA.replace("<|eot_id|>", "<|eot_id|>\n\n"),
}  # fmt: skip
ENDS = {
    "plain": "<|im_end|>",
    "header": "<|eot_id|>",
    "header always": "<|eot_id|>",
    "header always, an own token": "<|stop|>",
    "a second token": "<|end|>",
    "two tokens": "<|/head|><|stop|>",
    "a line break": "<|eot_id|>",
}
CUT = {"header always", "header always, an own token", "a second token"}


def tokenizer_of(template, *, special=True, eos="<|endoftext|>"):
    described = json.loads(tiny_tokenizer().backend_tokenizer.to_str())
    for token in described["added_tokens"]:
        token["special"] = special or token["content"] == eos
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(described)), eos_token=eos, chat_template=template
    )
    tokenizer.add_tokens([AddedToken(token, special=special) for token in HEADERS])
    return tokenizer


def tokenized(tokenizer, *parts):
    [item] = tokenize_pairs([Pair(0, *parts)], tokenizer, max_length=10**6)
    return item


def responses(item, tokenizer):
    return [tokenizer.decode(ids) for ids in (item.chosen_ids, item.rejected_ids)]


def turn(role, content):
    return [{"role": role, "content": content}]


@pytest.mark.parametrize("special", [True, False])
@pytest.mark.parametrize("eos", ["<|endoftext|>", "<|im_end|>"])
@pytest.mark.parametrize("name", TEMPLATES)
def test_messages(name, eos, special):
    tokenizer = tokenizer_of(TEMPLATES[name], special=special, eos=eos)
    item = tokenized(tokenizer, turn("user", "Hi"), turn("assistant", " Yes.\n"), turn("assistant", "No <|eot_id|> no"))
    assert responses(item, tokenizer) == [" Yes.\n" + ENDS[name], "No <|eot_id|> no" + ENDS[name]]
    assert item.end_trimmed == (name in CUT), "white space of the template is not counted"


@pytest.mark.parametrize("eos", ["<|endoftext|>", "<|im_end|>"])
@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("generation", [False, True])
def test_strings_that_were_rendered_with_the_same_template(name, eos, generation):
    tokenizer = tokenizer_of(TEMPLATES[name], eos=eos)
    whole = tokenizer.apply_chat_template(
        [*turn("user", "Hi"), *turn("assistant", "Yes.")], tokenize=False, add_generation_prompt=generation
    )
    prompt, _, rest = whole.partition("Yes.")
    item = tokenized(tokenizer, prompt, "Yes." + rest, "No.")
    assert responses(item, tokenizer) == ["Yes." + ENDS[name], "No." + eos]
    assert item.end_trimmed == ("Yes." + rest != "Yes." + ENDS[name])


def test_a_header_where_no_token_ends_a_turn():
    template = "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant:"
    tokenizer = tokenizer_of(template)
    item = tokenized(tokenizer, turn("user", "Hi"), turn("assistant", "Yes, assistant:"), turn("assistant", "No"))
    assert responses(item, tokenizer) == [" Yes, assistant:\n", " No\n"]
    assert item.end_trimmed
    tokenizer = tokenizer_of(template.replace("assistant:", "{% if add_generation_prompt %}assistant:{% endif %}"))
    item = tokenized(tokenizer, turn("user", "Hi"), turn("assistant", "Yes, assistant:"), turn("assistant", "No"))
    assert responses(item, tokenizer) == [" Yes, assistant:\n", " No\n"]
    assert not item.end_trimmed


@pytest.mark.parametrize("template", [CHATML, None])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Yes.<|im_end|>\n", "Yes.<|im_end|>"),
        ("Yes.<|im_end|>\n<|im_end|>\n", "Yes.<|im_end|>"),
        ("Yes.<|im_end|>\n<|endoftext|>", "Yes.<|im_end|>"),
        ("Yes.<|im_end|>", "Yes.<|im_end|>"),
        ("Yes. \n", "Yes. \n<|endoftext|>"),
        ("a<|im_end|>\nb", "a<|im_end|>\nb<|endoftext|>"),
        ("a<|endoftext|>\nb\n<|endoftext|> ", "a<|endoftext|>\nb\n<|endoftext|>"),
    ],
)
def test_strings(template, given, expected):
    tokenizer = tokenizer_of(template)
    item = tokenized(tokenizer, "Hi\n", given, "No.")
    assert responses(item, tokenizer)[0] == expected
    assert item.end_trimmed == (
        expected.removesuffix("<|endoftext|>") not in {given, given.removesuffix("<|endoftext|>")}
    )


HEADER = ("<|im_start|>{}\n", "<|head|>{}<|/head|>\n\n", "<|{}|>\n")


@pytest.mark.parametrize("role", ["user", "assistant", "system", "tool"])
@pytest.mark.parametrize("header", HEADER)
@pytest.mark.parametrize("special", [True, False])
def test_strings_that_end_in_the_header_of_any_turn(header, role, special):
    opened = header.replace("{}", "{{ m.role }}")
    template = (
        "{% for m in messages %}" + opened + "{{ '' }}{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}" + header.format("assistant") + "{{ '' }}{% endif %}"
    )
    tokenizer = tokenizer_of(template, special=special)
    next_turn = header.format(role)
    given = [f"Yes.<|im_end|>{between}{next_turn}" for between in ("", "\n", "\n<|endoftext|>\n")]
    for text in (*given, given[0].rstrip()):
        item = tokenized(tokenizer, "Hi\n", text, "No.")
        assert responses(item, tokenizer) == ["Yes.<|im_end|>", "No.<|endoftext|>"]
        assert item.end_trimmed
    for text in (f"Yes.<|im_end|>\n{next_turn}And", f"Yes. {next_turn}And", f"<|im_end|>\n{next_turn}And<|im_end|>"):
        item = tokenized(tokenizer, "Hi\n", text, "No.")
        assert responses(item, tokenizer)[0].removesuffix("<|endoftext|>") == text, "what a turn has behind it stays"
        assert not item.end_trimmed


@pytest.mark.parametrize("template", [LLAMA, LLAMA.replace("<|eot_id|>", "<|stop|>"), None])
@pytest.mark.parametrize("behind", ["\n<|im_start|>user\n", "<|user|>", "[INST] ", "\n<|im_start|>"])
def test_strings_that_end_in_a_usual_header(template, behind):
    tokenizer = tokenizer_of(template, eos="<|im_end|>")
    item = tokenized(tokenizer, "Hi\n", f"Yes.<|im_end|>{behind}", f"No{behind}")
    assert responses(item, tokenizer) == ["Yes.<|im_end|>", f"No{behind}<|im_end|>"]


@pytest.mark.parametrize("content", ["It is <|im_end|>\n<|im_start|>user\n", "<|im_end|><|im_start|>", "<|user|>"])
@pytest.mark.parametrize("template", [CHATML, LLAMA, CHATML.replace("<|im_end|>", "")])
def test_a_content_that_ends_in_a_header(template, content):
    tokenizer = tokenizer_of(template)
    item = tokenized(tokenizer, turn("user", "Hi"), turn("assistant", content), turn("assistant", "No"))
    assert responses(item, tokenizer)[0].startswith(content)


def test_a_content_that_ends_like_a_turn():
    tokenizer = tokenizer_of(CHATML)
    item = tokenized(
        tokenizer, turn("user", "Hi"), turn("assistant", "Yes.<|im_end|>\n"), turn("assistant", "<|im_end|>")
    )
    assert responses(item, tokenizer) == ["Yes.<|im_end|>", "<|im_end|><|im_end|>"], "what is nothing else stays"
    assert item.end_trimmed


@given(st.lists(st.sampled_from(["a", " ", "\n", "<|im_end|>", "<|im_start|>assistant\n"]), max_size=8).map("".join))
def test_what_is_cut_is_behind_an_end(text):
    cut = turn_end(Template(TOKENIZER)).cut(text)
    assert text.startswith(cut)
    if cut != text:
        assert cut.endswith("<|im_end|>")
        assert set(text[len(cut) :].replace("<|im_end|>", "").replace("<|im_start|>assistant", "")) <= {" ", "\n"}
    assert turn_end(Template(TOKENIZER)).cut(cut) == cut


TOKENIZER = tokenizer_of(CHATML)
