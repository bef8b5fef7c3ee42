"""All that is in the messages is in the rendering, or the row is skipped: on every chat template that TRL has."""

import importlib.util
import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from tokenizers import AddedToken

from sepo_data.shapes.pairs import Pair, SkippedRow
from sepo_data.tokenization.chat_template import Renderer, render_pairs
from tests.conftest import tiny_tokenizer

TRL = importlib.util.find_spec("trl")
FOLDER = Path(TRL.origin).parent / "chat_templates" if TRL else Path("none")
TEMPLATES = sorted(path.stem for path in FOLDER.glob("*.jinja") if not path.stem.endswith("_training"))
WITHOUT_CALLS = {
    "cohere", "cohere2", "gemma", "gemma3", "idefics3", "lfm2", "llama3", "llava_next", "phi3", "phi3_5", "qwen2_5_vl",
    "smolvlm",
}  # fmt: skip
SPECIAL = re.compile(r"<[|｜][^<>{}\s]{1,40}[|｜]>|<\|\w+>|<\w+\|>|<end_of_\w+>|<start_of_turn>")  # noqa: RUF001


def user(content):
    return {"role": "user", "content": content}


def said(content, **more):
    return {"role": "assistant", "content": content, **more}


def call(name="dice", **arguments):
    return {"type": "function", "id": "c1", "function": {"name": name, "arguments": arguments}}


def calls(*each, words=""):
    return said(words, tool_calls=list(each))


RESULT = {"role": "tool", "name": "dice", "tool_call_id": "c1", "content": 'result: "4"'}
DICE = {
    "type": "function",
    "function": {
        "name": "dice",
        "description": "roll it",
        "parameters": {"type": "object", "properties": {"sides": {"type": "string", "description": "how many"}}},
    },
}
HARD = {
    "text": 'He said "no"\nand <b>é&ü</b> 漢\\',
    "n": 7,
    "x": 2.5,
    "yes": True,
    "no": None,
    "deep": {"l": [1, "two"]},
}
PAIRS = {
    "plain": Pair(0, [user("What is up?")], [said("The sky, I guess.")], [said("No idea.")]),
    "one letter": Pair(0, [user("Pick: A) 0 B) 1")], [said("B")], [said("A")]),
    "white space": Pair(0, [user(" What\n\n is up?\n")], [said("  The sky,\n\n I guess.\n")], [said("\nNo idea. ")]),
    "code": Pair(0, [user('```\nprint("x")\n```\n<b>')], [said('a = {"b": 1}')], [said("& < > \" ' \\ \u200b é 漢")]),
    "turns": Pair(0, [user("Hi"), said("a"), user("And?")], [said("user")], [said("model")]),
    "system": Pair(0, [{"role": "system", "content": "Be brief"}, user("Hi")], [said("Yes")], [said("No")]),
    "call": Pair(0, [user("Roll")], [calls(call(sides="six"))], [said("I cannot.")]),
    "call, words": Pair(0, [user("Roll")], [calls(call(sides="six"), words="Rolling.")], [said("I cannot.")]),
    "call, hard": Pair(0, [user("Roll")], [calls(call("d", **HARD))], [said("I cannot.")]),
    "call, short": Pair(0, [user("a n 1")], [calls(call("a", n=1))], [said("a n 1")]),
    "call, nothing": Pair(0, [user("Roll")], [calls(call())], [said("I cannot.")]),
    "two calls": Pair(0, [user("Roll")], [calls(call("d"), call("e", n=2))], [said("I cannot.")]),
    "tools": Pair(0, [user("Roll")], [calls(call(sides="six"))], [said("Four.")], tools=[DICE]),
    "result": Pair(0, [user("Roll"), calls(call(sides="six")), RESULT], [said("Four")], [said("Five")]),
    "result, calls": Pair(0, [user("Roll"), calls(call(sides="six")), RESULT], [calls(call())], [calls(call("coin"))]),
    "reasoning": Pair(0, [user("Hi")], [said("Yes", reasoning_content="Let me see.")], [said("No", thinking="Hm.")]),
    "reasoning, inside": Pair(
        0, [user("Hi")], [said("<think>\nLet me see.\n</think>\n\nYes")], [said("<think>\nHm.\n</think>\n\nNo")]
    ),
    "earlier reasoning": Pair(
        0, [user("Hi"), said("<think>\nLet me see.\n</think>\n\nYes"), user("So?")], [said("Yes")], [said("No")]
    ),
    "two turns": Pair(0, [user("Roll")], [calls(call(sides="six")), said("Done.")], [said("No")]),
    "continued": Pair(0, [user("Hi"), said("Sure, ")], [said("here it is.")], [said("no.")]),
}
WORDS = {
    "plain": (["What is up?"], ["The sky, I guess."], ["No idea."]),
    "one letter": (["Pick: A) 0 B) 1"], ["B"], ["A"]),
    "white space": (["What\n\n is up?"], ["The sky,\n\n I guess."], ["No idea."]),
    "code": (['```\nprint("x")\n```\n<b>'], ['a = {"b": 1}'], ["& < > \" ' \\ \u200b é 漢"]),
    "turns": (["Hi", "And?"], ["user"], ["model"]),
    "system": (["Be brief", "Hi"], ["Yes"], ["No"]),
    "call": (["Roll"], ["dice", "sides", "six"], ["I cannot."]),
    "call, words": (["Roll"], ["Rolling.", "dice", "sides", "six"], ["I cannot."]),
    "call, hard": (["Roll"], ["He said", "and <b>", "漢", "7", "2.5", "deep", "two"], ["I cannot."]),
    "call, short": (["a n 1"], ["a", "n", "1"], ["a n 1"]),
    "call, nothing": (["Roll"], ["dice"], ["I cannot."]),
    "two calls": (["Roll"], ["d", "e", "n", "2"], ["I cannot."]),
    "tools": (["Roll", "dice"], ["dice", "six"], ["Four."]),
    "result": (["Roll", "dice", "six", "result: "], ["Four"], ["Five"]),
    "result, calls": (["Roll", "dice", "six", "result: "], ["dice"], ["coin"]),
    "reasoning": (["Hi"], ["Let me see.", "Yes"], ["Hm.", "No"]),
    "reasoning, inside": (["Hi"], ["Let me see.", "Yes"], ["Hm.", "No"]),
    "earlier reasoning": (["Hi", "Yes", "So?"], ["Yes"], ["No"]),
    "two turns": (["Roll"], ["dice", "six", "Done."], ["No"]),
    "continued": (["Hi", "Sure, "], ["here it is."], ["no."]),
}
"""For each pair the words that prompt, chosen and rejected have to hold, however a template spells the rest."""


