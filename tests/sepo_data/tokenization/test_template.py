"""Forms of messages: arguments, contents and reasoning reach a template as it wants them."""

import pickle

import pytest

from sepo_data.shapes.pairs import Pair
from sepo_data.shapes.tool_calls import tool_calls
from sepo_data.tokenization.chat_template import render_pairs
from tests.sepo_data.tokenization.test_lost_parts import CHATML, PAIRS, said, user, with_template


@pytest.mark.parametrize("key", ["reasoning_content", "thinking", "reasoning"])
@pytest.mark.parametrize("given", ["reasoning_content", "thinking"])
def test_reasoning_under_the_key_that_the_template_reads(key, given):
    template = CHATML.replace("{{ message.content }}", f"{{{{ message.{key} or '' }}}} {{{{ message.content }}}}")
    pair = Pair(0, [user("Hi")], [said("Yes", **{given: "Let me see."})], [said("No")])
    [row] = render_pairs([pair], with_template(template))
    assert row.responses[0].strip() == "Let me see. Yes<|im_end|>"


# Arguments and contents reach the template as the data have them where it does not take what was made of them.

TEXT_ONLY = CHATML.replace(
    "{{ message.content }}",
    "{% if message.content is none %}{% for c in message.tool_calls %}"
    "{{ c.function.name + ' ' + c.function.arguments }}{% endfor %}{% else %}{{ message.content }}{% endif %}",
)


@pytest.mark.unstable_api
def test_arguments_as_the_text_that_they_were():
    written = '{"n":1, "m":  [2], "x": 1E5, "y": 1.50}'
    made = tool_calls([{"type": "function", "function": {"name": "dice", "arguments": written}}], "x")
    assert made[0]["function"]["arguments"] == {"n": 1, "m": [2], "x": 1e5, "y": 1.5}
    made = pickle.loads(pickle.dumps(made))  # noqa: S301 - as a worker process gets it
    pair = Pair(0, [user("Roll")], [said("", tool_calls=made)], [said("No")])
    [row] = render_pairs([pair], with_template(TEXT_ONLY))
    assert row.responses == (f"dice {written}<|im_end|>", "No<|im_end|>")


def test_a_content_of_parts():
    listed = CHATML.replace("{{ message.content }}", "{% for part in message.content %}{{ part.text }}{% endfor %}")
    [row] = render_pairs([PAIRS["plain"]], with_template(listed))
    assert row.responses == ("The sky, I guess.<|im_end|>", "No idea.<|im_end|>")
    refusing = CHATML.replace("{{ message.content }}", "{{ raise_exception('no') if message.content == 'B' }}")
    [row] = render_pairs([PAIRS["one letter"]], with_template(refusing))
    assert row.reason == "template_error", "a list is no way around a text that is refused"
