"""Chat templates within bounds: a template is a program of the model's author, and may try to make a text without end.

The sandbox of Jinja bounds neither the size of a text nor the time. Here the operations that can make a large value out
of small ones look at its size before they make it, and a clock stops the loops.
"""

from __future__ import annotations

from functools import cache, partial
from itertools import islice
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace

from sepo_data.errors import SepoError
from sepo_data.tokenization.bounded_code import BoundedCode
from sepo_data.tokenization.template_date import CLOCK, fixed_date, strftime_now
from sepo_data.tokenization.template_filters import BoundedFilters
from sepo_data.tokenization.template_format import bounded_format
from sepo_data.tokenization.template_sizes import (
    ELEMENT,
    GROWING,
    MOST_CHARACTERS,
    SHORT,
    TemplateTooLargeError,
    element_size,
    result_size,
    size_of_call,
    weight,
)
from sepo_data.tokenization.time_limit import OverTimeError, time_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from jinja2.runtime import Context
    from transformers import PreTrainedTokenizerBase

MOST_WORK = 1 << 30
"""Characters of all values that a template makes for one conversation."""

MOST_PIECES = 4 << 20
"""Pieces that a template prints for one conversation."""

SECONDS = 10.0
"""Of computing, for one call: a conversation takes milliseconds."""

SECONDS_EACH = 0.1
"""More of them for each conversation of a call."""

FEW = 16
"""Arguments of a call that are not worth counting."""

HOLDER = 2 * SHORT
"""Bytes of an object that a template makes to hold others, and for each of those."""


def apply_template(
    tokenizer: PreTrainedTokenizerBase,
    conversations: Any,  # noqa: ANN401 - as there
    nulls: bool = False,  # noqa: FBT001, FBT002 - no name, for a template may have a variable of any name
    /,
    **options: Any,  # noqa: ANN401 - as there
) -> Any:  # noqa: ANN401 - as there
    """As `tokenizer.apply_chat_template`, within the bounds of this module, and on the date of the tokenizer.

    Args:
        tokenizer: whose chat template is applied.
        conversations: one conversation or several.
        nulls: the template sees values that are null, which transformers leaves out; only for several conversations as
            text.
        options: of `apply_chat_template`, and variables for the template.

    Raises:
        TemplateTooLargeError: the template makes more than MOST_CHARACTERS for one conversation.
        SepoError: it computes for longer than the conversations may take, or the memory is full.
        Exception: the template raises it.
    """
    _bound_transformers()
    batch = bool(conversations) and not isinstance(conversations[0], dict)
    seconds = SECONDS + SECONDS_EACH * (len(conversations) if batch else 1)
    try:
        with time_limit(seconds), fixed_date(tokenizer):
            apply = partial(_apply_with_nulls, tokenizer) if nulls else tokenizer.apply_chat_template
            return apply(conversations, **options)
    except OverTimeError:
        raise SepoError(
            f"the chat template of {tokenizer.name_or_path} computes for more than {seconds:.0f} s",
            "a template takes milliseconds; give another one with --chat-template FILE",
        ) from None
    except MemoryError:
        raise SepoError(
            f"the chat template of {tokenizer.name_or_path} makes more than the memory holds",
            "give another one with --chat-template FILE",
        ) from None


def _apply_with_nulls(
    tokenizer: PreTrainedTokenizerBase,
    conversations: Any,  # noqa: ANN401 - as there
    *,
    tools: list[Any] | None,
    chat_template: str | None,
    tokenize: bool,  # noqa: ARG001 - False
    **options: Any,  # noqa: ANN401 - as there
) -> list[str]:
    """The part of `apply_chat_template` behind the place where it leaves out what is null."""
    from transformers.utils.chat_template_utils import render_jinja_template

    template = tokenizer.get_chat_template(chat_template, tools)
    variables = {**tokenizer.special_tokens_map, **options}
    rendered: Any = render_jinja_template(conversations, tools=tools, chat_template=template, **variables)
    texts: list[str] = rendered[0]
    return texts


