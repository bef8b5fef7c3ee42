"""The options of scoring that the oracle's training decided: its values are the defaults, others are noted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sepo_data.errors import SepoError
from sepo_data.schemas.stages import Stage
from sepo_data.stages.trained_models import token_options, trained_manifest
from sepo_train.models.files import fitting_length, load_config
from sepo_train.models.tokenizers import load_tokenizer, template_hash
from sepo_train.models.training_record import record_folder

if TYPE_CHECKING:
    from pydantic import JsonValue
    from transformers import PreTrainedTokenizerBase

    from sepo_data.console.progress import Progress
    from sepo_data.preferences.reading import Reading
    from sepo_data.preferences.skipped import Truncate
    from sepo_data.schemas.manifest import InputRecord, Manifest, TokenizerRecord
    from sepo_train.scoring.options import ScoringOptions

DIFFERING = "differs_from_oracle"
"""The entry of a manifest's results with the oracle's values of the options that were given otherwise."""

DEFAULTS: dict[str, JsonValue] = {"beta": 0.1, "max_length": None, "truncate": None, "template_date": None}
"""The values where neither the user nor an oracle's manifest decides."""

NOT_CUT = "none"
"""The `truncate` that skips longer pairs although the oracle's training cut them."""

READING_OPTIONS = ("columns", "delimiter", "ignore", "pairs_from_ranking", "dedupe", "holdout")
"""Options of reading that decide which pairs a dataset has, or which of them no training may see."""


@dataclass(frozen=True, slots=True)
class Inherited:
    """The options of a scoring run, the oracle's where none were given.

    Attributes:
        beta: scales the rewards.
        max_length: tokens of prompt and one response; None for the default.
        truncate: the part that is cut from longer pairs.
        template_date: the day that the chat template takes for today; None for the day it is.
        tokenizer: of the oracle.
        oracle: its manifest; None where sepo did not train it.
        differing: the oracle's values of the options that were given otherwise, by name.
    """

    beta: float
    max_length: int | None
    truncate: Truncate | None
    template_date: str | None
    tokenizer: PreTrainedTokenizerBase
    oracle: Manifest | None
    differing: dict[str, JsonValue]

    @property
    def template(self) -> TokenizerRecord | None:
        """The tokenizer with whose chat template the oracle was trained; None where that is unknown."""
        return None if self.oracle is None else self.oracle.tokenizer

    @property
    def has_template(self) -> bool:
        """True if the oracle's folder has the chat template with which it was trained."""
        trained_with = self.template
        return trained_with is not None and trained_with.chat_template == template_hash(self.tokenizer)


def inherit(options: ScoringOptions, oracle: str, progress: Progress) -> Inherited:
    """`options` with those of the training of `oracle` in place of those that are None.

    Notes the values that are not the default, and those that were given although the oracle has others.
    """
    manifest = trained_manifest(record_folder(oracle))
    theirs = token_options(manifest)
    if manifest is not None and manifest.stage is Stage.ORACLE:
        theirs["beta"] = manifest.options["beta"]
    asked: dict[str, Any] = {name: value for name in DEFAULTS if (value := getattr(options, name)) is not None}
    given = {name: None if value == NOT_CUT else value for name, value in asked.items()}
    used: dict[str, Any] = DEFAULTS | theirs | given
    usual = DEFAULTS | {"max_length": _usual_length(oracle, trust_remote_code=options.trust_remote_code)}
    taken = [f"{name} {value}" for name, value in theirs.items() if name not in given and value != usual[name]]
    if taken:
        progress.note(f"as the oracle was trained: {', '.join(taken)}")
    differing = {name: value for name, value in theirs.items() if name in given and value != given[name]}
    for name, value in differing.items():
        progress.note(f"note: the oracle was trained with {name} {value}; given here is {used[name]}")
    tokenizer = load_tokenizer(oracle, trust_remote_code=options.trust_remote_code)
    return Inherited(tokenizer=tokenizer, oracle=manifest, differing=differing, **used)


def _usual_length(oracle: str, *, trust_remote_code: bool) -> int:
    return fitting_length({oracle: load_config(oracle, trust_remote_code=trust_remote_code)}, None)


def compare_template(
    inherited: Inherited, used: TokenizerRecord, progress: Progress, *, given: bool
) -> dict[str, JsonValue]:
    """The oracle's chat template, by its hash, where another one was `given` and is `used`; notes that.

    Raises:
        SepoError: another one is used although none was given.
    """
    trained_with = inherited.template
    if trained_with is None or trained_with.chat_template == used.chat_template:
        return {}
    if not given:
        raise SepoError(
            "the oracle was trained with another chat template than the one in its folder",
            "the same `sepo oracle` command writes it again without training; or give one with --chat-template FILE",
        )
    progress.note("note: the oracle was trained with another chat template than the one given here")
    return {"chat_template": trained_with.chat_template}


def compare_reading(inherited: Inherited, source: InputRecord, reading: Reading, progress: Progress) -> None:
    """Note the options of reading that the oracle's training had otherwise on the same data."""
    oracle = inherited.oracle
    if oracle is None or oracle.stage is not Stage.ORACLE or oracle.input.fingerprint != source.fingerprint:
        return
    here = reading.plan()
    for name in READING_OPTIONS:
        if (theirs := oracle.options.get(name)) != here.get(name):
            progress.note(
                f"note: the oracle was trained on this dataset with {name} {theirs}, here it is {here.get(name)}"
            )
