"""Conversations written into one string, and the shared beginning of two strings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_data.shapes.messages import assistant, is_turn, speaker, user
from sepo_data.shapes.record import value_at
from sepo_data.shapes.skip_reasons import SkipRow
from sepo_data.shapes.value_types import DIALOGUE_KEYS, NEARLY_ALL, are_known_turns
from sepo_data.shapes.written import is_cut, is_cut_turns, may_be_written, parse_written

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sepo_data.shapes.pairs import Message
    from sepo_data.shapes.record import Row

HUMAN = "\n\nHuman:"
CUE = "\n\nAssistant:"
_SPEAKER = re.compile(r"\n\n(Human|Assistant):")
_MARK = re.compile(r"<extra_id_[01]>(System|User|Assistant)(?:\s|\Z)")
"""NeMo's and HelpSteer's mark of a turn. Other `<extra_id_N>` are the gaps that T5 fills in."""

_RENDERED = (
    (re.compile(r"<\|im_start\|>(system|user|assistant)(?:\n|\Z)"), ("<|im_end|>",)),
    (re.compile(r"<\|start_header_id\|>(system|user|assistant)<\|end_header_id\|>(?:\n\n|\Z)"), ("<|eot_id|>",)),
    (re.compile(r"<start_of_turn>(user|model)(?:\n|\Z)"), ("<end_of_turn>",)),
    (re.compile(r"<\|(system|user|assistant)\|>(?:\n|\Z)"), ("</s>", "<|end|>", "<|endoftext|>", "")),
)
"""Headers of turns, each with the ends that a turn may have: of ChatML, Llama 3, Gemma, and Zephyr, Phi and Tulu."""

_BRACKET = re.compile(r"(\[/?INST\])")
_SYSTEM = re.compile(r"<<SYS>>\n(.*?)\n<</SYS>>\n\n", re.DOTALL)
"""Llama 2's marks around a turn of the user, and around the system text in the first one."""

_STARTS = ("", "<|begin_of_text|>", "<bos>", "<s>")


def is_transcript(value: object) -> bool:
    """True if this is a conversation in one string, as HH-RLHF writes it."""
    return isinstance(value, str) and value.startswith(HUMAN) and CUE in value


def shared_transcript(chosen: str, rejected: str) -> tuple[list[Message], str, str]:
    """The turns that two transcripts share, and the rest of each, unchanged.

    The prompt ends at the last `Assistant:` of the common beginning. The rest is one turn, or the row is skipped.
    """
    shared = _shared_start(chosen, rejected)
    end = shared.rfind(CUE)
    if end < 0 or not shared.startswith(HUMAN):
        raise SkipRow("no_shared_turn", "the two share no beginning from Human: to Assistant:")
    replies = {"chosen": chosen[end + len(CUE) :], "rejected": rejected[end + len(CUE) :]}
    others = [side for side, reply in replies.items() if HUMAN in reply]
    if others and all(map(str.strip, replies.values())):  # an empty response is another reason
        raise SkipRow("other_speaker", f"{others[0]} holds a user turn")
    return _turns(shared[:end]), _said(replies["chosen"]), _said(replies["rejected"])


def open_transcript(text: str, place: str) -> list[Message]:
    """The turns of a transcript that stops before an answer of the assistant."""
    before, cue, after = text.rpartition(CUE)
    if not cue or after.strip() or not text.startswith(HUMAN):
        raise SkipRow("no_shared_turn", f"{place} does not go from Human: to a last Assistant:")
    return _turns(before)


def unfolded(prompt: list[Message], *, from_text: bool) -> list[Message]:
    """The prompt, with the turns that are written into one turn of the user.

    Args:
        prompt: turns.
        from_text: they were made of a text column, which may hold a conversation that was rendered beforehand. A turn
            of a list that holds such headers is about them.
    """
    return [turn for each in prompt for turn in _unfold(each, from_text=from_text)]


def ended(prompt: list[Message], *responses: list[Message]) -> list[list[Message]]:
    """The responses without the ends of turns that they have as text, where the text of the prompt was rendered so."""
    ends = _rendered(prompt[-1]["content"])[1] if prompt and prompt[-1]["role"] == "user" else ()
    return [_ended(response, ends) for response in responses]


