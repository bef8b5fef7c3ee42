"""The roles of the two models: the oracle is the one that was trained, the reference the one that it started from."""

from __future__ import annotations

from contextlib import suppress
from shlex import quote
from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_data.stages.trained_models import start_of
from sepo_train.models.load import model_record
from sepo_train.models.same_weights import same_weights
from sepo_train.models.training_record import record_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sepo_data.console.progress import Progress
    from sepo_data.schemas.manifest import ModelRecord
    from sepo_data.stages.seen_pairs import OracleRecord


class RolesError(SepoError):
    """Two models that are no oracle and its reference; the hint names those that are.

    Attributes:
        oracle: name of the oracle to score with.
        ref: name of the model that it started from.
    """

    def __init__(self, message: str, *, oracle: str, ref: str) -> None:
        super().__init__(message, f"score with --oracle {quote(oracle)} --ref {quote(ref)}")
        self.oracle = oracle
        self.ref = ref


def check_roles(models: Mapping[str, ModelRecord], record: OracleRecord | None, progress: Progress) -> bool:
    """Raise where the manifests know better which of `models`, `oracle` and `ref`, was trained from which.

    Exchanged, every reward would be negated; with another reference, they would have no meaning. Notes what is unusual,
    but may be meant.

    Returns:
        True if the two have the same weights.

    Raises:
        RolesError: `ref` was trained from `oracle`, or the oracle's `record` names another start than `ref`.
    """
    oracle, ref = models["oracle"], models["ref"]
    start, start_of_ref = (start_of(record_folder(each.name)) for each in (oracle, ref))
    other_start = start is not None and not _are_same(start, ref)
    if start_of_ref is not None and oracle.weights != ref.weights:
        _check_exchanged(oracle, ref, start_of_ref)
    if record is not None and start is not None and other_start and _is_on_hub(start) is _is_on_hub(ref):
        raise RolesError(
            f"--ref {ref.name} is not the model that the oracle started from, which is {start.name}",
            oracle=oracle.name,
            ref=start.name,
        )
    if start is not None and other_start:
        progress.note(f"warning: --oracle {oracle.name} was trained from {start.name}, not from --ref {ref.name}")
    elif start is not None and start.weights != ref.weights:
        progress.note(
            f"note: --ref {ref.name} has the weights of {start.name}, from which the oracle was trained, in other "
            "files or another number type"
        )
    if start is None and start_of_ref is not None:
        progress.note(
            f"warning: --ref {ref.name} was trained by sepo from {start_of_ref.name}, and nothing records that "
            f"--oracle {oracle.name} was trained from it; if they are exchanged, every reward is negated"
        )
    if equal := _are_same(oracle, ref):
        progress.note(equal_models_text(f"{oracle.name} and {ref.name} have the same weights"))
    return equal


def _check_exchanged(oracle: ModelRecord, ref: ModelRecord, start: ModelRecord) -> None:
    """Raise if `ref`, trained from `start`, was trained from `oracle`, be it in several steps."""
    for number, ancestor in enumerate(_ancestors(start)):
        if _are_same(ancestor, oracle):
            raise RolesError(
                f"--oracle and --ref are exchanged: {ref.name} was trained from {oracle.name}, so it is the oracle",
                oracle=ref.name,
                ref=oracle.name if number == 0 and ancestor.weights == oracle.weights else start.name,
            )


def _ancestors(start: ModelRecord) -> Iterator[ModelRecord]:
    """`start`, the model that it was trained from, and so on, while the folders hold what the records name."""
    known = set[str]()
    while start.weights not in known:
        known.add(start.weights)
        yield start
        before = start_of(start.name)
        if before is None or not _is_unchanged(start):
            return
        start = before


def _is_unchanged(model: ModelRecord) -> bool:
    with suppress(SepoError):
        return model_record(model.name).weights == model.weights
    return False


def _is_on_hub(model: ModelRecord) -> bool:
    return model.revision is not None


def _are_same(first: ModelRecord, second: ModelRecord) -> bool:
    """True for models of the same weights, also in other files or in another number type, where these are at hand."""
    if first.weights == second.weights:
        return True
    with suppress(SepoError):  # the start of an oracle may be gone
        return first.parameters == second.parameters and same_weights(first.name, second.name)
    return False


def equal_models_text(evidence: str) -> str:
    """The warning that the oracle is the reference, with what shows it."""
    return (
        f"warning: {evidence}: the oracle is the reference, so every reward is 0 or rounding, and no rule can rank "
        "tokens by it; `sepo oracle` trains an oracle"
    )
