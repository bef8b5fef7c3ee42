"""The `str.format` of chat templates, within bounds: each field is looked at when its width is known."""

from __future__ import annotations

import re
from functools import update_wrapper
from typing import TYPE_CHECKING, Any

from jinja2.sandbox import SandboxedEscapeFormatter, SandboxedFormatter

from sepo_data.tokenization.template_sizes import MOST_CHARACTERS, TemplateTooLargeError, weight

if TYPE_CHECKING:
    from collections.abc import Callable

    from jinja2 import Environment


class _BoundedFormatter(SandboxedFormatter):
    _made = 0

    def convert_field(self, value: Any, conversion: Any) -> Any:  # noqa: ANN401 - as there
        if conversion is not None:
            self._count(weight(value))
        return super().convert_field(value, conversion)

    def format_field(self, value: Any, format_spec: str) -> Any:  # noqa: ANN401 - as there
        self._count(sum(int(digits.lstrip("0")[:12] or 0) for digits in re.findall(r"[0-9]+", format_spec)))
        self._count(weight(value))
        return super().format_field(value, format_spec)

    def _count(self, size: int) -> None:
        self._made += size
        if self._made > MOST_CHARACTERS:
            raise TemplateTooLargeError


class _BoundedEscapeFormatter(_BoundedFormatter, SandboxedEscapeFormatter):
    pass


def bounded_format(environment: Environment, method: Any) -> Callable[..., str]:  # noqa: ANN401 - a method of a text
    """The method `format` or `format_map` of a text, as the sandbox has it, within bounds."""
    text = method.__self__

    def bounded(*args: Any, **named: Any) -> str:  # noqa: ANN401 - any values
        escape = {"escape": text.escape} if hasattr(text, "escape") else {}  # of text that is marked as safe
        formatter = (_BoundedEscapeFormatter if escape else _BoundedFormatter)(environment, **escape)
        if method.__name__ == "format_map":
            if named:
                raise TypeError("format_map() takes no keyword arguments")
            [named], args = args, ()
        made: str = type(text)(formatter.vformat(text, args, named))
        return made

    return update_wrapper(bounded, method)