def _ended(response: list[Message], ends: Sequence[str]) -> list[Message]:
    if not ends or not response or (content := _without_end(response[-1]["content"], ends)) is None:
        return response
    return [*response[:-1], {**response[-1], "content": content}]


def check_marks(place: str, text: str) -> None:
    """Skip the row if a response holds the mark of a turn."""
    if mark := _MARK.search(text):
        raise SkipRow("other_speaker", f"{place} holds {mark[0].strip()}")


def check_marked_string(prompt: str) -> None:
    """Skip the row if a prompt that no chat template renders has marks of turns, but none before the first of them."""
    mark = _MARK.search(prompt)
    if mark and prompt[: mark.start()].strip():
        raise SkipRow("written_turns", "the prompt has marks <extra_id_1>: --columns question=prompt makes turns of it")


def split_at_word(chosen: str, rejected: str) -> int:
    """The end of the words that both share, at least one character before the end of each.

    The space before the next word goes with that word, as tokenizers have it.
    """
    shared = _shared_start(chosen, rejected)
    end = min(len(shared), len(chosen) - 1, len(rejected) - 1)
    while end > 0 and not shared[end - 1].isspace():
        end -= 1
    return end - 1 if end > 0 and shared[end - 1] == " " else max(end, 0)


def refuse_cut(texts: Iterable[str], lists: Iterable[str], sample: Sequence[Row]) -> None:
    """Raise for a column that mostly holds lists as numpy, pandas or a spreadsheet cut them.

    Args:
        texts: columns that may hold prose: turns are refused alone.
        lists: columns that may not.
        sample: the first rows.

    Raises:
        SepoError: the lists cannot be read back from their text.
    """
    if (column := cut_column(texts, lists, sample)) is not None:
        raise SepoError(*cut_error(column))


def cut_column(texts: Iterable[str], lists: Iterable[str], sample: Sequence[Row]) -> str | None:
    """The first column that `refuse_cut` refuses; None if there is none."""
    for columns, is_cut_here in ((texts, is_cut_turns), (lists, is_cut)):
        for column in columns:
            found = [text for row in sample if isinstance(text := value_at(row, column), str) and text.strip()]
            cut = sum(map(is_cut_here, found))
            if cut > len(found) / 2 and cut > (1 - NEARLY_ALL) * len(sample):  # fewer are skipped
                return column
    return None


def cut_error(column: str) -> tuple[str, str]:
    """The message about a column of cut lists, and the hint."""
    why = "numpy prints them without commas, DuckDB without quotes, and pandas and spreadsheets cut long ones"
    ways = "Dataset.to_json, DataFrame.to_json(orient='records', lines=True) or to_parquet"
    hint = f"write the dataset as JSON lines or Parquet, where lists stay lists: {ways}"
    return f"{column} holds lists as text that cannot be read back: {why}", hint


def check_prose(value: object, place: str, *, response: bool) -> None:
    """Skip the row if a text of a column of prose is a conversation: its brackets and roles would be read as words.

    A response is one only if it ends with the assistant: an answer may well be the messages of a request.
    """
    if not isinstance(value, str) or not may_be_written(value):
        return
    try:
        found = parse_written(value)
    except ValueError:
        if is_cut_turns(value):
            raise SkipRow("written_turns", f"{place} is a cut conversation") from None
        return
    turns = _turns_of(found)
    if are_known_turns(turns) and (not response or speaker(turns[-1]) == "assistant"):
        raise SkipRow("written_turns", f"{place} is a conversation of {len(turns)} turns")


def _turns_of(value: object) -> list[object]:
    """The turns of a list, of one turn, or of an object with nothing but a list of them."""
    if isinstance(value, Mapping) and not is_turn(value):
        value = next(iter(value.values())) if len(value) == 1 and value.keys() & set(DIALOGUE_KEYS) else []
    return value if isinstance(value, list) else [value]