@cache
def _bound_transformers() -> None:
    """Let transformers compile templates in this environment: it has no option for that."""
    from transformers.utils import chat_template_utils

    chat_template_utils.ImmutableSandboxedEnvironment = BoundedEnvironment  # type: ignore[attr-defined]
    chat_template_utils._compile_jinja_template.cache_clear()  # noqa: SLF001 - templates that were compiled without bounds


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox of transformers, whose operations raise a `TemplateTooLargeError` before they make too much."""

    code_generator_class = BoundedCode
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as there
        self._work = 0
        super().__init__(*args, finalize=self.bounded, **options)
        self.filters.pop("random", None)  # what is rendered twice has to be the same
        self.filters = BoundedFilters(self.filters, self)
        self.globals.pop("lipsum", None)

    def from_string(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as there
        """Compile a template, whose clock stands still."""
        self.globals[CLOCK] = strftime_now
        return super().from_string(*args, **options)

    def concat(self, parts: Iterable[str]) -> str:  # an attribute there
        """Join what a template, a macro or a block prints."""
        if isinstance(parts, GeneratorType):  # a whole template: the next conversation
            self._work = 0
            parts = list(islice(parts, MOST_PIECES + 1))
            if len(parts) > MOST_PIECES:
                raise TemplateTooLargeError
        else:
            parts = list(parts)
        self.count(sum(map(len, parts)))
        return "".join(parts)

    def joined(self, parts: tuple[object, ...]) -> str:
        """Join the operands of `~`."""
        return self.concat([str(self.bounded(part)) for part in parts])

    def bounded(self, value: object) -> object:
        """`value`, which is printed, unless its text would be too large."""
        if not isinstance(value, str):
            self.count(weight(value))
        elif len(value) > SHORT:
            self.count(len(value))
        return value

    def held(self, value: object) -> object:
        """`value`, a list or a dictionary that has just been made of others, unless they are too many."""
        self.count(weight(value, node=ELEMENT))
        return value

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401, ARG002
        """The result of an operator in the template."""
        short = isinstance(left, str) and isinstance(right, str) and len(left) <= SHORT and len(right) <= SHORT
        if operator != "+" or not short:
            self.count(result_size(operator, left, right))
        return self.binop_table[operator](left, right)

    def call(self, context: Context, function: Any, /, *args: Any, **named: Any) -> Any:  # noqa: ANN401 - as there
        """The result of a function or a method in the template."""
        if args or named:
            name = getattr(function, "__name__", "")
            owner = getattr(function, "__self__", None)
            if name == "get" and isinstance(owner, dict):  # a value that exists already
                return super().call(context, function, *args, **named)
            if name in GROWING and isinstance(owner, str | bytes | int):
                if name == "join":
                    args = tuple(map(self.listed, args))
                self.count(size_of_call(name, owner, args, named))
            if len(args) > FEW:
                self.work(len(args) * ELEMENT)
        result = super().call(context, function, *args, **named)
        kind = type(result)
        if kind is str:
            return result if len(result) <= SHORT else self.counted(result)
        if kind is dict:
            return self.held(result)  # `dict(a=x, b=x)` holds x twice
        if isinstance(result, _HOLDERS):
            self.work(HOLDER * (1 + len(args) + len(named)))
        elif kind is list or kind is tuple:
            owner = getattr(function, "__self__", None)
            self.work(len(owner) if isinstance(owner, str | bytes) else 0)  # `split` copies it
        return self.counted(result)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:  # noqa: ANN401 - as there
        """`value` within bounds if it is the method `format` or `format_map` of a text."""
        return None if super().wrap_str_format(value) is None else bounded_format(self, value)

    def counted(self, result: Any) -> Any:  # noqa: ANN401 - any value
        """`result`, a copy that has been made, unless there are too many of them."""
        if isinstance(result, str | bytes):
            if (size := len(result)) > SHORT:
                self._work += size
                if size > MOST_CHARACTERS or self._work > MOST_WORK:
                    raise TemplateTooLargeError
        elif isinstance(result, list | tuple | set | dict):
            self.work((1 + len(result)) * ELEMENT)
        return result

    def listed(self, value: Any) -> Any:  # noqa: ANN401 - any value
        """`value`, of which a list is about to be made; a list if it is an iterator."""
        if hasattr(value, "__len__") or not hasattr(value, "__iter__"):
            self.work(len(value) * ELEMENT if hasattr(value, "__len__") else 0)
            return value
        made: list[Any] = []
        rest = iter(value)
        while some := list(islice(rest, SHORT)):
            self.work(sum(map(element_size, some)))
            made += some
        return made

    def count(self, size: int) -> None:
        """Count a value of `size` characters."""
        if size > MOST_CHARACTERS:
            raise TemplateTooLargeError
        self.work(size)

    def work(self, size: int) -> None:
        """Count `size` characters, or bytes, of work."""
        self._work += size
        if self._work > MOST_WORK:
            raise TemplateTooLargeError


_HOLDERS = (Namespace, Cycler, Joiner)
