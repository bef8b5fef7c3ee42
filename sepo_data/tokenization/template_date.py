"""The date that a chat template prints: a day that is fixed for a run, so that outputs do not depend on the clock."""

from __future__ import annotations

import re
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import date, datetime, time
from typing import TYPE_CHECKING

from sepo_data.errors import SepoError

if TYPE_CHECKING:
    from collections.abc import Generator

    from transformers import PreTrainedTokenizerBase

CLOCK = "strftime_now"
"""The function that transformers gives a template; the only clock that one can reach."""

OPTION = "template_date"
"""Its key in the options of a manifest; there only where a template prints a date."""

FORM = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)

_TODAY: ContextVar[date | None] = ContextVar(OPTION, default=None)


def read_template_date(text: str) -> date:
    """The date of `YYYY-MM-DD`.

    Raises:
        SepoError: `text` is none.
    """
    try:
        if FORM.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise SepoError(f"the template date {text!r} is not a date", "write it as YYYY-MM-DD, such as 2024-07-26")


def today() -> str:
    """The day it is here, as YYYY-MM-DD."""
    return date.today().isoformat()  # noqa: DTZ011 - local, as a template has it


def set_template_date(tokenizer: PreTrainedTokenizerBase, text: str | None = None) -> None:
    """Let the chat template of `tokenizer` take the date `text`, of the form YYYY-MM-DD, for today; by default today.

    Raises:
        SepoError: `text` is no date.
    """
    tokenizer.sepo_template_date = date.today() if text is None else read_template_date(text)  # noqa: DTZ011 - local


def template_date(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The date that the chat template of `tokenizer` takes for today; None if its text does not depend on the date."""
    if not uses_date(tokenizer):
        return None
    return _date_of(tokenizer).isoformat()


def uses_date(tokenizer: PreTrainedTokenizerBase) -> bool:
    """True if the chat template of `tokenizer`, or one of several, asks for the date."""
    template = tokenizer.chat_template
    texts = template.values() if isinstance(template, dict) else [template or ""]
    return any(CLOCK in text for text in texts)


@contextmanager
def fixed_date(tokenizer: PreTrainedTokenizerBase) -> Generator[None]:
    """Let templates take the date of `tokenizer` for today."""
    token = _TODAY.set(_date_of(tokenizer))
    try:
        yield
    finally:
        _TODAY.reset(token)


def strftime_now(form: str) -> str:
    """The first minute of that day in the form `form`; what a template gets for the clock."""
    return datetime.combine(_TODAY.get() or date.today(), time()).strftime(form)  # noqa: DTZ011 - local, as there


def _date_of(tokenizer: PreTrainedTokenizerBase) -> date:
    found: date | None = getattr(tokenizer, "sepo_template_date", None)
    return found or date.today()  # noqa: DTZ011 - local
