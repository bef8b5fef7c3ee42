"""Tool calls, descriptions of tools and chat template arguments, as the chat templates of transformers take them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from sepo_data.shapes.record import check_size, check_unicode, read_json
from sepo_data.shapes.skip_reasons import BadRow

if TYPE_CHECKING:
    from sepo_data.shapes.record import Record

T = TypeVar("T", list[Any], dict[str, Any])

DEEPEST = 50
"""Levels of nesting; what is deeper is nobody's tool."""


def tool_calls(value: object, place: str) -> list[Any]:
    """A list of `{type: function, function: {name, arguments}}`, arguments being an object wherever they are one."""
    calls = _plain(read_json(value, place) if isinstance(value, str) else value, place)
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise BadRow("wrong_type", f"{place} is no list of tool calls")
    return [_call(call) for call in calls]


def called(value: object, place: str) -> list[Any]:
    """The tool calls of a turn whose words are their JSON text: one call, or a list of them."""
    calls = read_json(value, place) if isinstance(value, str) else value
    return tool_calls(calls if isinstance(calls, list) else [calls], place)


def tools(record: Record) -> list[Any] | None:
    """The row's descriptions of tools: a list, or the JSON text of one."""
    return _side(record, "tools", list)


def template_kwargs(record: Record) -> dict[str, Any] | None:
    """What the row tells the chat template: an object, or the JSON text of one."""
    return _side(record, "chat_template_kwargs", dict)


def json_text(value: object) -> str:
    """How tool calls and side columns are written."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _side(record: Record, role: str, kind: type[T]) -> T | None:
    value = record.get(role)
    if isinstance(value, str):
        value = read_json(value, record.name(role)) if value.strip() else None
    if not value:
        return None
    if not isinstance(value, kind):
        raise BadRow("wrong_type", f"{record.name(role)} is {type(value).__name__}, not {kind.__name__}")
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
            return call  # words of a model that were no JSON stay what they are
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
    if depth > DEEPEST:
        raise BadRow("wrong_type", f"{place} is nested more than {DEEPEST} levels deep")
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        inside = {key: _without_nulls(inner, place, depth + 1) for key, inner in value.items()}
        return {key: inner for key, inner in inside.items() if inner is not None}
    if isinstance(value, list):
        return [_without_nulls(inner, place, depth + 1) for inner in value]
    if value is None or isinstance(value, str | int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise BadRow("wrong_type", f"{place} holds {type(value).__name__}, which JSON cannot say")
