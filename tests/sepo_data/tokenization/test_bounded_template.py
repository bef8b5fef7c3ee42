"""Chat templates that try to make a text without end, and ordinary ones, which render as before."""

import threading
import time

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from sepo_data.errors import SepoError
from sepo_data.shapes.pairs import Pair, SkippedRow
from sepo_data.tokenization import bounded_template
from sepo_data.tokenization.bounded_template import apply_template
from sepo_data.tokenization.chat_template import render_pairs
from sepo_data.tokenization.template_sizes import MOST_CHARACTERS, TemplateTooLargeError
from sepo_data.tokenization.time_limit import OverTimeError, time_limit

CONVERSATION = [{"role": "user", "content": "hi"}]


def tokenizer_of(template):
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"a": 0}, unk_token="a")))
    tokenizer.chat_template = template
    return tokenizer


def rendered(template):
    return apply_template(tokenizer_of(template), CONVERSATION, tokenize=False)


def doubled(step, first="'ab'"):
    """A template that doubles a value 60 times."""
    return f"{{% set n = namespace(s={first}) %}}{{% for i in range(60) %}}{step}{{% endfor %}}{{{{ n.s }}}}"


TOO_LARGE = {
    "product": "{{ 'a' * 10**10 }}",
    "product, turned": "{{ 10**10 * 'a' }}",
    "product of products": "{{ 'a' * 10000 * 10000 * 10000 }}",
    "list": "{{ [1] * 10**10 }}",
    "power": "{{ 2**(2**40) }}",
    "squares": doubled("{% set n.s = n.s * n.s %}", "10"),
    "+": doubled("{% set n.s = n.s + n.s %}"),
    "~": doubled("{% set n.s = n.s ~ n.s %}"),
    "block": doubled("{% set x %}{{ n.s }}{{ n.s }}{% endset %}{% set n.s = x %}"),
    "macro": "{% macro f(s) %}{{ s }}{{ s }}{% endmacro %}" + doubled("{% set n.s = f(n.s) %}"),
    "join": doubled("{% set n.s = [n.s, n.s]|join %}"),
    "join, a method": doubled("{% set n.s = ''.join([n.s, n.s]) %}"),
    "format": doubled("{% set n.s = '{0}{0}'.format(n.s) %}"),
    "%": doubled("{% set n.s = '%s%s' % (n.s, n.s) %}"),
    "replace": doubled("{% set n.s = n.s|replace('a', n.s) %}"),
    "lists of lists": doubled("{% set n.s = [n.s, n.s] %}"),
    "dictionaries": doubled("{% set n.s = {'a': n.s, 'b': n.s} %}"),
    "dict()": doubled("{% set n.s = dict(a=n.s, b=n.s) %}"),
    "center": "{{ 'a'|center(10**10) }}",
    "ljust": "{{ 'a'.ljust(10**10) }}",
    "width": "{{ '%10000000000d' % 1 }}",
    "width elsewhere": "{{ '%*d' % (10**9, 1) }}",
    "width of format": "{{ '{:10000000000}'.format(1) }}",
    "width of format, elsewhere": "{{ '{:{}}'.format('a', 10**9) }}",
    "digits": "{{ '{:.1000000000f}'.format(1.5) }}",
    "tabs": "{{ '\\t'.expandtabs(10**9) }}",
    "indent": "{{ 'a\n'|indent(10**10, true) }}",
    "JSON": "{{ [1]|tojson(indent=10**9) }}",
    "batch": "{{ [1]|batch(10**10, 'x')|list }}",
    "round": "{{ 5|round(-1000000000) }}",
    "to_bytes": "{{ (5).to_bytes(10**10, 'big') }}",
    "replace in a long text": "{{ ('a' * 1000000).replace('a', 'b' * 1000000) }}",
    "replace in map": "{{ ['a' * 1000000]|map('replace', 'a', 'b' * 1000000)|list }}",
    "long separator": "{{ range(99999)|join('a' * 1000000) }}",
    "long translation": "{{ ('a' * 1000000).translate({97: 'b' * 1000000}) }}",
    "one text many times": "{{ ['a' * 1000000] * 100000 }}",
    "printed many times": "{% set a = 'a' * 1000000 %}{% for i in range(99999) %}{{ a }}{% endfor %}",
    "kept many times": "{% set a = 'a' * 10000000 %}{% set n = namespace(l=[]) %}"
    "{% for i in range(99999) %}{% set n.l = n.l + [a[1:]] %}{% endfor %}",
}


