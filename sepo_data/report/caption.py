"""Sentences that captions share: the directory, its pairs and tokens, the models of its rewards, its selection."""

from __future__ import annotations

import json
import re
from pathlib import PurePath
from typing import TYPE_CHECKING

from sepo_data.console.text import shortened, spelt_out
from sepo_data.schemas.folder import DATASETS
from sepo_data.schemas.stage_names import SIDES
from sepo_data.storage.location import public_name

if TYPE_CHECKING:
    from pydantic import JsonValue

    from sepo_data.report.source import Source
    from sepo_data.schemas.manifest import Manifest, ModelRecord

LONGEST_NAME = 80
"""Characters of a name or a value in a caption."""

TOP = "(the rule top: rounded down, at least one; of chosen the highest rewards, of rejected the lowest)"
"""Tokens that `sepo select` takes at K% of each response, for a sentence about them."""

REWARD = "Reward of a token: beta x (log p of the oracle - log p of the reference model)."

INTERVALS_OF_MEANS = (
    "Intervals are 95% intervals of the mean over tokens, which they take as independent "
    "(mean plus and minus 1.96 standard errors)."
)
"""The sentence for `intervals.mean_interval`."""


def source_text(*sources: Source, of_rewards: bool = True) -> str:
    """Sentences on each directory, and, where their models are named, the definition of the rewards.

    A manifest may name no models: of an unfinished directory, or of one that another program wrote.

    Args:
        sources: directories.
        of_rewards: the figure shows rewards, so it matters what they are and whether the oracle has seen the pairs.
    """
    defined = of_rewards and any(source.manifest.models.keys() >= {"oracle", "ref"} for source in sources)
    described = [_of_one(source, of_rewards=of_rewards) for source in sources]
    return " ".join([*described, *([REWARD] if defined else [])])


def _of_one(source: Source, *, of_rewards: bool) -> str:
    """Pairs, response tokens, models, beta, pairs that the oracle has seen, the rule, whether it is unfinished."""
    manifest = source.manifest
    sentences = [_size(source)] if manifest.stage in DATASETS else [f"{plain(source.name)}."]
    oracle, ref = (manifest.models.get(role) for role in ("oracle", "ref"))
    if oracle and ref:
        beta = manifest.options.get("beta")
        of_beta = f" Beta: {_value(beta)}." if beta is not None else ""
        sentences.append(f"Oracle: {model_name(oracle)}. Reference model: {model_name(ref)}.{of_beta}")
    elif manifest.models:
        named = ", ".join(f"{plain(role)} {model_name(record)}" for role, record in sorted(manifest.models.items()))
        sentences.append(f"Models: {named}.")
    if of_rewards and (seen := _seen(source)):
        sentences.append(seen)
    if source.is_selection:
        sentences.append(f"Selected by {rule_text(manifest)}.")
    if not source.complete:
        sentences.append(f"The directory is unfinished: {manifest.rows:,} pairs so far.")
    return " ".join(sentences)


def all_tokens_text(source: Source) -> str:
    """A sentence for figures of all tokens, with a blank before it, where some are selected; else nothing."""
    return " All tokens count, selected or not." if source.is_selection else ""


def _size(source: Source) -> str:
    rows, tokens = source.manifest.rows, source.manifest.total("tokens")
    responses = sum(tokens.get(side, 0) for side in SIDES)
    return f"{plain(source.name)}: {rows:,} pair{'s' * (rows != 1)}, {responses:,} response tokens."


def _seen(source: Source) -> str:
    """The sentence on pairs that the oracle was trained on, whose rewards are larger; none where that is unknown."""
    columns = [frame["oracle_seen"] for frame in source.frames(["oracle_seen"])]
    seen = sum(int(column.sum() or 0) for column in columns)
    known = sum(len(column) - column.null_count() for column in columns)
    pairs = "the pairs" if known == source.manifest.rows else f"the {known:,} pairs of which that is recorded"
    return f"The oracle was trained on {f'{seen:,}' if seen else 'none'} of {pairs}." if known else ""


def rule_text(manifest: Manifest) -> str:
    """The rule of a selection with its arguments and filters, as the manifest records them: `top (chosen 30%)`."""
    options = dict(manifest.options)
    rule = options.pop("rule", None)
    arguments = ", ".join(f"{plain(name)} {_value(value)}" for name, value in options.items() if value is not None)
    return f"{_value(rule) if rule else 'a rule without a record'}{f' ({arguments})' if arguments else ''}"


def model_name(record: ModelRecord) -> str:
    """The id of a model of the Hub, or the last part of a folder's path: a figure is passed around."""
    name = record.name
    if record.revision is None and "://" not in name:
        name = PurePath(re.sub(r"\\", "/", name)).name or name
    return plain(public_name(name))


def plain(text: str) -> str:
    """A name from data as one line of a caption: what steers a terminal or is not seen is escaped."""
    return shortened(spelt_out(text), LONGEST_NAME)


def _value(value: JsonValue) -> str:
    return plain(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
