"""Conversations within one text: marks of turns, transcripts and texts that a chat template has rendered."""

import pytest

from sepo_data.shapes.detect import detect_shape
from sepo_data.shapes.skip_reasons import SkipRow

ANSWERS = {"chosen": "yes", "rejected": "no"}
CHATML = "<|im_start|>{}\n{}<|im_end|>\n"
LLAMA3 = "<|start_header_id|>{}<|end_header_id|>\n\n{}<|eot_id|>"


def turns(*said):
    return [{"role": role, "content": content} for role, content in said]


def prompt_of(row):
    [pair] = detect_shape(list(row), [row]).to_pairs(0, row, ())
    return pair.prompt


def reason_of(row):
    with pytest.raises(SkipRow) as caught:
        prompt_of(row)
    return caught.value.reason


Q, A, R = ("user", "Hello there"), ("assistant", "Hi!\nHow can I help?"), ("user", "How is rye bread made?")
SYSTEM = ("system", "Be terse.")

FIRST, SECOND, THIRD = (content for _, content in (Q, A, R))
WITHIN = {
    "helpsteer": (f"{FIRST}<extra_id_1>Assistant\n{SECOND}\n<extra_id_1>User\n{THIRD}", [Q, A, R]),
    "helpsteer with spaces": (f"{FIRST} <extra_id_1>Assistant {SECOND} <extra_id_1>User {THIRD}", [Q, A, R]),
    "nemo": (f"<extra_id_0>System\nBe terse.\n<extra_id_1>User\n{FIRST}\n<extra_id_1>Assistant\n", [SYSTEM, Q]),
    "nemo without a system": (f"<extra_id_0>System\n\n<extra_id_1>User\n{FIRST}\n<extra_id_1>Assistant", [Q]),
    "a prompt that ends in an answer": (f"{FIRST}\n<extra_id_1>Assistant\n{SECOND}", [Q, A]),
    "a transcript": (f"\n\nHuman: {FIRST}\n\nAssistant: {SECOND}\n\nHuman: {THIRD}\n\nAssistant:", [Q, A, R]),
    "a transcript without its line breaks": (f"Human: {FIRST}\n\nAssistant:", [Q]),
    "chatml": (CHATML.format(*SYSTEM) + CHATML.format(*Q) + "<|im_start|>assistant\n", [SYSTEM, Q]),
    "llama 3": (
        "<|begin_of_text|>"
        + "".join(LLAMA3.format(*turn) for turn in (Q, A, R))
        + LLAMA3.format("assistant", "")[:-10],
        [Q, A, R],
    ),
}
for name, form, opened in (
    ("gemma", "<start_of_turn>{}\n{}<end_of_turn>\n", "<start_of_turn>model\n"),
    ("zephyr", "<|{}|>\n{}</s>\n", "<|assistant|>\n"),
    ("phi", "<|{}|>\n{}<|end|>\n", "<|assistant|>\n"),
    ("tulu", "<|{}|>\n{}\n", "<|assistant|>\n"),
):
    called = [("model" if role == "assistant" and name == "gemma" else role, content) for role, content in (Q, A, R)]
    WITHIN[name] = "".join(form.format(*turn) for turn in called) + opened, [Q, A, R]
    WITHIN[f"{name} without the last line break"] = f"{form.format(*Q)}{opened.strip()}", [Q]
WITHIN["mistral"] = f"<s>[INST] {FIRST} [/INST] {SECOND}</s>[INST] {THIRD} [/INST]", [Q, A, R]
WITHIN["llama 2"] = f"<s>[INST] <<SYS>>\nBe terse.\n<</SYS>>\n\n{FIRST} [/INST]", [SYSTEM, Q]
WITHIN["llama 2 again"] = f"[INST]{FIRST}[/INST] {SECOND} </s><s>[INST] {THIRD} [/INST] ", [Q, A, R]
ALONE = {
    "words about mistral": "[INST] is opened, [/INST] closed. What is in [INST] and [/INST]? Why [INST]",
    "brackets that are not in turn": "[INST] one [INST] two [/INST]",
    "nothing in brackets": "[INST] [/INST]",
    "words about gemma": "What is <start_of_turn>user\nHello<end_of_turn>\n?",
    "words about zephyr": "<|user|>\nWhat is this<|assistant|>\n for?",
    "T5's gaps": "Fill <extra_id_0> in: User <extra_id_1> Assistant",
    "words about marks": "What does <extra_id_1> mean?",
    "words about chatml": "What is <|im_start|>user\nHello<|im_end|>\n?",
    "chatml without an open turn": CHATML.format(*Q),
    "a quoted transcript": "Sum up:\n\nHuman: Hello there\n\nAssistant: Hi!",
}
BROKEN = {
    "two turns of the user": "Hello<extra_id_1>User\nagain",
    "labels": "Hello<extra_id_1>Assistant\n<extra_id_2>quality:4\nHi\n<extra_id_1>User\nbye",
    "no text": "<extra_id_1>User\n<extra_id_1>Assistant\n",
}


