"""Chat templates within bounds: a template is a program of the model's author, and may try to make a text without end.

The sandbox of Jinja bounds neither the size of a text nor the time. Here the operations that can make a large value out
of small ones look at its size before they make it, and a clock stops the loops.
"""

from __future__ import annotations

from functools import cache
from itertools import islice
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, optimizeconst
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sepo_data.errors import SepoError
from sepo_data.tokenization.template_sizes import (
    GROWING,
    MOST_CHARACTERS,
    TemplateTooLargeError,
    result_size,
    size_of_call,
    weight,
)
from sepo_data.tokenization.time_limit import OverTimeError, time_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from jinja2.compiler import Frame
    from jinja2.runtime import Context
    from transformers import PreTrainedTokenizerBase

MOST_WORK = 1 << 30
"""Characters of all values that a template makes for one conversation."""

MOST_PIECES = 4 << 20
"""Pieces that a template prints for one conversation."""

SHORT = 1000
"""Characters of a text that is not worth counting."""

MOST_TERMS = 30
"""Of a sum that is added up before its size is looked at."""

SECONDS = 10.0
"""Of computing, for one call: a conversation, or a batch of them, takes milliseconds."""


def apply_template(tokenizer: PreTrainedTokenizerBase, conversations: Any, /, **options: Any) -> Any:  # noqa: ANN401
    """As `tokenizer.apply_chat_template`, within the bounds of this module.

    Raises:
        TemplateTooLargeError: the template makes more than MOST_CHARACTERS for one conversation.
        SepoError: it computes for more than SECONDS.
        Exception: the template raises it.
    """
    _bound_transformers()
    try:
        with time_limit(SECONDS):
            return tokenizer.apply_chat_template(conversations, **options)
    except OverTimeError:
        raise SepoError(
            f"the chat template of {tokenizer.name_or_path} computes for more than {SECONDS:.0f} s",
            "a template takes milliseconds; give another one with --chat-template FILE",
        ) from None


@cache
def _bound_transformers() -> None:
    """Let transformers compile templates in this environment: it has no option for that."""
    from transformers.utils import chat_template_utils

    chat_template_utils.ImmutableSandboxedEnvironment = BoundedEnvironment  # type: ignore[attr-defined]
    chat_template_utils._compile_jinja_template.cache_clear()  # noqa: SLF001 - templates that were compiled without bounds


