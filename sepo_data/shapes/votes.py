"""Shapes of two responses, A and B, and a verdict that prefers one of them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from sepo_data.shapes.columns import ANSWER
from sepo_data.shapes.messages import answer, assistant, shared_turns, turns, user
from sepo_data.shapes.prompts import Prompt, prompts, whole_dialogues
from sepo_data.shapes.record import checked_text, objects_of, read_written
from sepo_data.shapes.registry import shape
from sepo_data.shapes.shape import Parts, Shape
from sepo_data.shapes.skip_reasons import SkipRow
from sepo_data.shapes.value_types import NEARLY_ALL
from sepo_data.shapes.verdicts import TIE, Verdict, choice, codes, find_verdict
from sepo_data.shapes.written import is_cut, may_be_written, parse_written

if TYPE_CHECKING:
    from sepo_data.shapes.columns import Columns
    from sepo_data.shapes.pairs import Message
    from sepo_data.shapes.record import Record


@shape(
    "shp",
    tier=3,
    meaning="`labels` is 1 where A is preferred and 0 where B is.",
    example={"history": "What colour is the sky?", "human_ref_A": "Blue.", "human_ref_B": "Green.", "labels": 1},
)
@shape(
    "votes",
    tier=3,
    meaning="Two responses and a verdict, the clearest that is present: `winner` (`model_a`, `model_b`, `tie`),"
    " `winner_model_a` and `winner_model_b`, `choice` (0 or 1), `preference` (below 0 for A, as HelpSteer has it),"
    " `score_a` and `score_b`. Numbers of a verdict count only where the first rows show their coding: a `preference`"
    " that is never below 0 or a `choice` of 1 and 2 is an error until `--columns` settles it; `--columns choice=label`"
    " reads 1 and 2 as the first and the second. The responses may be complete dialogues (Chatbot Arena's"
    " `conversation_a`), or JSON lists of texts (LMSYS). Ties are skipped.",
    example={
        "prompt": "What colour is the sky?",
        "response_a": "Green.",
        "response_b": "Blue.",
        "winner": "model_b",
    },
)
def votes(columns: Columns) -> list[Shape]:
    """SHP, Chatbot Arena, WebGPT, PKU-SafeRLHF, HelpSteer and their like."""
    if not columns.are(ANSWER, "response_a", "response_b") or (verdict := find_verdict(columns)) is None:
        return []
    a, b = columns.names["response_a"], columns.names["response_b"]
    preferred = verdict.meaning.format(*(columns.names[role] for role in verdict.roles), a=a, b=b)
    used = columns.only(("response_a", "response_b", *verdict.roles))
    if whole_dialogues(columns, "response_a", "response_b"):
        meaning = f"{a} and {b} are whole dialogues, the prompt is the turns that both share; {preferred}."
        return [Shape("votes", meaning, used, partial(_dialogues, verdict))]
    if _hold_lists(columns):
        asked = columns.names["prompt"]
        meaning = f"{asked}, {a} and {b} are JSON lists, a text for each turn; {preferred}."
        return [Shape("votes", meaning, columns.only(("prompt",)) | used, partial(_lists, verdict))]
    name = "shp" if verdict.roles == ("labels",) else "votes"
    return [
        Shape(
            name,
            f"{prompt.meaning}; {preferred}.",
            columns.only(prompt.roles) | used,
            partial(_answers, verdict, prompt),
        )
        for prompt in prompts(columns)
    ]


@shape(
    "summaries",
    tier=3,
    meaning="OpenAI's comparisons of summaries, as strings: the prompt ends in `TL;DR:`.",
    example={
        "info": {"post": "I looked up and saw it.", "title": "What colour is the sky?", "subreddit": "AskReddit"},
        "summaries": [{"text": " It is green."}, {"text": " It is blue."}],
        "choice": 1,
    },
    roles={"info": ("record",), "summaries": ("records",)},
)
def summaries(columns: Columns) -> list[Shape]:
    """OpenAI's comparisons of summaries, with the text of its prompts."""
    if not columns.are("number", "choice") or not codes(columns, "choice") <= {0, 1}:
        return []
    roles = columns.only(("info", "summaries", "choice"))
    info, two, choice = roles.values()
    meaning = f"{info} is the text to be summed up; {choice} is the number of the chosen one of the two {two}, from 0."
    return [Shape("summaries", meaning, roles, _summaries, conversational=False)]


