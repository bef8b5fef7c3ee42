"""Decisions of the training of the evaluated model: lengths and date of its pairs, and the first one of two models."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, cast

from sepo_data.stages.trained_models import start_of, token_options, trained_manifest
from sepo_data.tokenization.template_date import OPTION
from sepo_train.models.files import context_length, load_config
from sepo_train.models.training_record import record_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pydantic import JsonValue

    from sepo_data.console.progress import Progress
    from sepo_data.preferences.skipped import Truncate, TruncateOrNone


def inherited_lengths(
    models: Sequence[str],
    max_length: int | None,
    truncate: TruncateOrNone | None,
    *,
    trust_remote_code: bool,
    progress: Progress,
) -> tuple[int | None, Truncate | None]:
    """`max_length` and `truncate`, with those of the training of the first of `models` where they are None.

    A length of training that exceeds the context of one of `models` is none; what is taken is noted.
    """
    theirs = _token_options(models[0])
    length, cut = cast("int | None", theirs.get("max_length")), cast("Truncate | None", theirs.get("truncate"))
    if length is not None and max_length is None:
        configs = (load_config(model, trust_remote_code=trust_remote_code) for model in models)
        fits = all(length <= (context_length(config) or length) for config in configs)
        max_length = length if fits else None
    if truncate is None and cut is not None:
        progress.note(f"longer pairs are cut as in the training of {models[0]}: --truncate {cut}")
        truncate = cut
    return max_length, None if truncate == "none" else truncate


def date_of_training(model: str) -> str | None:
    """The day that the chat template took for today in the training of `model`; None where that is unknown."""
    found = _token_options(model).get(OPTION)
    return found if isinstance(found, str) else None


def _token_options(model: str) -> dict[str, JsonValue]:
    return token_options(trained_manifest(record_folder(model)))


def note_exchanged(names: Mapping[str, str], weights: Mapping[str, str], progress: Progress) -> None:
    """Warn where `against` was trained from `model`: the effect of training would be measured the other way round."""
    start = start_of(record_folder(names["against"])) if "against" in names else None
    if start is not None and start.weights == weights["model"] != weights["against"]:
        right = f"sepo evaluate {quote(names['against'])} --against {quote(names['model'])}"
        progress.note(
            f"warning: {names['against']} was trained from {names['model']}, so everything is measured of the model "
            f"before training against the one after it; the other way round it is {right}"
        )
