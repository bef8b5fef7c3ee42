"""The command as it was typed, for hints that give it again with other options."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def typed_command(flags: frozenset[str] = frozenset(), **options: str) -> str:
    """The command as it was typed, without `flags`, and with `options` in place of what was typed for them.

    Described where it has a launcher or a secret.

    Args:
        flags: to leave out: `--yes`.
        options: values by the names of their options.
    """
    from sepo_data.storage.location import public_name
    from sepo_train.scoring.process_rank import current_rank

    named = {f"--{name}": value for name, value in options.items()}
    words, added = _kept(sys.argv[1:], flags, named.keys()), [word for pair in named.items() for word in pair]
    if current_rank().count > 1 or any(public_name(word) != word for word in words):
        return " ".join(["the same command with", shlex.join(added)] if added else ["the same command and"])
    return shlex.join(["sepo", *words, *added])


def typed_options(**options: object) -> str:
    """Options with their values, as a person types them; those that are None or False are left out."""
    given = {f"--{name.replace('_', '-')}": value for name, value in options.items() if value not in {None, False}}
    words = [word for name, value in given.items() for word in ([name] if value is True else [name, str(value)])]
    return shlex.join(words)


def _kept(words: list[str], flags: frozenset[str], options: Iterable[str]) -> list[str]:
    """`words` without `flags`, and without `options` and their values: `--name value` or `--name=value`."""
    kept, is_value = [], False
    for word in words:
        known = not is_value and word.partition("=")[0] in options
        if not is_value and not known and word not in flags:
            kept.append(word)
        is_value = known and "=" not in word
    return kept