def _by_verdict(
    verdict: Verdict, record: Record, a: list[Message], b: list[Message]
) -> tuple[list[Message], list[Message]]:
    preferred = verdict.read(record)
    if preferred == TIE:
        raise SkipRow("tie", " and ".join(record.name(role) for role in verdict.roles))
    return (a, b) if preferred > 0 else (b, a)


def _answers(verdict: Verdict, prompt: Prompt, record: Record) -> list[Parts]:
    chosen, rejected = _by_verdict(verdict, record, answer(record, "response_a"), answer(record, "response_b"))
    return [(prompt.read(record), chosen, rejected)]


def _dialogues(verdict: Verdict, record: Record) -> list[Parts]:
    chosen, rejected = _by_verdict(verdict, record, turns(record, "response_a"), turns(record, "response_b"))
    return [shared_turns(chosen, rejected)]


TEXT_ROLES = ("prompt", "response_a", "response_b")


def _hold_lists(columns: Columns) -> bool:
    """True if the turns of each side are a JSON list of texts, as LMSYS writes them."""
    if not columns.are("string", *TEXT_ROLES):
        return False
    rows = columns.values(*TEXT_ROLES)
    found = sum(all(isinstance(text, str) and _is_list_of_texts(text) for text in row) for row in rows)
    return found > 0 and found >= NEARLY_ALL * len(rows)


def _is_list_of_texts(text: str) -> bool:
    try:
        value = parse_written(text) if may_be_written(text) else None
    except ValueError:
        return is_cut(text)  # and the row is skipped
    return isinstance(value, list) and all(item is None or isinstance(item, str) for item in value)


def _lists(verdict: Verdict, record: Record) -> list[Parts]:
    asked, *sides = (_texts(record, role) for role in TEXT_ROLES)
    if len({len(asked), *map(len, sides)}) > 1:
        raise SkipRow("wrong_type", f"{record.name('prompt')} and the responses have different numbers of turns")
    a, b = (
        [turn for said, answered in zip(asked, side, strict=True) for turn in (user(said), assistant(answered))]
        for side in sides
    )
    chosen, rejected = _by_verdict(verdict, record, a, b)
    return [shared_turns(chosen, rejected)]


def _texts(record: Record, role: str) -> list[str]:
    value = read_written(record.text(role), record.name(role))
    if not isinstance(value, list):
        raise SkipRow("wrong_type", f"{record.name(role)} is no JSON list")
    return [checked_text(text, f"{record.name(role)}[{index}]") for index, text in enumerate(value)]


def _summaries(record: Record) -> list[Parts]:
    info, two = record.present("info"), objects_of(record.present("summaries"), record.name("summaries"))
    if not isinstance(info, Mapping) or not isinstance(two, list) or len(two) != 2:  # noqa: PLR2004
        raise SkipRow(
            "wrong_type", f"{record.name('info')} is no object, or {record.name('summaries')} not two of them"
        )
    texts = [
        checked_text(
            each.get("text") if isinstance(each, Mapping) else None, f"{record.name('summaries')}[{index}].text"
        )
        for index, each in enumerate(two)
    ]
    chosen, rejected = texts if choice(record) > 0 else reversed(texts)
    return [(_to_be_summed_up(info, record.name("info")), chosen, rejected)]


def _to_be_summed_up(info: Mapping[str, object], place: str) -> str:
    """The prompt as OpenAI's summarization models get it: a post of Reddit, or an article of a newspaper."""
    if info.get("post") is None:
        return f"Article: {checked_text(info.get('article'), f'{place}.article')}\n\nTL;DR:"
    subreddit, title, post = (checked_text(info.get(key), f"{place}.{key}") for key in ("subreddit", "title", "post"))
    return f"SUBREDDIT: r/{subreddit}\n\nTITLE: {title}\n\nPOST: {post}\n\nTL;DR:"
