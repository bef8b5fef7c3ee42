"""Weights in the files of a model that it has no use for: refused, or named where predicting text needs none."""

from __future__ import annotations

import re
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from transformers import PreTrainedModel

from sepo_data.console.progress import SILENT, Progress
from sepo_data.console.text import listed
from sepo_data.errors import SepoError
from sepo_train.models.usable import CAUSAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_OTHER_PART = re.compile(r"(^|[._])(visual|vision|audio|image|multi_modal|embed_vision|embed_audio|vqmodel|mtp)[^.]*")
"""Weights for other senses, and for tokens after the next one."""

_TABLE = re.compile(r"inv_freq$|masked_bias$|position_ids$")
"""Tables that are computed when a model is built."""

_HEAD = re.compile(
    r"(^|\.)(score|classifier|classification_head|qa_outputs|(v|value|reward|regression|rm)_?head)(\.|$)"
)
"""Weights of the head of a reward model, of a value function or of a classifier."""

_VALUE_HEADS = ("value_head.*", "v_head.*")
"""Files beside a model that hold such a head."""

_noted: set[str] = set()
"""The notes of this process, which may load a model for every shard."""


@contextmanager
def unexpected_weights() -> Iterator[set[str]]:
    """Collect the names of the weights that a model, loaded within the block, has no use for.

    transformers reports these without those that its class expects to be left over, such as further layers.
    """
    found: set[str] = set()
    adjust = PreTrainedModel._adjust_missing_and_unexpected_keys  # noqa: SLF001 - it forgets them there

    def collect(model: PreTrainedModel, loading: Any) -> None:  # noqa: ANN401 - a private class of transformers
        found.update(loading.unexpected_keys)
        adjust(model, loading)

    PreTrainedModel._adjust_missing_and_unexpected_keys = collect  # type: ignore[method-assign,assignment]  # noqa: SLF001
    try:
        yield found
    finally:
        PreTrainedModel._adjust_missing_and_unexpected_keys = adjust  # type: ignore[method-assign]  # noqa: SLF001


def check_loaded(
    name: str, loading: Mapping[str, Any], *, kind: str, hint: str, expected: Iterable[str] = ()
) -> list[str]:
    """The weights in the files of the model `name` that are left out; raise if they are a part of it.

    transformers fills what is missing or has another shape with random numbers, and drops what it does not expect: the
    head of a reward model, biases, whole layers.

    Args:
        name: of the model.
        loading: what transformers reports with `output_loading_info`.
        kind: of the model, with its article.
        hint: how to mend it.
        expected: names of weights that its class expects to be left over; see `unexpected_weights`.

    Raises:
        SepoError: weights are missing, have other shapes, or are left over and belong to predicting text, or to the
            head of another kind of model.
    """
    hint = f"its configuration and its weights do not belong together, or {hint}"
    if missing := sorted(loading.get("missing_keys", ())):
        raise SepoError(f"{name} lacks {len(missing)} weights of {kind}, such as {missing[0]}", hint)
    if other := sorted(loading.get("mismatched_keys", ())):
        weight, found, wanted = other[0]
        shapes = f"{weight} is {list(found)}, not {list(wanted)}"
        raise SepoError(f"{name} has {len(other)} weights of other shapes than {kind}: {shapes}", hint)
    unused = {*loading.get("unexpected_keys", ()), *expected}
    parts = set(filter(_OTHER_PART.search, unused))
    heads = set(filter(_HEAD.search, unused - parts))
    harmless = parts.union(expected, filter(_TABLE.search, unused)) - heads
    if left := [*sorted(heads), *sorted(unused - harmless - heads)]:
        what = ", the head of a reward model or of a classifier" if heads else ""
        raise SepoError(f"{name} has {len(left)} weights that {kind} has not, such as {left[0]}{what}", hint)
    return sorted(harmless)


def note_left_out(name: str, weights: Iterable[str], progress: Progress) -> None:
    """Note the `weights` in the files of the model `name` that are not used, once in this process."""
    if groups := Counter(map(_group, weights)):
        named = listed(f"{group} ({count:,})" for group, count in sorted(groups.items()))
        _note_once(f"{name}: weights that predicting the next token does not need are left out: {named}", progress)


def note_unread(name: str, folder: Path, read: Iterable[Path], progress: Progress) -> None:
    """Note the weight files in the `folder` of the model `name` that are not among those `read`, once."""
    if unread := sorted({file.name for file in folder.glob("*.safetensors")} - {file.name for file in read}):
        _note_once(f"{name}: weight files that are not a part of the model are not read: {listed(unread)}", progress)


def _note_once(text: str, progress: Progress) -> None:
    if text not in _noted and progress is not SILENT:
        _noted.add(text)
        progress.note(text)


def check_unread(name: str, folder: Path) -> None:
    """Raise if the `folder` of the model `name` has the head of a reward model in a file of its own."""
    if found := sorted(file.name for pattern in _VALUE_HEADS for file in folder.glob(pattern)):
        raise SepoError(f"{name} is a reward model or a value function: it has the head in {found[0]}", CAUSAL)


def _group(key: str) -> str:
    """The part that a weight belongs to: one that computes something else, a further layer, or its kind."""
    if part := _OTHER_PART.search(key):
        return key[: part.end()]
    starred = re.sub(r"(?<=\.)\d+(?=\.)", "*", key)
    layer = re.match(r"[a-z_.]+\.layers\.\d+", key)
    return starred if _TABLE.search(key) or layer is None else layer.group()