@cache
def base():
    tokenizer = tiny_tokenizer()
    found = {token for path in FOLDER.glob("*.jinja") for token in SPECIAL.findall(path.read_text(encoding="utf-8"))}
    tokenizer.add_tokens([AddedToken(token, special=True) for token in sorted(found)])
    tokenizer.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"})
    return tokenizer


def tokenizer_of(name):
    tokenizer = base()
    tokenizer.chat_template = (FOLDER / f"{name}.jinja").read_text(encoding="utf-8")
    return tokenizer


def rendered_at_all(pair, words, tokenizer):
    """True if transformers alone renders each word of each side, white space and order aside."""
    texts = []
    for side in (pair.chosen, pair.rejected):
        try:
            texts.append(tokenizer.apply_chat_template([*pair.prompt, *side], tools=pair.tools, tokenize=False))
        except Exception:  # noqa: BLE001 - a template may raise anything
            return False
    prompt, chosen, rejected = words
    places = zip(texts, (chosen, rejected), strict=True)
    return all(word in text.rpartition(prompt[-1])[2] for text, side in places for word in side) and all(
        word in text for text in texts for word in prompt
    )


@pytest.mark.skipif(not TEMPLATES, reason="TRL is not installed")
@pytest.mark.parametrize("name", TEMPLATES)
def test_all_is_rendered_or_the_row_is_skipped(name):
    tokenizer = tokenizer_of(name)
    for (kind, pair), row in zip(PAIRS.items(), Renderer(tokenizer).render(list(PAIRS.values())), strict=True):
        if isinstance(row, SkippedRow):
            assert row.reason in {"lost_in_template", "template_error", "template_not_prefix"}
            assert kind not in {"plain", "one letter", "white space", "code", "turns", "earlier reasoning", "continued"}
            if row.reason == "lost_in_template":
                assert not rendered_at_all(pair, WORDS[kind], tokenizer), (kind, row.detail)
        else:
            for text, words in zip((row.prompt, *row.responses), WORDS[kind], strict=True):
                assert all(word in text for word in words), (kind, text)


@pytest.mark.skipif(not TEMPLATES, reason="TRL is not installed")
@pytest.mark.parametrize("name", ["deepseek_r1_distill", "qwen3", "smolvlm"])
def test_a_row_does_not_depend_on_those_beside_it(name):
    tokenizer, pairs = tokenizer_of(name), list(PAIRS.values())
    assert render_pairs(pairs, tokenizer) == [row for pair in pairs for row in render_pairs([pair], tokenizer)]


@pytest.mark.skipif(not TEMPLATES, reason="TRL is not installed")
@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_that_renders_no_tool_calls(name):
    row, short, nothing = Renderer(tokenizer_of(name)).render(
        [PAIRS[kind] for kind in ("call", "call, short", "call, nothing")]
    )
    if name in WITHOUT_CALLS:
        assert row.reason == "lost_in_template"
        assert row.detail == "the chat template leaves out the tool call of turn 1 of chosen: 'dice'"
        assert short.reason == nothing.reason == "lost_in_template", "though the words stand elsewhere, too"
    else:
        assert not any(isinstance(each, SkippedRow) for each in (row, short, nothing))


