"""Ordinary uses of what may make a large text: inputs of 1 MB render as without bounds."""

import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment
from transformers.utils import chat_template_utils

from sepo_data.tokenization.bounded_template import apply_template
from tests.sepo_data.tokenization.test_bounded_template import tokenizer_of

MEGABYTE = 1_000_000
WORDS = "one two, 20260101 {x} 100% \u00e9\n" * (MEGABYTE // 30)
LONG = [{"role": "user", "content": WORDS}]
LESS = [{"role": "user", "content": WORDS[:150_000]}]  # for what takes seconds in itself
MANY = [{"role": "user", "content": f"turn {number}"} for number in range(3000)]
PARTS = [{"role": "user", "content": "a" * 50_000} for _ in range(20)]
CALLS = [{"role": "assistant", "content": "", "tool_calls": [{"function": {"arguments": {"text": WORDS}}}]}]
NUMBERS = [{"role": "user", "content": list(range(100_000))}]
TOOLS = [
    {"type": "function", "function": {"name": f"tool{number}", "description": "word " * 1000, "parameters": {"a": [1]}}}
    for number in range(180)
]

ORDINARY = {
    "JSON of messages": ("{{ messages | tojson(ensure_ascii=False, indent=2) }}", LONG),
    "JSON of short messages": ("{{ messages | tojson(indent=2) }}", MANY),
    "JSON of one message": ("{% for m in messages %}{{ m | tojson(ensure_ascii=False) }}{% endfor %}", LONG),
    "JSON in ASCII": ("{{ messages | tojson(ensure_ascii=true, sort_keys=true) }}", LONG),
    "JSON with separators": ("{{ messages | tojson(separators=(',', ':')) }}", MANY),
    "JSON of arguments": (
        "{{ messages[0].tool_calls[0].function.arguments | tojson(ensure_ascii=False, indent=4) }}",
        CALLS,
    ),
    "JSON of tools": ("{{ tools | tojson(indent=4) }}", MANY[:1]),
    "JSON of numbers": ("{{ messages | tojson(indent=2) }}", NUMBERS),
    "a list printed": ("{{ messages }}{{ messages[0].content[:3] }}", NUMBERS),
    "wordwrap": ("{{ messages[0].content | wordwrap(79) }}", LESS),
    "wordwrap with breaks": ("{{ messages[0].content | wordwrap(60, false, '\n  ') }}", LESS),
    "format with a number": (
        "{% for m in messages %}{{ '[{}] {} 20260101'.format(m.role, m.content) }}{% endfor %}",
        LONG,
    ),
    "format with a percent sign": ("{{ '{:>9} 100% 20260101'.format(messages[0].content) }}", LONG),
    "format with keys": ("{{ '{role}: {content!s:.100}'.format(**messages[0]) }}", LONG),
    "format_map": ("{{ '{role}: {content} {content}'.format_map(messages[0]) }}", LONG),
    "% with a number": ("{{ '%s: %s 20260101' % (messages[0].role, messages[0].content) }}", LONG),
    "% with keys": ("{{ '%(role)s %(content)s %(content)s' % messages[0] }}", LONG),
    "% of many": (
        "{{ '" + "%s " * 20 + "' % (" + ", ".join(f"messages[{n}].content" for n in range(20)) + ") }}",
        PARTS,
    ),
    "format filter of many": (
        "{{ '" + "%s " * 20 + "'|format(" + ", ".join(f"messages[{n}].content" for n in range(20)) + ") }}",
        PARTS,
    ),
    "indent": ("{{ messages[0].content | indent(4, true) }}", LONG),
    "replace": ("{{ messages[0].content | replace('\n', '\n    ') }}{{ messages[0].content.replace(' ', '') }}", LONG),
    "translate": ("{{ messages[0].content.translate({34: '&quot;', 10: '<br>'}) }}", LONG),
    "tabs": ("{{ messages[0].content.expandtabs(4) }}", LONG),
    "split": (r"{{ messages[0].content.split('\n') | join('|') }}{{ messages[0].content.split() | length }}", LONG),
    "case": ("{{ messages[0].content.upper() }}{{ messages[0].content | lower | title | trim }}", LONG),
    "list": ("{{ messages[0].content | list | length }}{{ messages[0].content | list | join }}", LONG),
    "bytes": ("{{ messages[0].content.encode('utf-8') | length }}", LONG),
    "slices": (
        "{% for m in messages[::-1] %}{{ m.content[1:] }}{{ (messages[1:] | list | length) }}{% endfor %}",
        LONG,
    ),
    "links": ("{{ messages[0].content | urlize(target='_blank') }}", LESS),
    "escape": ("{{ messages[0].content | escape }}{{ messages | string }}", LONG),
    "pprint": ("{{ messages | pprint }}{{ tools | pprint }}", LONG),
    "a growing text": (
        (
            "{% set n = namespace(s='', l=[]) %}{% for m in messages %}{% set n.s = n.s + m.content %}"
            "{% set n.l = n.l + [m] %}{% endfor %}{{ n.s }}{{ n.l | length }}"
        ),
        MANY,
    ),
    "values": (
        (
            "{{ messages[0].values() | list }}{{ messages | map(attribute='content') | map('upper') | list | join }}"
            "{{ messages | groupby('role') | length }}{{ messages | sort(attribute='content') | first }}"
            "{{ messages | batch(2) | list | length }}{{ messages | selectattr('role', 'eq', 'user') | list | last }}"
        ),
        MANY,
    ),
    "marked text": ("{{ ('<{}>' | safe).format('<') }}{{ [1, 2] | sum }}{{ messages[0].get('tools', []) }}", MANY),
}


def rendered_plainly(template, conversation, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(chat_template_utils, "ImmutableSandboxedEnvironment", ImmutableSandboxedEnvironment)
        chat_template_utils._compile_jinja_template.cache_clear()
        try:
            return tokenizer_of(template).apply_chat_template(conversation, tools=TOOLS, tokenize=False)
        finally:
            chat_template_utils._compile_jinja_template.cache_clear()


@pytest.mark.unstable_api
@pytest.mark.parametrize(("template", "conversation"), ORDINARY.values(), ids=ORDINARY)
def test_an_ordinary_use_renders_as_without_bounds(template, conversation, monkeypatch):
    text = apply_template(tokenizer_of(template), conversation, tools=TOOLS, tokenize=False)
    assert text == rendered_plainly(template, conversation, monkeypatch)
