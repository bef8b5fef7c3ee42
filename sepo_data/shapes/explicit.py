"""Shapes of a prompt and two responses, in columns of their own."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from sepo_data.shapes.columns import ANSWER
from sepo_data.shapes.messages import answer, assistant, is_turn, shared_turns, speaker, turns, user
from sepo_data.shapes.prompts import Prompt, end_in_answer, prompts, reads_history, whole_dialogues
from sepo_data.shapes.registry import shape
from sepo_data.shapes.shape import Parts, Shape
from sepo_data.shapes.skip_reasons import SkipRow
from sepo_data.shapes.value_types import both_begin_with, mostly
from sepo_data.shapes.written import may_be_written

if TYPE_CHECKING:
    from sepo_data.shapes.columns import Columns
    from sepo_data.shapes.record import Record


@shape(
    "explicit strings",
    tier=1,
    meaning="Taken as they are, without a chat template: BOS where the tokenizer adds one by itself, EOS after each"
    " complete response. Where both responses begin with the prompt in most rows, it is not doubled.",
    example={"prompt": "The sky is", "chosen": " blue.", "rejected": " green."},
)
def explicit_strings(columns: Columns) -> list[Shape]:
    """TRL's standard format."""
    roles = ("prompt", "chosen", "rejected")
    if not columns.are("string", *roles) or _need_template(columns):
        return []
    prompt, chosen, rejected = (columns.names[role] for role in roles)
    if both_begin_with(columns.values(*roles)):
        meaning = f"{prompt} is a string that {chosen} and {rejected} repeat before the response."
        read = _strings_that_repeat
    else:
        meaning = f"{prompt}, {chosen} and {rejected} are strings, taken as they are."
        read = _strings
    return [Shape("explicit strings", meaning, columns.only(roles), read, conversational=False)]


def _need_template(columns: Columns) -> bool:
    """True if columns beside the strings have to reach a chat template."""
    sides = [value for role in columns.only(("tools", "chat_template_kwargs")) for (value,) in columns.values(role)]
    needed = any(may_be_written(value) if isinstance(value, str) else value for value in sides)
    return needed or bool(columns.names.keys() & {"system", "prefill"}) or reads_history(columns)


@shape(
    "dialogues with prompt",
    tier=1,
    meaning="As UltraFeedback-binarized has it: the prompt column repeats a turn of both dialogues.",
    example={
        "prompt": "What colour is the sky?",
        "chosen": [user("What colour is the sky?"), assistant("Blue.")],
        "rejected": [user("What colour is the sky?"), assistant("Green.")],
    },
)
def dialogues_with_prompt(columns: Columns) -> list[Shape]:
    """UltraFeedback-binarized: the prompt column only repeats a turn of both dialogues."""
    if not whole_dialogues(columns, "chosen", "rejected"):
        return []
    for role in ("prompt", "question", "instruction"):
        if columns.are("string", role) and mostly(_has_user_turn(*values) for values in columns.values(role, "chosen")):
            prompt, chosen, rejected = (columns.names[each] for each in (role, "chosen", "rejected"))
            meaning = (
                f"{chosen} and {rejected} are whole dialogues; the prompt is the turns that both share,"
                f" and {prompt} is one of them."
            )
            roles = columns.only((role, "chosen", "rejected"))
            return [Shape("dialogues with prompt", meaning, roles, partial(_dialogues, role))]
    return []


@shape(
    "explicit messages",
    tier=2,
    meaning="TRL's conversational shape. `chosen` and `rejected` may also be strings or single turns.",
    example={
        "prompt": [user("What colour is the sky?")],
        "chosen": [assistant("Blue.")],
        "rejected": [assistant("Green.")],
    },
)
@shape(
    "system and prompt",
    tier=2,
    example={
        "system": "Answer in one word.",
        "prompt": "What colour is the sky?",
        "chosen": "Blue.",
        "rejected": "Green.",
    },
)
@shape(
    "prompt string and messages",
    tier=2,
    example={
        "prompt": "What colour is the sky?",
        "chosen": [assistant("Blue.")],
        "rejected": [assistant("Green.")],
    },
)
@shape("question", tier=2, example={"question": "What colour is the sky?", "chosen": "Blue.", "rejected": "Green."})
@shape(
    "alpaca",
    tier=2,
    example={"instruction": "Name the colour.", "input": "the sky", "chosen": "Blue.", "rejected": "Green."},
)
@shape(
    "sharegpt",
    tier=2,
    example={
        "conversations": [{"from": "human", "value": "What colour is the sky?"}],
        "chosen": {"from": "gpt", "value": "Blue."},
        "rejected": {"from": "gpt", "value": "Green."},
    },
)
def conversations(columns: Columns) -> list[Shape]:
    """A prompt of any kind, then the assistant's answers; named after the prompt."""
    if not columns.are(ANSWER, "chosen", "rejected"):
        return []
    return [
        _conversation(columns, prompt)
        for prompt in prompts(columns)
        if columns.kinds[prompt.roles[0]] == "turns" or not whole_dialogues(columns, "chosen", "rejected")
    ]


