"""Load tokenizers, record their identity, and compare two of them. Nothing here needs torch."""

from __future__ import annotations

import hashlib
import json
from itertools import takewhile
from typing import TYPE_CHECKING

from transformers import AutoTokenizer

from sepo_data.errors import SepoError
from sepo_data.schemas.manifest import TokenizerRecord
from sepo_train.models.files import model_errors, resolve, revision

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

_CONVERSATION = [
    {"role": "user", "content": "What is next?"},
    {"role": "assistant", "content": "This."},
    {"role": "user", "content": "And then?"},
]


def load_tokenizer(name: str, *, chat_template: Path | None = None) -> PreTrainedTokenizerBase:
    """Load the tokenizer of the model `name`, with the chat template of the Jinja file `chat_template` if given."""
    with model_errors(name):
        tokenizer = AutoTokenizer.from_pretrained(resolve(name), revision=revision(name))
    tokenizer.name_or_path = name
    if not tokenizer.is_fast:
        raise SepoError(f"{name} has no fast tokenizer (tokenizer.json)", "convert it once with save_pretrained()")
    if chat_template is not None:
        if not chat_template.exists():
            raise SepoError(f"the chat template {chat_template} does not exist", "give the path of a Jinja file")
        try:
            tokenizer.chat_template = chat_template.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SepoError(f"cannot read the chat template {chat_template}: {error}", "give a Jinja file") from error
    return tokenizer


def tokenizer_record(tokenizer: PreTrainedTokenizerBase) -> TokenizerRecord:
    """A tokenizer's identity: hashes of all that decides its token ids, whichever file it came from."""
    special = json.dumps([str(tokenizer.bos_token), str(tokenizer.eos_token)])
    template = tokenizer.chat_template
    return TokenizerRecord(
        name=tokenizer.name_or_path,
        tokenizer=_sha256(tokenizer.backend_tokenizer.to_str() + special),
        chat_template=None if template is None else _sha256(json.dumps(template)),
        vocabulary=len(tokenizer),
    )


def check_same_vocabulary(
    first: PreTrainedTokenizerBase, second: PreTrainedTokenizerBase, *, roles: tuple[str, str]
) -> None:
    """Raise if two tokenizers give a token different ids, naming the first that differs."""
    ours, theirs = first.get_vocab(), second.get_vocab()
    if ours == theirs:
        return
    differing = [token for token in ours.keys() | theirs.keys() if ours.get(token) != theirs.get(token)]
    token = min(differing, key=lambda token: (ours.get(token, len(ours)), token))
    raise SepoError(
        f"{roles[0]} ({first.name_or_path}, {len(ours)} tokens) and {roles[1]} ({second.name_or_path}, "
        f"{len(theirs)} tokens) have different vocabularies: {len(differing)} tokens differ, the first is {token!r} "
        f"({ours.get(token)} and {theirs.get(token)})",
        f"token rewards need one vocabulary: choose {roles[0]} and {roles[1]} from one model family",
    )


def template_difference(first: PreTrainedTokenizerBase, second: PreTrainedTokenizerBase) -> str | None:
    """The place where the chat templates of two tokenizers first render a conversation differently, or None."""
    if first.chat_template == second.chat_template:
        return None
    ours, theirs = map(_rendered, (first, second))
    if ours == theirs:
        return None
    at = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(ours, theirs, strict=False)))
    return f"{ours[at : at + 40]!r} for {theirs[at : at + 40]!r}, after {ours[max(0, at - 20) : at]!r}"


def _rendered(tokenizer: PreTrainedTokenizerBase) -> str:
    if not tokenizer.chat_template:
        return ""
    try:
        return str(tokenizer.apply_chat_template(_CONVERSATION, tokenize=False, add_generation_prompt=True))
    except Exception as error:  # noqa: BLE001 - a template is a program of the model's author
        return f"no conversation ({type(error).__name__}: {error})"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
