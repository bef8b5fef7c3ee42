"""The parts of messages that a rendering has to hold: contents, reasoning, names and arguments of tool calls, tools."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sepo_data.shapes.pairs import Message, Pair

REASONING = ("reasoning_content", "thinking")
"""The keys of a turn that hold its reasoning."""

SIDES = ("prompt", "chosen", "rejected")

Kind = Literal["content", "reasoning", "tool call", "arguments", "tool"]


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the messages of a pair.

    Attributes:
        side: prompt, chosen or rejected; tools are of the prompt.
        kind: what it is.
        turn: number of the turn, or of the tool.
        call: number of the tool call in the turn.
        role: who says it.
    """

    side: str
    kind: Kind
    turn: int
    call: int = 0
    role: str = ""

    def __str__(self) -> str:
        where = f"of the {self.role} turn {self.turn + 1}" if self.side == "prompt" else "of turn " + str(self.turn + 1)
        return f"tool {self.turn + 1}" if self.kind == "tool" else f"the {self.kind} {where} of {self.side}"


def parts_of(pair: Pair) -> Iterator[Part]:
    """The parts of a conversational pair.

    Reasoning in the prompt is none: most templates leave that of earlier turns out, by design.
    """
    for side in SIDES:
        for place, turn in enumerate(getattr(pair, side)):
            role = turn["role"]
            if (turn.get("content") or "").strip():
                yield Part(side, "content", place, role=role)
            if side != "prompt" and reasoning_of(turn):
                yield Part(side, "reasoning", place, role=role)
            for number, call in enumerate(turn.get("tool_calls") or ()):
                name, arguments = name_and_arguments(call)
                if name:
                    yield Part(side, "tool call", place, number, role)
                if arguments:
                    yield Part(side, "arguments", place, number, role)
    for place, tool in enumerate(pair.tools or ()):
        if tool_name(tool):
            yield Part("prompt", "tool", place)


def reasoning_of(turn: Message) -> tuple[str, ...]:
    return tuple(turn[key] for key in REASONING if (turn.get(key) or "").strip())


def name_and_arguments(call: Mapping[str, Any]) -> tuple[str, Any]:
    """The name and the arguments of a tool call, both empty where it has none."""
    function = call.get("function")
    if not isinstance(function, dict):
        return "", None
    name = function.get("name")
    return name if isinstance(name, str) else "", function.get("arguments")


def tool_name(tool: object) -> str:
    """The name of a described tool, empty where it has none."""
    function = tool.get("function", tool) if isinstance(tool, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    return name if isinstance(name, str) else ""


def value_of(pair: Pair, part: Part) -> Any:  # noqa: ANN401 - arguments are any JSON
    """The text, the texts or the arguments of a part."""
    if part.kind == "tool":
        return tool_name((pair.tools or [])[part.turn])
    turn = getattr(pair, part.side)[part.turn]
    if part.kind == "content":
        return turn["content"]
    if part.kind == "reasoning":
        return reasoning_of(turn)
    return name_and_arguments(turn["tool_calls"][part.call])[part.kind == "arguments"]


def with_marks(pair: Pair, marks: Mapping[Part, str]) -> Pair:
    """`pair` with a word in place of each of some parts."""
    sides: dict[str, list[Message]] = {side: list(getattr(pair, side)) for side in SIDES}
    tools = None if pair.tools is None else list(pair.tools)
    for part, mark in marks.items():
        if part.kind == "tool":
            tools = _with_name(tools or [], part.turn, mark)
        else:
            turns = sides[part.side]
            turns[part.turn] = _marked(turns[part.turn], part, mark)
    return replace(pair, prompt=sides["prompt"], chosen=sides["chosen"], rejected=sides["rejected"], tools=tools)


def _with_name(tools: Sequence[Any], place: int, name: str) -> list[Any]:
    tool = tools[place]
    named = {**tool, "function": {**tool["function"], "name": name}} if "function" in tool else {**tool, "name": name}
    return [*tools[:place], named, *tools[place + 1 :]]


def _marked(turn: Message, part: Part, mark: str) -> Message:
    if part.kind == "content":
        return {**turn, "content": mark}
    if part.kind == "reasoning":
        return {**turn, **{key: mark for key in REASONING if (turn.get(key) or "").strip()}}
    calls = list(turn["tool_calls"])
    function = calls[part.call]["function"]
    if part.kind == "tool call":
        changed: dict[str, Any] = {"name": mark}
    else:
        changed = {"arguments": {mark: mark} if isinstance(function["arguments"], dict) else mark}
    calls[part.call] = {**calls[part.call], "function": {**function, **changed}}
    return {**turn, "tool_calls": calls}