@pytest.mark.parametrize("template", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_template_that_makes_too_much(template):
    with pytest.raises(TemplateTooLargeError, match=f"{MOST_CHARACTERS:,} characters"):
        rendered(template)


REFUSED = {
    "range": "{% for i in range(10**9) %}a{% endfor %}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "nested blocks": "{% if true %}" * 5000 + "{% endif %}" * 5000,
    "nested brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "lipsum": "{{ lipsum(n=10**6) }}",
    "include": "{% include '/etc/passwd' %}",
}


@pytest.mark.parametrize("template", REFUSED.values(), ids=REFUSED)
def test_a_template_without_end_is_an_error_of_the_row(template):
    pair = Pair(3, CONVERSATION, *([{"role": "assistant", "content": text}] for text in ("a", "b")))
    [row] = render_pairs([pair], tokenizer_of(template))
    assert isinstance(row, SkippedRow)
    assert row.reason == "template_error"


def test_a_message_of_a_template_is_cut():
    pair = Pair(3, CONVERSATION, *([{"role": "assistant", "content": text}] for text in ("a", "b")))
    [row] = render_pairs([pair], tokenizer_of("{{ raise_exception('a' * 1000000) }}"))
    assert isinstance(row, SkippedRow)
    assert len(row.detail) < 300


SLOW = {
    "loops": "{% set r = range(99999) %}{% for i in r %}{% for j in r %}{% endfor %}{% endfor %}",
    "macros": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(80) }}",
}


@pytest.mark.slow
@pytest.mark.parametrize("template", SLOW.values(), ids=SLOW)
@pytest.mark.parametrize("thread", [False, True])
def test_a_template_that_computes_too_long_ends_the_command(monkeypatch, template, thread):
    monkeypatch.setattr(bounded_template, "SECONDS", 0.2)
    pair = Pair(3, CONVERSATION, *([{"role": "assistant", "content": text}] for text in ("a", "b")))
    caught = []

    def run():
        with pytest.raises(SepoError, match="computes for more than") as error:
            render_pairs([pair, pair], tokenizer_of(template))
        caught.append(error.value)

    if thread:
        other = threading.Thread(target=run)
        other.start()
        other.join()
    else:
        run()
    assert "--chat-template" in caught[0].hint


def test_waiting_is_no_computing(monkeypatch):
    with time_limit(0.05):
        time.sleep(0.7)


def test_a_limit_ends_with_its_block():
    with time_limit(0.3):
        pass
    end = time.thread_time() + 0.6
    while time.thread_time() < end:
        pass


def test_an_except_clause_does_not_catch_the_end_of_time():
    def stubborn():
        while True:
            try:
                while True:
                    pass
            except Exception:  # noqa: BLE001, S110 - what a template's filter may do
                pass

    with pytest.raises(OverTimeError), time_limit(0.1):
        stubborn()


ORDINARY = {
    "{% for m in messages %}{{ '<' + m.role + '>' + m['content'] ~ 1 }}{% endfor %}": "<user>hi1",
    "{{ '%s-%05d' % ('a', 7) }}{{ '{:>3}'.format('a') }}{{ '{a}'.format_map({'a': 1}) }}": "a-00007  a1",
    "{{ [1, 2]|join(', ') }}{{ ', '.join(['a', 'b']) }}{{ {'a': 1}|tojson(indent=2) }}": '1, 2a, b{\n  "a": 1\n}',
    "{{ 'a'|center(3) }}{{ 'x\ny'|indent(2) }}{{ 'aab'|replace('a', 'b') }}{{ 'aab'.replace('a', 'c') }}": (
        " a x\n  ybbbccb"
    ),
    "{{ 2**10 }}{{ 7 % 4 }}{{ 'a' * 3 }}{{ [1] + [2] }}{{ (1, 2) }}{{ none }}{{ 1.5|round(1) }}": (
        "10243aaa[1, 2](1, 2)None1.5"
    ),
    "{% set n = namespace(s='') %}{% for i in range(3) %}{% set n.s = n.s + 'é' %}{% endfor %}{{ n.s|upper }}": "ÉÉÉ",
    "{% for a, b in {'x': 1}.items() %}{{ a }}{{ b }}{% endfor %}{% set c = dict(a=1) %}{{ c }}": "x1{'a': 1}",
    "{{ messages|map(attribute='content')|join('|') }}{{ messages|length }}{{ 'a\tb'.expandtabs(4) }}": "hi1a   b",
}


@pytest.mark.unstable_api
@pytest.mark.parametrize(("template", "text"), ORDINARY.items())
def test_ordinary_templates(template, text):
    assert rendered(template) == text


def test_a_type_error_stays_one():
    with pytest.raises(TypeError, match="can only concatenate str"):
        rendered("{{ 'a' + 1 }}")
    with pytest.raises(TypeError, match="can only concatenate str"):
        rendered("{% set a = 'a' + 1 %}")
