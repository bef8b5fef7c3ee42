"""The end of a turn: the token that a model stops at, behind which nothing belongs to a response.

Chat templates put a line break behind it, some a second end token or the header of a next turn, and strings that were
rendered beforehand hold all of that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sepo_data.tokenization.prompt_opening import MARK
from sepo_data.tokenization.template import added_texts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sepo_data.tokenization.template import Template

USUAL = frozenset(
    (
        "</s>", "<eos>", "<|eos|>", "[EOS]", "<EOS_TOKEN>", "<|endoftext|>", "<|end_of_text|>", "<|end_of_sentence|>",
        "<\uff5cend\u2581of\u2581sentence\uff5c>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|eot_id|>",
        "<|eom_id|>", "<|eot|>", "<|EOT|>", "<|eom|>", "<end_of_turn>", "<turn|>", "<|end_of_turn|>", "<|endofturn|>",
        "<end_of_utterance>", "<|END_OF_TURN_TOKEN|>", "<|role_end|>", "<|message_end|>", "<|assistant_end|>",
    )
)  # fmt: skip
"""Tokens that end a turn or a text in the formats of well-known models."""

ROLES = ("user", "assistant", "system", "tool")

HEADERS = frozenset(
    header.format(role)
    for header in ("<|im_start|>{}", "<|start_header_id|>{}<|end_header_id|>", "<start_of_turn>{}", "<|{}|>")
    for role in (*ROLES, "model")
) | {"<|im_start|>", "<|start_header_id|>", "<start_of_turn>", "[INST]"}
"""Headers that open a turn in the formats of well-known models, and what they begin with."""


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """The tokens that end a turn, and what a chat template puts behind the last of them.

    Attributes:
        tokens: texts of the tokens that can end a turn.
        own: those with which the chat template ends it, behind which another one is superfluous.
        appended: texts that can stand behind a conversation, without white space at their ends: the longest first.
        header: the text that a chat template puts behind every conversation, where no token ends a turn.
    """

    tokens: tuple[str, ...]
    own: frozenset[str]
    appended: tuple[str, ...] = ()
    header: str = ""

    def cut(self, response: str) -> str:
        """`response` up to the token that ends its last turn; all of it where no such token is at its end."""
        if self.header:
            return response.removesuffix(self.header)
        whole = text = self._without_appended(response.rstrip())
        if not (last := self._last(text)):
            return response
        while (other := self._last(before := text[: -len(last)].rstrip())) and (other == last or other in self.own):
            text, last = before, other
        return whole if text.strip() == last else text  # what is nothing but such tokens comes from the data

    def is_all(self, response: str) -> bool:
        """True if `response` is the end of a turn and nothing else."""
        return response.strip() in {"", *self.tokens}

    def _without_appended(self, text: str) -> str:
        for behind in self.appended:
            if text.endswith(behind) and (before := text[: -len(behind)].rstrip()).endswith(self.tokens):
                return before
        return text

    def _last(self, text: str) -> str:
        return next((token for token in self.tokens if text.endswith(token)), "")


def turn_end(template: Template) -> TurnEnd:
    """The end of a turn as the chat template of `template` writes it, found by rendering two short conversations.

    Without a chat template, or where it refuses them, the tokens that usually end a turn.
    """
    tokenizer = template.tokenizer
    added = added_texts(tokenizer)
    known = _known_ends(tokenizer.eos_token, added)
    usual = TurnEnd(known, frozenset(known) - {tokenizer.eos_token})
    if tokenizer.chat_template is None:
        return replace(usual, appended=_longest_first(HEADERS))
    asked, answered = {"role": "user", "content": MARK + "0"}, {"role": "assistant", "content": MARK + "1"}
    conversations = [[asked, answered], [asked, answered, {"role": "user", "content": MARK + "2"}], [asked]]
    try:
        last, middle, closed = template(conversations)
        [opened] = template([[asked]], generation=True)
    except Exception:  # noqa: BLE001 - a template is a program of the model's author and may raise anything
        return usual
    behind, followed = (text.rpartition(MARK + "1")[2] for text in (last, middle))
    asked_for = opened.rpartition(MARK + "0")[2]
    end = _end(behind, followed, known, added)
    if MARK + "1" not in last:
        return usual
    if (token := _last_token(end, added)) is None:
        always = behind.strip() and behind.strip() == asked_for.strip()
        return replace(usual, header=behind.lstrip()) if always else usual
    rest = behind[len(end) :].strip()
    header = (opened[len(closed) :] if opened.startswith(closed) else asked_for.partition(token)[2]).strip()
    user = followed.removeprefix(end).partition(MARK + "2")[0].strip() if followed.startswith(end) else ""
    headers = {"", *HEADERS, *_headers(header, user, added)}
    between = rest + behind[len(behind.rstrip()) :]
    appended = {*headers, rest, *(between + each for each in headers if rest)} - {""}
    return TurnEnd(_longest_first({*known, token}), frozenset({token}), _longest_first(appended))


def _headers(assistant: str, user: str, added: set[str]) -> set[str]:
    """The headers of turns in a template that has these two, and the token that both begin with."""
    shared = (token for token in added if assistant.startswith(token) and user.startswith(token))
    headers = {assistant, user, *shared}
    if assistant.replace("assistant", "user") == user:
        headers |= {assistant.replace("assistant", role) for role in ROLES}
    return headers


def _known_ends(eos: object, added: set[str]) -> tuple[str, ...]:
    """Tokens that are known to end a turn: the EOS token of a tokenizer, and the usual ones among its added tokens."""
    return _longest_first(added & USUAL | (set() if eos is None else {str(eos)}))


def _end(behind: str, followed: str, known: tuple[str, ...], added: set[str]) -> str:
    """The end of a turn at the beginning of `behind`, the text after the last turn; `followed` is that before another.

    Up to a token that is known to end turns; else all, if the same stands before a turn that follows; else up to the
    first token at all.
    """
    if known and (usual := re.search("|".join(map(re.escape, known)), behind)):
        return behind[: usual.end()]
    if followed.startswith(behind.rstrip()):
        return behind.rstrip()
    first = re.search("|".join(map(re.escape, _longest_first(added))), behind) if added else None
    return behind[: first.end()] if first else ""


def _last_token(text: str, added: set[str]) -> str | None:
    """The added token that `text` ends with."""
    return max(filter(text.endswith, added), key=len, default=None)


def _longest_first(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(texts, key=lambda text: (-len(text), text)))
