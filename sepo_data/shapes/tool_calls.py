"""Tool calls, descriptions of tools and chat template arguments, as the chat templates of transformers take them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from sepo_data.shapes.pairs import json_text
from sepo_data.shapes.record import check_size, check_unicode, objects_of, read_written
from sepo_data.shapes.skip_reasons import SkipRow

if TYPE_CHECKING:
    from sepo_data.shapes.record import Record

T = TypeVar("T", list[Any], dict[str, Any])

MAX_DEPTH = 50
"""Levels of nesting in a tool or a tool call; deeper values are refused."""


class WrittenArguments(dict[str, Any]):
    """The arguments of a tool call that the data have as JSON text, with that `text`: some chat templates print it."""

    def __init__(self, arguments: dict[str, Any], text: str) -> None:
        super().__init__(arguments)
        self.text = text


def arguments_text(arguments: object) -> str:
    """The arguments of a tool call as JSON text: that of the data, where they have one."""
    if isinstance(arguments, str):
        return arguments
    written = getattr(arguments, "text", None)
    return str(written) if written is not None else json.dumps(arguments, ensure_ascii=False)


def tool_calls(value: object, place: str) -> list[Any]:
    """A list of `{type: function, function: {name, arguments}}`, with arguments as an object if their text is one."""
    calls = _plain(read_written(value, place) if isinstance(value, str) else value, place)
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise SkipRow("wrong_type", f"{place} is no list of tool calls")
    return [_call(call) for call in calls]


def called(value: object, place: str) -> list[Any]:
    """The tool calls of a turn whose content is their JSON text: one call, or a list of them."""
    calls = read_written(value, place) if isinstance(value, str) else value
    return tool_calls(calls if isinstance(calls, list) else [calls], place)


def tools(record: Record) -> list[Any] | None:
    """The row's descriptions of tools: a list or a single one, or JSON text of these, also of each in the list."""
    value, place = _side(record, "tools")
    if isinstance(value, Mapping) and value.keys() & {"name", "function", "type"}:
        value = objects_of(value, place) if isinstance(next(iter(value.values())), list) else [value]
    if isinstance(value, list):
        value = [_parsed(tool, f"{place}[{number}]") for number, tool in enumerate(value)]
        if any(not isinstance(tool, Mapping) for tool in value):
            raise SkipRow("wrong_type", f"{place} is no list of descriptions of tools")
    return _plain_side(value, place, list)


def template_kwargs(record: Record) -> dict[str, Any] | None:
    """The row's variables for the chat template: an object, or the JSON text of one."""
    return _plain_side(*_side(record, "chat_template_kwargs"), dict)


def _side(record: Record, role: str) -> tuple[object, str]:
    """The value of a column beside the text, and its name."""
    place = record.names.get(role, role)
    return _parsed(record.get(role), place), place


def _parsed(value: object, place: str) -> object:
    """The value of a text; None of an empty one."""
    if not isinstance(value, str):
        return value
    return read_written(value, place) if value.strip() else None


def _plain_side(value: object, place: str, kind: type[T]) -> T | None:
    if not value:
        return None
    if not isinstance(value, kind):
        raise SkipRow("wrong_type", f"{place} is {type(value).__name__}, not {kind.__name__}")
    plain: T = _plain(value, place)
    return plain


def _call(call: dict[str, Any]) -> dict[str, Any]:
    if "function" not in call and "name" in call:
        call = {"type": "function", "function": call}
    function = call.get("function")
    if isinstance(function, dict) and isinstance(arguments := function.get("arguments"), str):
        try:
            read = json.loads(arguments)
        except (ValueError, RecursionError):
            return call  # arguments of a model that are no JSON stay text
        if isinstance(read, dict):
            return call | {"function": function | {"arguments": WrittenArguments(read, arguments)}}
    return call


def _plain(value: object, place: str) -> Any:  # noqa: ANN401 - JSON
    """`value` as JSON, without the nulls with which Arrow fills up objects whose keys differ."""
    plain = _without_nulls(value, place, 0)
    check_unicode(plain, place)
    check_size(len(json_text(plain)), place)
    return plain


def _without_nulls(value: object, place: str, depth: int) -> object:
    if depth > MAX_DEPTH:
        raise SkipRow("wrong_type", f"{place} is nested more than {MAX_DEPTH} levels deep")
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        inside = {key: _without_nulls(inner, place, depth + 1) for key, inner in value.items()}
        return {key: inner for key, inner in inside.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner, place, depth + 1) for inner in value]
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise SkipRow("wrong_type", f"{place} holds {type(value).__name__}, which JSON cannot hold")