def _unfold(turn: Message, *, from_text: bool) -> list[Message]:
    text = turn["content"]
    if _MARK.search(text):
        if turn["role"] != "user":
            raise SkipRow("written_turns", f"a {turn['role']} turn holds the mark of another one")
        return _marked_turns(text)
    if not from_text or turn["role"] != "user":
        return [turn]
    opened = text if text.startswith(HUMAN) else f"\n\n{text}"
    if opened.startswith(HUMAN) and opened.rstrip().endswith(CUE):
        return open_transcript(opened, "prompt")
    return _rendered(text)[0] or [turn]


def _marked_turns(text: str) -> list[Message]:
    """The turns between marks; the first is the user's and needs none, the last may be a mark without a text."""
    first, *parts = _MARK.split(text)
    named = [*([("User", first)] if first.strip() else []), *zip(parts[::2], parts[1::2], strict=True)]
    if not named[-1][1].strip():
        named.pop()
    said = [{"role": name.lower(), "content": content.strip()} for name, content in named if content.strip()]
    speakers = [turn["role"] for turn in said if turn["role"] != "system"]
    in_turn = speakers == [("user", "assistant")[place % 2] for place in range(len(speakers))]
    if not speakers or not in_turn or any("<extra_id_" in turn["content"] for turn in said):
        raise SkipRow("written_turns", "the marks <extra_id_1> do not part the turns of user and assistant")
    return list(said)


def _rendered(text: str) -> tuple[list[Message], tuple[str, ...]]:
    """The turns of a text that a chat template has rendered, and the ends that they may have; or nothing."""
    if found := _bracketed_turns(text):
        return found, ("</s>",)
    ways = ((_rendered_turns(header, ends, text), ends) for header, ends in _RENDERED)
    return next((way for way in ways if way[0]), ([], ()))


def _bracketed_turns(text: str) -> list[Message]:
    """The turns of Llama 2 and Mistral, the user's in brackets, up to a last one of the user."""
    if text.strip().removeprefix("<s>").lstrip()[:6] != "[INST]" or not text.rstrip().endswith("[/INST]"):
        return []
    _, *parts = _BRACKET.split(text.strip())
    said = [part.strip().removesuffix("<s>").rstrip().removesuffix("</s>").rstrip() for part in parts[1::2]][:-1]
    if parts[::2] != ["[INST]", "[/INST]"] * (len(parts) // 4) or not all(said):
        return []
    system = _SYSTEM.match(said[0])
    before = [{"role": "system", "content": system[1].strip()}] if system else []
    said[0] = said[0][system.end() :] if system else said[0]
    return [*before, *((assistant if place % 2 else user)(content) for place, content in enumerate(said))]


def _rendered_turns(header: re.Pattern[str], ends: Sequence[str], text: str) -> list[Message]:
    """The turns between headers, up to a last one of the assistant."""
    first, *parts = header.split(text)
    said = [
        ("assistant" if name == "model" else name, text) for name, text in zip(parts[::2], parts[1::2], strict=True)
    ]
    if first.strip() not in _STARTS or len(said) < 2 or said[-1] != ("assistant", ""):  # noqa: PLR2004
        return []
    contents = [_without_end(content, ends) for _, content in said[:-1]]
    if None in contents or any(end and end in content for content in contents if content for end in ends):
        return []
    return [{"role": name, "content": content} for (name, _), content in zip(said, contents, strict=False)]


def _without_end(content: str, ends: Sequence[str]) -> str | None:
    """The text before the end of its turn; None if it has none of the ends."""
    return next((content.rstrip().removesuffix(end) for end in ends if content.rstrip().endswith(end)), None)


def _turns(transcript: str) -> list[Message]:
    _, *parts = _SPEAKER.split(transcript)
    return [
        user(_said(content)) if speaker == "Human" else assistant(_said(content))
        for speaker, content in zip(parts[::2], parts[1::2], strict=True)
    ]


def _shared_start(a: str, b: str) -> str:
    pairs = enumerate(zip(a, b, strict=False))
    return a[: next((at for at, (x, y) in pairs if x != y), min(len(a), len(b)))]


def _said(content: str) -> str:
    return content.removeprefix(" ").rstrip()