CHATML = tiny_tokenizer().chat_template
CALLS = CHATML.replace("message.content", "message.content or message.tool_calls")


def with_template(template):
    tokenizer = base()
    tokenizer.chat_template = template
    return tokenizer


@pytest.mark.parametrize(
    ("template", "kind", "lost"),
    [
        (
            CHATML.replace("in messages %}", "in messages if message.role != 'system' %}"),
            "system",
            "the content of the system turn 1 of prompt: 'Be brief'",
        ),
        (CHATML.replace("message.content", "message.content[:9]"), "plain", "the content of the user turn 1 of prompt"),
        (CHATML.replace("message.content", "message.content[-7:]"), "turns", None),
        (
            CHATML.replace("message.content", "message.content.split('</think>')[-1]"),
            "reasoning, inside",
            "the reasoning in the content of turn 1 of chosen",
        ),
        (CHATML.replace("message.content", "message.content | tojson"), "code", None),
        (CHATML.replace("message.content", "message.content | e"), "code", None),
        (CHATML.replace("message.content", "message.content | upper"), "code", None),
        (
            CALLS.replace("in messages %}", "in messages if message.role != 'tool' %}"),
            "result",
            "the content of the tool",
        ),
        (CHATML.replace("in messages %}", "in messages[1:] %}"), "turns", "the content of the user turn 1 of prompt"),
        (CHATML.replace("message.content", "message.content | trim | string"), "white space", None),
        (CHATML, "reasoning", "the reasoning of turn 1 of chosen: 'Let me see.'"),
        (CHATML, "tools", "the tool call of turn 1 of chosen: 'dice'"),
        (CALLS, "tools", "tool 1: 'dice'"),
    ],
)
def test_what_is_lost_is_named(template, kind, lost):
    [row] = render_pairs([PAIRS[kind]], with_template(template))
    if lost is None:
        assert not isinstance(row, SkippedRow)
    else:
        assert row.reason == "lost_in_template"
        assert row.detail.startswith(f"the chat template leaves out {lost}")


def test_a_blank_content_is_no_part_and_hides_none_of_the_next_row():
    first, row = (replace(PAIRS["system"], prompt=[{"role": "system", "content": text}, user("Hi")]) for text in " H")
    first, row = render_pairs([first, row], with_template(CHATML.replace("in messages %}", "in messages[1:] %}")))
    assert (isinstance(first, SkippedRow), isinstance(row, SkippedRow)) == (False, True)


ARGUMENTS = CHATML.replace(
    "{{ message.content }}",
    "{{ message.content }}{% for c in message.tool_calls or [] %}"
    "{% set a = c.function.arguments %}{{ c.function.name }}(ARGUMENTS){% endfor %}",
)
EACH = "{% for k, v in a.items() %}{{ k }}={{ v }};{% endfor %}"
FIRST = "{% for k, v in a.items() %}{% if loop.first %}{{ k }}={{ v }}{% endif %}{% endfor %}"


@pytest.mark.parametrize(
    ("written", "arguments", "lost"),
    [
        (FIRST, {"n": 1, "c": 1}, "1"),
        (FIRST, {"n": 12, "c": 1}, "c"),
        (FIRST, {"n": True, "a": True}, "true"),
        (FIRST, {"n": "one two", "m": "one two"}, "one two"),
        (FIRST, {"n": "only one"}, None),
        ("{{ a.values() | join(' ') }}", {"al": 1}, "al"),
        ("{{ a.n | unique | join(' ') }} n", {"n": [1, 1]}, "1"),
        ("{% for k, v in a | dictsort %}{{ k }}={{ v }};{% endfor %}", {"n": 1, "c": 1, "a": "n"}, None),
        ("{% for k, v in a.items() %}{{ k }}{{ v }}{% endfor %}", {"n": 1, "c": "1", "flag": True}, None),
        (EACH, {"n": False, "l": [False, None, None], "a": "False"}, None),
        (EACH, {"n": [None, {"n": "n"}], "aa": "a", "a": "aa"}, None),
        ("{{ a | tojson }}", {"n": [1, 1.0, 11, "1"], "1": 1, "a_b": "a b"}, None),
        ("{{ a | tojson | tojson }}", {"n": 'n\n"n"', "c": "\tc", "x": ["c", 1, 1]}, None),
        ("{{ a | string | e }}", {"n": "it's", "c": '"c"', "x": ["'", 1]}, None),
        (r"{{ a | tojson | replace('\"', '\\u0022') }}", {"n": 1, "c": "n"}, None),
    ],
)
def test_each_argument_is_looked_for_as_a_word_of_its_own(written, arguments, lost):
    pair = Pair(0, [user("Roll")], [calls(call("calc", **arguments))], [said("No")])
    [row] = render_pairs([pair], with_template(ARGUMENTS.replace("ARGUMENTS", written)))
    if lost is None:
        assert not isinstance(row, SkippedRow), row.detail
    else:
        assert row.detail == f"the chat template leaves out the arguments of turn 1 of chosen: {lost!r}"
