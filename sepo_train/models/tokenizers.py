"""Load tokenizers, record their identity, and compare two of them. Nothing here needs torch."""

from __future__ import annotations

import hashlib
import json
from itertools import takewhile
from typing import TYPE_CHECKING

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from sepo_data.errors import SepoError
from sepo_data.schemas.folder import TOKENIZER
from sepo_data.schemas.manifest import TokenizerRecord
from sepo_data.storage.location import location
from sepo_data.tokenization.bounded_template import apply_template
from sepo_data.tokenization.template_date import set_template_date
from sepo_train.models.files import adapter_base, check_own_config, find_file, model_errors, resolve, revision

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerBase

_FILES = ("tokenizer.json", "tokenizer_config.json")

_CONVERSATION = [
    {"role": "user", "content": "What is next?"},
    {"role": "assistant", "content": "This."},
    {"role": "user", "content": "And then?"},
]


def load_tokenizer(
    name: str,
    *,
    chat_template: str | Path | None = None,
    template_date: str | None = None,
    trust_remote_code: bool = False,
) -> PreTrainedTokenizerBase:
    """Load the tokenizer of the model `name`, with the chat template of the Jinja file `chat_template` if given.

    The template takes `template_date` (YYYY-MM-DD) for today, or the day on which it is loaded, as long as it is used.
    PEFT saves an adapter without a tokenizer; then it is that of its base model.
    """
    owner = name if any(find_file(name, file) for file in _FILES) else adapter_base(name) or name
    check_own_config(owner)
    with model_errors(owner):
        tokenizer = AutoTokenizer.from_pretrained(
            resolve(owner), revision=revision(owner), trust_remote_code=trust_remote_code
        )
        if tokenizer.is_fast:
            _try_out(tokenizer)
    tokenizer.name_or_path = name
    set_template_date(tokenizer, template_date)
    if not tokenizer.is_fast:
        raise SepoError(f"{name} has no fast tokenizer (tokenizer.json)", "convert it once with save_pretrained()")
    if chat_template is not None:
        file = location(chat_template)
        if not file.exists():
            raise SepoError(f"the chat template {chat_template} does not exist", "give the path of a Jinja file")
        try:
            tokenizer.chat_template = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SepoError(f"cannot read the chat template {chat_template}: {error}", "give a Jinja file") from error
    return tokenizer


def load_stage_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer that rendered the stage directory `folder`.

    By transformers' own class, whichever its files name: what is in a stage directory never runs code.
    """
    place = folder.resolve() / TOKENIZER
    if not (place / "tokenizer.json").is_file():
        raise SepoError(f"{folder} lacks {TOKENIZER}/tokenizer.json", "the command that wrote it makes it again")
    with model_errors(str(place)):
        tokenizer: PreTrainedTokenizerBase = PreTrainedTokenizerFast.from_pretrained(place, trust_remote_code=False)
        _try_out(tokenizer)
    tokenizer.name_or_path = str(folder / TOKENIZER)
    return tokenizer


def save_stage_tokenizer(tokenizer: PreTrainedTokenizerBase, place: Path) -> None:
    """Save `tokenizer` into `place` of a stage directory; one with code of its own without that."""
    if not type(tokenizer).__module__.startswith("transformers."):
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer.backend_tokenizer,
            chat_template=tokenizer.chat_template,
            **tokenizer.special_tokens_map,
        )
    tokenizer.save_pretrained(place)


def _try_out(tokenizer: PreTrainedTokenizerBase) -> None:
    """Use `tokenizer` once: what is wrong in its files may show only then."""
    tokenizer.decode(tokenizer("Tea?")["input_ids"])
    for token in (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token):
        if token is not None:
            tokenizer.convert_tokens_to_ids(token)
    template = tokenizer.chat_template
    texts = template.values() if isinstance(template, dict) else [template or ""]
    if not all(isinstance(text, str) for text in texts):
        raise TypeError(f"the chat template is no text but {template!r:.60}")


def tokenizer_record(tokenizer: PreTrainedTokenizerBase) -> TokenizerRecord:
    """A tokenizer's identity: hashes of all that decides its token ids, whichever file it came from."""
    special = json.dumps([str(tokenizer.bos_token), str(tokenizer.eos_token)])
    return TokenizerRecord(
        name=tokenizer.name_or_path,
        tokenizer=_sha256(tokenizer.backend_tokenizer.to_str() + special),
        chat_template=template_hash(tokenizer),
        vocabulary=len(tokenizer),
    )


def template_hash(tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The hash of the chat template, or of several by their names; None where there is none."""
    template = tokenizer.chat_template
    return None if template is None else _sha256(json.dumps(template))


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
        return str(apply_template(tokenizer, _CONVERSATION, tokenize=False, add_generation_prompt=True))
    except SepoError:
        raise
    except Exception as error:  # noqa: BLE001 - a template is a program of the model's author
        return f"no conversation ({type(error).__name__}: {error})"


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