class _BoundedCode(CodeGenerator):
    """Compiles `a ~ b`, `[a, b]`, `(a, b)` and `{a: b}` to calls of the environment, as the other operators are.

    What templates mostly do keeps its speed: a sum that is printed is looked at once, after all its terms, and a
    variable that is printed is not looked at again.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as there
        super().__init__(*args, **options)
        self._printed_sums: set[int] = set()

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:  # noqa: N802 - the name of the node
        for child in node.nodes:
            self._printed_sums.update(_sums(child))
        super().visit_Output(node, frame)

    def visit_Add(self, node: nodes.BinExpr, frame: Frame) -> None:  # noqa: N802 - the name of the node
        if id(node) not in self._printed_sums:
            super().visit_Add(node, frame)
            return
        self.write("(")
        self.visit(node.left, frame)
        self.write(" + ")
        self.visit(node.right, frame)
        self.write(")")

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:  # noqa: ANN401 - of Jinja
        super()._output_child_pre(node, frame, _AS_IT_IS if _is_variable(node) else finalize)

    def _output_child_post(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:  # noqa: ANN401 - of Jinja
        super()._output_child_post(node, frame, _AS_IT_IS if _is_variable(node) else finalize)

    @optimizeconst
    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802 - the name of the node
        self.write(f"{'str_join' if id(node) in self._printed_sums else 'environment.joined'}((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def visit_List(self, node: nodes.List, frame: Frame) -> None:  # noqa: N802 - the name of the node
        self._visit_weighed(super().visit_List, node, frame)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:  # noqa: N802 - the name of the node
        self._visit_weighed(super().visit_Dict, node, frame)

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:  # noqa: N802 - the name of the node
        if node.ctx == "load":
            self._visit_weighed(super().visit_Tuple, node, frame)
        else:
            super().visit_Tuple(node, frame)

    def _visit_weighed(self, visit: Callable[[Any, Frame], None], node: nodes.Expr, frame: Frame) -> None:
        """A list that holds another one twice, and is held twice, and so on, soon has no end for who compares it."""
        self.write("environment.bounded(")
        visit(node, frame)
        self.write(")")


_AS_IT_IS = CodeGenerator._FinalizeInfo(None, None)  # noqa: SLF001 - the class is to be extended


def _sums(node: nodes.Node) -> list[int]:
    """The ids of the operations of a printed sum of at most MOST_TERMS terms: `a + b`, `a ~ b`."""
    found: list[int] = []
    while isinstance(node, nodes.Add) and len(found) < MOST_TERMS:
        found.append(id(node))
        node = node.left
    if isinstance(node, nodes.Concat) and len(found) + len(node.nodes) <= MOST_TERMS:
        found.append(id(node))
    return found


def _is_variable(node: nodes.Node) -> bool:
    """True for `a`, `a.b` and `a["b"]`: values that exist already."""
    by_name = isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str)
    return isinstance(node, nodes.Name | nodes.Getattr) or by_name


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """The sandbox of transformers, whose operations raise a `TemplateTooLargeError` before they make too much."""

    code_generator_class = _BoundedCode
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401 - as there
        self._work = 0
        super().__init__(*args, finalize=self.bounded, **options)
        self.filters = _BoundedFilters(self.filters)
        self.globals.pop("lipsum", None)

    def concat(self, parts: Iterable[str]) -> str:  # an attribute there
        """Join what a template, a macro or a block prints."""
        if isinstance(parts, GeneratorType):  # a whole template: the next conversation
            self._work = 0
            parts = list(islice(parts, MOST_PIECES + 1))
            if len(parts) > MOST_PIECES:
                raise TemplateTooLargeError
        else:
            parts = list(parts)
        self._count(sum(map(len, parts)))
        return "".join(parts)

    def joined(self, parts: tuple[object, ...]) -> str:
        """Join the operands of `~`."""
        return self.concat([str(self.bounded(part)) for part in parts])

    def bounded(self, value: object) -> object:
        """`value`, which is printed or put into a list, unless its text would be too large."""
        if not isinstance(value, str):
            self._count(weight(value))
        elif len(value) > SHORT:
            self._count(len(value))
        return value

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:  # noqa: ANN401, ARG002
        """The result of an operator in the template."""
        short = isinstance(left, str) and isinstance(right, str) and len(left) <= SHORT and len(right) <= SHORT
        if operator != "+" or not short:
            self._count(result_size(operator, left, right))
        return self.binop_table[operator](left, right)

    def call(self, context: Context, function: Any, /, *args: Any, **named: Any) -> Any:  # noqa: ANN401 - as there
        """The result of a function or a method in the template."""
        if (args or named) and (name := getattr(function, "__name__", "")) in GROWING:
            owner = getattr(getattr(function, "__wrapped__", function), "__self__", None)  # the sandbox wraps `format`
            if name == "join":
                args = (list(args[0]),)
            if isinstance(owner, str | bytes | int):
                self._count(size_of_call(name, owner, args, named))
        result = super().call(context, function, *args, **named)
        return self.bounded(result) if type(result) is dict else result  # `dict(a=x, b=x)` holds x twice

    def _count(self, size: int) -> None:
        self._work += size
        if size > MOST_CHARACTERS or self._work > MOST_WORK:
            raise TemplateTooLargeError


class _BoundedFilters(dict[str, "Callable[..., Any]"]):
    """Filters, those that make a large value of a small one within bounds; also those that are set later."""

    def __init__(self, filters: Mapping[str, Callable[..., Any]]) -> None:
        super().__init__()
        for name, function in filters.items():
            self[name] = function

    def __setitem__(self, name: str, function: Callable[..., Any]) -> None:
        super().__setitem__(name, _bounded(name, function) if name in GROWING else function)


def _bounded(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    passed = getattr(function, "jinja_pass_arg", None)  # the environment or a context comes first

    def bounded(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - any filter
        first, (value, *rest) = (args[:1], args[1:]) if passed else ((), args)
        if name in {"join", "sum"} and not isinstance(value, str | dict):
            value = list(value)
        if size_of_call(name, value, rest, named) > MOST_CHARACTERS:
            raise TemplateTooLargeError
        return function(*first, value, *rest, **named)

    if passed:
        bounded.jinja_pass_arg = passed  # type: ignore[attr-defined]
    return bounded
