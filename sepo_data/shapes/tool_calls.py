"""Tool calls, descriptions of tools and chat template arguments, as the chat templates of transformers take them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from sepo_data.shapes.record import check_size, check_unicode, read_json
from sepo_data.shapes.skip_reasons import SkipRow

if TYPE_CHECKING:
    from sepo_data.shapes.record import Record

T = TypeVar("T", list[Any], dict[str, Any])

MAX_DEPTH = 50
"""Levels of nesting in a tool or a tool call; deeper values are refused."""


def tool_calls(value: object, place: str) -> list[Any]:
    """A list of `{type: function, function: {name, arguments}}`, with arguments as an object if their text is one."""
    calls = _plain(read_json(value, place) if isinstance(value, str) else value, place)
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise SkipRow("wrong_type", f"{place} is no list of tool calls")
    return [_call(call) for call in calls]


def called(value: object, place: str) -> list[Any]:
    """The tool calls of a turn whose content is their JSON text: one call, or a list of them."""
    calls = read_json(value, place) if isinstance(value, str) else value
    return tool_calls(calls if isinstance(calls, list) else [calls], place)


def tools(record: Record) -> list[Any] | None:
    """The row's descriptions of tools: a list, or the JSON text of one."""
    return _side(record, "tools", list)


def template_kwargs(record: Record) -> dict[str, Any] | None:
    """The row's variables for the chat template: an object, or the JSON text of one."""
    return _side(record, "chat_template_kwargs", dict)


def json_text(value: object) -> str:
    """JSON text as tool calls and side columns are stored."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _side(record: Record, role: str, kind: type[T]) -> T | None:
    value = record.get(role)
    if isinstance(value, str):
        value = read_json(value, record.name(role)) if value.strip() else None
    if not value:
        return None
    if not isinstance(value, kind):
        raise SkipRow("wrong_type", f"{record.name(role)} is {type(value).__name__}, not {kind.__name__}")
    plain: T = _plain(value, record.name(role))
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
            return call | {"function": function | {"arguments": read}}
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