@pytest.mark.parametrize(("text", "said"), WITHIN.values(), ids=WITHIN)
@pytest.mark.parametrize(
    "row",
    [
        lambda text: {"question": text, **ANSWERS},
        lambda text: {"instruction": text, **ANSWERS},
        lambda text: {"prompt": text, "response_a": "yes", "response_b": "no", "winner": "model_a"},
        lambda text: {"instruction": text, "completions": ["yes", "no"], "scores": [2, 1]},
    ],
)
def test_turns_within_the_text_of_a_prompt(row, text, said):
    assert prompt_of(row(text)) == turns(*said)


@pytest.mark.parametrize(
    ("name", "end"),
    [
        ("chatml", "<|im_end|>"),
        ("llama 3", "<|eot_id|>"),
        ("gemma", "<end_of_turn>\n"),
        ("zephyr", "</s>"),
        ("tulu", ""),
        ("mistral", "</s>"),
    ],
)
def test_responses_to_a_rendered_prompt_lose_the_end_of_their_turn(name, end):
    row = {"question": WITHIN[name][0], "chosen": f"yes{end}", "rejected": f"no{end}"}
    [pair] = detect_shape(list(row), [row]).to_pairs(0, row, ())
    assert (pair.chosen, pair.rejected) == (turns(("assistant", "yes")), turns(("assistant", "no")))
    assert reason_of(row | {"chosen": end or " "}) == "empty_response"


@pytest.mark.parametrize("prompt", [{"question": "Strike it."}, {"prompt": turns(("user", WITHIN["zephyr"][0]))}])
def test_other_responses_keep_what_they_end_in(prompt):
    row = {**prompt, "chosen": "<s>it</s>", "rejected": "it</s> "}
    [pair] = detect_shape(list(row), [row]).to_pairs(0, row, ())
    assert (pair.chosen, pair.rejected) == (turns(("assistant", "<s>it</s>")), turns(("assistant", "it</s> ")))


@pytest.mark.parametrize("text", ALONE.values(), ids=ALONE)
def test_a_text_that_is_one_turn(text):
    assert prompt_of({"question": text, **ANSWERS}) == turns(("user", text))


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_marks_that_part_no_turns(text):
    assert reason_of({"question": text, **ANSWERS}) == "written_turns"


def test_turns_within_a_turn_of_a_list():
    """A mark is one there, too; the text of a rendered conversation may be what the user asks about."""
    marked, rendered = WITHIN["helpsteer"][0], WITHIN["chatml"][0]
    assert prompt_of({"prompt": turns(("user", marked)), **ANSWERS}) == turns(Q, A, R)
    assert prompt_of({"prompt": turns(("user", rendered)), **ANSWERS}) == turns(("user", rendered))
    assert reason_of({"prompt": turns(Q, ("assistant", marked), R), **ANSWERS}) == "written_turns"


@pytest.mark.parametrize("prompt", [{"prompt": "Hello"}, {"question": "Hello"}, {"prompt": turns(Q)}])
def test_marks_in_a_response(prompt):
    assert reason_of({**prompt, **ANSWERS, "rejected": "no\n<extra_id_1>User\nWhy?"}) == "other_speaker"


def test_strings_that_no_template_renders():
    """A string that begins with a mark was rendered beforehand; another one was not, nor will it be."""
    assert reason_of({"prompt": WITHIN["helpsteer"][0], **ANSWERS}) == "written_turns"
    rendered = WITHIN["nemo"][0]
    assert prompt_of({"prompt": rendered, **ANSWERS}) == rendered
    assert prompt_of({"prompt": WITHIN["chatml"][0], **ANSWERS}) == WITHIN["chatml"][0]


def test_helpsteers_other_rows_stay_as_they_are():
    rows = [
        {"prompt": text, "response_1": "a", "response_2": "b", "preference_strength": -1}
        for text in ("Hi", *ALONE.values())
    ]
    shape = detect_shape(list(rows[0]), rows)
    assert [shape.to_pairs(0, row, ())[0].prompt for row in rows] == [turns(("user", row["prompt"])) for row in rows]
