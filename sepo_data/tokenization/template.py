"""A chat template with its variables, and the forms in which it may want messages."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sepo_data.shapes.tool_calls import arguments_text
from sepo_data.tokenization.message_parts import REASONING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from transformers import PreTrainedTokenizerBase

    from sepo_data.shapes.pairs import Message


@dataclass(frozen=True, slots=True)
class Form:
    """A form of messages that some chat templates want.

    Attributes:
        change: gives a message in this form.
        nulls: the template has to see contents that are null, which transformers leaves out.
        parts: contents are lists, which a template that takes them for texts prints as they are.
    """

    change: Callable[[Message], Message]
    nulls: bool = False
    parts: bool = False


@dataclass(frozen=True, slots=True)
class Template:
    """The chat template of a tokenizer, what it gets besides messages, and the form in which it gets these."""

    tokenizer: PreTrainedTokenizerBase
    tools: list[Any] | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    form: Form | None = None

    def __call__(self, conversations: Iterable[Sequence[Message]], *, generation: bool = False) -> list[str]:
        """Each conversation as text; with `generation`, the assistant's next turn is opened behind it.

        Raises:
            SepoError: the template exceeds its bounds.
            Exception: the template raises it.
        """
        from sepo_data.tokenization.bounded_template import apply_template  # jinja2

        form = self.form
        given = [messages if form is None else list(map(form.change, messages)) for messages in conversations]
        if not given:
            return []
        return apply_template(  # type: ignore[no-any-return]
            self.tokenizer,
            given,
            form is not None and form.nulls,
            tools=self.tools,
            chat_template=None,
            add_generation_prompt=generation,
            continue_final_message=False,
            tokenize=False,
            **self.variables,  # none of the names above can be among the variables of a row
        )

    def with_tools(self, tools: list[Any] | None) -> Template:
        """The same template, which gets other descriptions of tools."""
        return self if tools is self.tools else replace(self, tools=tools)


def added_texts(tokenizer: PreTrainedTokenizerBase) -> set[str]:
    """The texts of the tokens that were added to the vocabulary, such as those that open and end turns."""
    return {token.content for token in tokenizer.added_tokens_decoder.values()}


def forms_of(turns: Iterable[Message]) -> list[Form | None]:
    """The forms in which `turns` can be given to a template: as they were read, which is None, then the others."""
    turns = list(turns)
    return [None, *(form for form in OTHER_FORMS if any(form.change(turn) != turn for turn in turns))]


def _with_null(turn: Message) -> Message:
    """Content that is null beside a tool call, as the interfaces that make such turns write it."""
    return turn if turn.get("content") or not turn.get("tool_calls") else {**turn, "content": None}


def _with_text(turn: Message) -> Message:
    """Arguments of tool calls as JSON text."""
    calls = turn.get("tool_calls")
    return {**turn, "tool_calls": list(map(_call_with_text, calls))} if calls else turn


def _call_with_text(call: Mapping[str, Any]) -> Mapping[str, Any]:
    function = call.get("function")
    if not isinstance(function, dict) or "arguments" not in function:
        return call
    return {**call, "function": {**function, "arguments": arguments_text(function["arguments"])}}


def _with_reasoning(turn: Message) -> Message:
    """Reasoning under every key at which templates look for it."""
    found = next((turn[key] for key in REASONING if turn.get(key)), None)
    return turn if found is None else {**turn, **dict.fromkeys((*REASONING, "reasoning"), found)}


def _with_parts(turn: Message) -> Message:
    """Content as a list of parts, as models of text and images take it."""
    content = turn.get("content")
    return {**turn, "content": [{"type": "text", "text": content}]} if isinstance(content, str) else turn


OTHER_FORMS = (
    Form(_with_null, nulls=True),
    Form(_with_text),
    Form(lambda turn: _with_null(_with_text(turn)), nulls=True),
    Form(_with_parts, parts=True),
    Form(lambda turn: _with_parts(_with_text(turn)), parts=True),
    Form(_with_reasoning),
)
"""Forms that are tried, one after the other, where a template refuses messages as they were read or leaves a part out.

JSON text for arguments and null for no content are what most data have; `tool_calls` and `turns` made objects and empty
texts of them.
"""
