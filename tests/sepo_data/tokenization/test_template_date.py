"""A template that prints the date prints that of the run, whichever day it is."""

import copy
import pickle

import pytest

from sepo_data.errors import SepoError
from sepo_data.shapes.pairs import Pair
from sepo_data.tokenization import template_date
from sepo_data.tokenization.bounded_template import apply_template
from sepo_data.tokenization.tokenize import tokenize_pairs
from tests.conftest import tiny_tokenizer

CHATML = tiny_tokenizer().chat_template
DATED = "{% set day = strftime_now('%d %b %Y %H:%M') %}Today: {{ day }}\n" + CHATML
IN_MACRO = "{% macro day() %}{{ strftime_now('%Y') }}{% endmacro %}{{ day() }}" + CHATML
ASKED = [{"role": "user", "content": "Hi"}]


def tokenizer_of(template, date=None):
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    template_date.set_template_date(tokenizer, date)
    return tokenizer


@pytest.mark.unstable_api
def test_the_date_stays_while_days_pass(on_day):
    on_day("2024-02-29")
    tokenizer = tokenizer_of(DATED)
    on_day("2024-03-01")
    for copied in (tokenizer, copy.deepcopy(tokenizer), pickle.loads(pickle.dumps(tokenizer))):  # noqa: S301 - ours
        assert apply_template(copied, ASKED, tokenize=False).startswith("Today: 29 Feb 2024 00:00\n")
        assert template_date.template_date(copied) == "2024-02-29"
    assert template_date.template_date(tokenizer_of(DATED)) == "2024-03-01"


@pytest.mark.parametrize("template", [DATED, IN_MACRO, {"default": CHATML, "tool_use": DATED}])
def test_templates_that_ask_for_the_date(template):
    assert template_date.template_date(tokenizer_of(template, "2020-01-02")) == "2020-01-02"


@pytest.mark.parametrize("template", [CHATML, None, {"default": CHATML}])
def test_templates_that_do_not(template):
    assert template_date.template_date(tokenizer_of(template, "2020-01-02")) is None


def test_two_tokenizers_with_one_template_have_a_date_each():
    first, second = tokenizer_of(IN_MACRO, "2001-01-01"), tokenizer_of(IN_MACRO, "2002-02-02")
    texts = [apply_template(tokenizer, ASKED, tokenize=False)[:4] for tokenizer in (first, second, first)]
    assert texts == ["2001", "2002", "2001"]


def test_pairs_have_the_date():
    turns = [[{"role": "assistant", "content": text}] for text in ("yes", "no")]
    tokenizer = tokenizer_of(DATED, "2001-01-01")
    [item] = tokenize_pairs([Pair(0, ASKED, *turns)], tokenizer, max_length=1000)
    assert tokenizer.decode(item.prompt_ids).startswith("Today: 01 Jan 2001 00:00\n")


def test_chance_is_no_more_than_the_day_part_of_a_template():
    with pytest.raises(Exception, match="No filter named 'random'"):
        apply_template(tokenizer_of("{{ [1, 2] | random }}" + CHATML), ASKED, tokenize=False)


@pytest.mark.parametrize("text", ["", "today", "2024-13-01", "2024-1-1", "20240101", "2024-01-01T00:00", "2024-W01-1"])
def test_what_is_no_date(text):
    with pytest.raises(SepoError, match="is not a date") as caught:
        template_date.set_template_date(tiny_tokenizer(), text)
    assert "YYYY-MM-DD" in caught.value.hint
