"""Chat templates that try to make a text without end, and ordinary ones, which render as before."""

import threading
import time
from contextlib import contextmanager

import pytest
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from sepo_data.errors import SepoError
from sepo_data.shapes.pairs import Pair, SkippedRow
from sepo_data.tokenization import bounded_template
from sepo_data.tokenization.bounded_template import apply_template
from sepo_data.tokenization.chat_template import MOST_ALIKE, render_pairs
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
    "old and new by name": "{{ ('a' * 1000000)|replace(new='b' * 1000000, old='a') }}",
    "indent of other lines": "{{ ('a\r' * 100000)|indent(10000, true) }}",
    "indent by a text": "{{ ('a\n' * 100000)|indent('a' * 10000, true) }}",
    "JSON indented by a text": "{{ ([1] * 100000)|tojson(indent='a' * 10000) }}",
    "JSON with long separators": "{{ ([1] * 100000)|tojson(separators=('a' * 10000, ':')) }}",
    "links": "{{ ('http://a.b ' * 100000)|urlize(target='a' * 10000) }}",
    "wrapped by a text": "{{ ('a ' * 100000)|wordwrap(2, wrapstring='a' * 10000) }}",
    "translation by a list": "{{ ('\t' * 100000).translate(['b' * 10000] * 50) }}",
    "pprint": "{{ {'k' * 1000000: [1] * 1000}|pprint }}",
    "width of format in a list": "{{ '{0:{1[0]}}'.format('a', [10**9]) }}",
    "width of format as a text": "{{ '{:{}}'.format('a', '1000000000') }}",
    "width of format_map": "{{ '{a:{b}}'.format_map({'a': 1, 'b': 10**9}) }}",
    "fields of format": "{{ ('{0}' * 1000000).format('a' * 1000000) }}",
    "fields of a filter": "{{ ('%(a)s' * 1000000)|format(a='a' * 1000000) }}",
    "keys with brackets": "{{ '%((a))9999999999d' % {'(a)': 1} }}",
    "values": doubled("{% set n.s = {'a': n.s, 'b': n.s}.values() %}"),
    "bytes": "{{ ('ab' * 8000000).encode('utf-32')|length }}",
    "numbers": "{{ [2**4000] * 100000 }}",
    "kept many times": "{% set a = 'a' * 10000000 %}{% set n = namespace(l=[]) %}"
    "{% for i in range(99999) %}{% set n.l = n.l + [a[1:]] %}{% endfor %}",
}


KEPT = {
    "list": "x|list",
    "list of batches": "x|batch(1)|list",
    "sorted": "x|sort",
    "slice": "x[1:]",
    "encoded": "x.encode('utf-32')",
    "upper": "x|upper",
    "upper, a method": "x.upper()",
    "title": "x|title",
    "trim": "(x ~ ' ')|trim",
    "reverse": "x|reverse",
    "mapped": "x|map('upper')|list",
    "split": "x.split('b')",
    "range": "range(99999)|list",
    "block": "x ~ 'a'",
    "varargs": "f(*x)",
}


@pytest.mark.parametrize("value", KEPT.values(), ids=KEPT)
def test_a_template_that_keeps_too_much(monkeypatch, value):
    monkeypatch.setattr(bounded_template, "MOST_WORK", 1 << 24)
    template = (
        "{% set n = namespace(k=none) %}{% macro f() %}{% set n.k = namespace(a=n.k, b=varargs) %}{% endmacro %}"
        "{% set x = 'ab' * 100000 %}"
        f"{{% for i in range(400) %}}{{% set n.k = namespace(a=n.k, b={value}) %}}{{% endfor %}}"
    )
    with pytest.raises(TemplateTooLargeError):
        rendered(template)


def test_small_objects_that_hold_each_other(monkeypatch):
    monkeypatch.setattr(bounded_template, "MOST_WORK", 1 << 24)
    for made in ("namespace(a=n.k)", "cycler(n.k)", "joiner(n.k)"):
        with pytest.raises(TemplateTooLargeError):
            rendered(
                "{% set n = namespace() %}{% for i in range(99999) %}{% set n.k = " + made + " %}{% endfor %}",
            )


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


def pairs_of(count):
    return [
        Pair(row, CONVERSATION, *([{"role": "assistant", "content": text}] for text in ("a", "b")))
        for row in range(count)
    ]


def test_a_full_memory_ends_the_command(monkeypatch):
    def full(*_args, **_options):
        raise MemoryError

    tokenizer = tokenizer_of("{{ messages }}")
    monkeypatch.setattr(tokenizer, "apply_chat_template", full)
    with pytest.raises(SepoError, match="more than the memory holds"):
        render_pairs(pairs_of(2), tokenizer)


def test_the_time_limit_grows_with_the_conversations(monkeypatch):
    allowed, sizes = [], []

    @contextmanager
    def noted(seconds):
        allowed.append(seconds)
        yield

    tokenizer = tokenizer_of("{% for m in messages %}{{ m.content }}{% endfor %}")
    apply = tokenizer.apply_chat_template
    monkeypatch.setattr(bounded_template, "time_limit", noted)
    monkeypatch.setattr(
        tokenizer,
        "apply_chat_template",
        lambda given, **options: (sizes.append(len(given)), apply(given, **options))[1],
    )
    rows = render_pairs(pairs_of(2 * MOST_ALIKE + 1), tokenizer)
    assert [row.pair.source_row for row in rows] == list(range(2 * MOST_ALIKE + 1))
    # Between the pairs: what the template has a place for, twice, and how a turn ends.
    assert sizes == [2, 2 * MOST_ALIKE, MOST_ALIKE, 3, 1, 2 * MOST_ALIKE, MOST_ALIKE, 2, 1]
    assert allowed == pytest.approx([10 + 0.1 * size for size in sizes])


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