@shape(
    "swift",
    tier=2,
    meaning="ms-swift's: a dialogue that ends in the chosen response, which is all that follows the last user turn."
    " A row is skipped where that holds the answer of a tool: its words are not the model's. Also with"
    " `rejected_messages`, a complete dialogue.",
    example={
        "messages": [user("What colour is the sky?"), assistant("Blue.")],
        "rejected_response": "Green.",
    },
)
def swift(columns: Columns) -> list[Shape]:
    """ms-swift: a dialogue that ends in the chosen response, and the rejected one beside it."""
    besides = columns.names.get("chosen", "response") != "response" and "messages" not in columns.said
    if besides or not columns.are("turns", "messages"):
        return []
    messages = columns.names["messages"]
    if columns.are("turns", "rejected_messages"):
        other = columns.names["rejected_messages"]
        meaning = f"{messages} and {other} are whole dialogues; the prompt is the turns that both share."
        return [Shape("swift", meaning, columns.only(("messages", "rejected_messages")), _two_dialogues)]
    if not columns.are(ANSWER, "rejected") or not end_in_answer(columns):
        return []
    rejected = columns.names["rejected"]
    meaning = (
        f"{messages} is a dialogue that ends, after the last user turn, in what is chosen; {rejected} is rejected."
    )
    return [Shape("swift", meaning, columns.only(("messages", "rejected")), _dialogue_and_rejected)]


def _strings(record: Record) -> list[Parts]:
    return [(record.text("prompt"), record.text("chosen"), record.text("rejected"))]


def _strings_that_repeat(record: Record) -> list[Parts]:
    prompt = record.text("prompt")
    return [(prompt, _without(prompt, record, "chosen"), _without(prompt, record, "rejected"))]


def _without(prompt: str, record: Record, side: str) -> str:
    response = record.text(side)
    if not response.startswith(prompt):
        raise SkipRow("prompt_mismatch", f"{record.name(side)} does not begin with the prompt")
    return response[len(prompt) :]


def _has_user_turn(asked: object, dialogue: object) -> bool:
    """True if a user's turn of the dialogue is the text of the prompt column."""
    found = dialogue if isinstance(dialogue, list) else []
    said = (turn.get("content") or turn.get("value") for turn in found if is_turn(turn) and speaker(turn) == "user")
    return isinstance(asked, str) and any(isinstance(words, str) and words.strip() == asked.strip() for words in said)


def _dialogues(role: str, record: Record) -> list[Parts]:
    """The turns that both share, one of which is the prompt column; where that is empty, they are the only prompt."""
    asked = "" if record.get(role) is None else record.text(role).strip()
    prompt, chosen, rejected = shared_turns(turns(record, "chosen"), turns(record, "rejected"))
    if asked and not any(turn["role"] == "user" and turn["content"].strip() == asked for turn in prompt):
        raise SkipRow("prompt_mismatch", f"no user turn before the responses is {record.name(role)}")
    return [(prompt, chosen, rejected)]


def _conversation(columns: Columns, prompt: Prompt) -> Shape:
    chosen, rejected = columns.names["chosen"], columns.names["rejected"]
    strings = columns.are("string", "chosen", "rejected")
    name = "system and prompt" if strings and columns.are("string", "prompt") else prompt.name
    repeats = strings and _repeat_words(columns, prompt)
    words = "repeat that and then answer" if repeats else "are what the assistant says next"
    return Shape(
        name,
        f"{prompt.meaning}; {chosen} and {rejected} {words}.",
        columns.only((*prompt.roles, "chosen", "rejected")),
        partial(_after_words if repeats else _after_turns, prompt),
    )


def _repeat_words(columns: Columns, prompt: Prompt) -> bool:
    """True if the responses of most rows, all of them strings, begin with the last words of their prompt."""
    rows = []
    for record in columns.sample:
        with suppress(SkipRow):
            rows.append((prompt.read(record)[-1:], record.text("chosen"), record.text("rejected")))
    return both_begin_with((turn[0]["content"], chosen, rejected) for turn, chosen, rejected in rows if turn)


def _after_turns(prompt: Prompt, record: Record) -> list[Parts]:
    """Both answers, without the turns of the prompt if both repeat them."""
    chosen, rejected = answer(record, "chosen"), answer(record, "rejected")
    if record.get(prompt.roles[0]) is None and chosen and rejected and chosen[0] == rejected[0]:
        return [shared_turns(chosen, rejected)]  # whole dialogues, which need no prompt beside them
    before = prompt.read(record)
    repeats = [side[: len(before)] == before for side in (chosen, rejected)]
    if before and all(repeats):
        return [(before, chosen[len(before) :], rejected[len(before) :])]
    if before and any(repeats):
        raise SkipRow("prompt_mismatch", "one response repeats the prompt and the other does not")
    return [(before, chosen, rejected)]


def _after_words(prompt: Prompt, record: Record) -> list[Parts]:
    """Both answers, without the words of the prompt, which both repeat."""
    before = prompt.read(record)
    asked = before[-1]["content"] if before else ""
    chosen, rejected = (_without(asked, record, side).lstrip() for side in ("chosen", "rejected"))
    return [(before, [assistant(chosen)], [assistant(rejected)])]


def _two_dialogues(record: Record) -> list[Parts]:
    return [shared_turns(turns(record, "messages"), turns(record, "rejected_messages"))]


def _dialogue_and_rejected(record: Record) -> list[Parts]:
    """As ms-swift has it, the rejected response takes the place of all that follows the last user turn."""
    dialogue = turns(record, "messages")
    asked = next((place for place in reversed(range(len(dialogue))) if dialogue[place]["role"] == "user"), None)
    end = len(dialogue) - 1 if asked is None else min(asked + 1, len(dialogue) - 1)
    return [(dialogue[:end], dialogue[end:], answer(record, "rejected"))]
