"""The pairs of a dataset that a model is measured on: those held out, without those that it was trained on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from sepo_data import scan
from sepo_data.console.text import listed
from sepo_data.errors import SepoError
from sepo_data.preferences.holdout import HOLDOUT, SPLIT
from sepo_data.preferences.reading import Reading
from sepo_data.preferences.sides import read_sides
from sepo_data.schemas.folder import MANIFEST
from sepo_data.schemas.stages import SIDES, Stage
from sepo_data.stages.directory import read_stage
from sepo_train.engine.layout import Tree
from sepo_train.evaluation.from_training import inherited_lengths
from sepo_train.evaluation.trained_pairs import Measured, leave_out_trained
from sepo_train.models.files import context_length, fitting_length, load_config
from sepo_train.models.tokenized_input import open_tokenized
from sepo_train.models.tokenizers import check_same_vocabulary, load_stage_tokenizer, load_tokenizer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sepo_data.console.progress import Progress
    from sepo_data.preferences.skipped import TruncateOrNone
    from sepo_data.tokenization.tokenized_dataset import TokenizedDataset

ID_COLUMNS = ("prompt_ids", "chosen_ids", "rejected_ids")
BY_COLUMN = "those whose column split says holdout"


@dataclass(frozen=True, slots=True)
class HoldoutPairs:
    """The pairs that an evaluation measures on.

    Attributes:
        name: of the dataset.
        trees: one a pair, its responses are the chosen and the rejected one.
        which: the part of the dataset that these are, in words.
        skipped: number of unusable pairs, by reason.
        trained_on: for each model the number of these pairs that it was trained on; None where that is not known.
    """

    name: str
    trees: Sequence[Tree]
    which: str
    skipped: dict[str, int]
    trained_on: tuple[int | None, ...]

    def record(self, roles: Iterable[str]) -> dict[str, object]:
        """The part of `evaluation.json` that says which pairs these are, where the models have these `roles`."""
        trained_on = dict(zip(roles, self.trained_on, strict=True))
        return {"data": {"name": self.name, "which": self.which, "skipped": self.skipped, "trained_on": trained_on}}


def read_holdout_pairs(
    reading: Reading,
    models: Sequence[str],
    *,
    max_length: int | None,
    truncate: TruncateOrNone | None,
    chat_template: str | Path | None,
    template_date: str | None = None,
    verify: bool = True,
    trust_remote_code: bool = False,
    progress: Progress,
) -> HoldoutPairs:
    """Read pairs for `models`, the first of which is evaluated: its tokenizer and chat template make the tokens.

    With `verify`, the hash of each shard of a stage directory is compared with its manifest. `trust_remote_code` is for
    the models; the tokenizer in a stage directory is never trusted.

    Raises:
        SepoError: the dataset cannot be read, was made with another tokenizer, or has no pair that can be used.
    """
    if reading.dataset and (Path(reading.dataset) / MANIFEST).exists():
        held_out = _of_stage(
            Path(reading.dataset), reading, models, max_length, verify=verify, trust_remote_code=trust_remote_code
        )
    else:
        longest, cut = inherited_lengths(
            models, max_length, truncate, trust_remote_code=trust_remote_code, progress=progress
        )
        prepared = open_tokenized(
            reading.in_any_order(),
            models[0],
            other=models[-1],
            max_length=longest,
            truncate=cut,
            chat_template=chat_template,
            template_date=template_date,
            trust_remote_code=trust_remote_code,
            progress=progress,
        )
        held_out = _of_dataset(prepared, reading, models, trust_remote_code=trust_remote_code)
    if not held_out.trees:
        skipped = listed(f"{count:,} {reason}" for reason, count in held_out.skipped.items()) or "none"
        raise SepoError(
            f"no pair of {held_out.name} is left to measure on ({held_out.which}; skipped: {skipped})",
            "name data that the model was not trained on",
        )
    return held_out


def _of_dataset(
    prepared: TokenizedDataset, reading: Reading, models: Sequence[str], *, trust_remote_code: bool
) -> HoldoutPairs:
    """The holdout pairs of preference data, or all pairs where none is held out."""
    pairs, skipped = prepared.all_pairs()
    pair_ids = [item.pair.pair_id for item in pairs]
    words = "those that --holdout keeps out of training" if reading.holdout_size else BY_COLUMN
    measured = leave_out_trained(
        _held_out((item.pair.extra.get(SPLIT) for item in pairs), prepared.input.name, words),
        pair_ids,
        models,
        trust_remote_code=trust_remote_code,
    )
    trees = [
        Tree(item.prompt_ids, (item.chosen_ids, item.rejected_ids)) for item in (pairs[row] for row in measured.rows)
    ]
    reasons = dict(Counter(row.reason for row in skipped))
    trained_on = measured.trained_on([pair_ids[row] for row in measured.rows])
    return HoldoutPairs(prepared.input.name, trees, _text(measured), reasons, trained_on)


def _of_stage(
    folder: Path,
    reading: Reading,
    models: Sequence[str],
    max_length: int | None,
    *,
    verify: bool,
    trust_remote_code: bool,
) -> HoldoutPairs:
    """The holdout pairs of a rewards or selection directory; all of its pairs, where none was held out."""
    if replace(reading, dataset="", limit=None, seed=0) != Reading():
        raise SepoError(
            f"{folder} was tokenized by sepo: of the options for reading data, it takes --limit alone",
            "leave the others out, or name the data that it was made from",
        )
    read_stage(folder, Stage.SELECTION, Stage.REWARDS)
    frame = scan(folder, verify=verify)  # compares the files of the tokenizer as well
    tokenizers = (load_tokenizer(models[0], trust_remote_code=trust_remote_code), load_stage_tokenizer(folder))
    check_same_vocabulary(*tokenizers, roles=("the model", "the data"))
    splits = [SPLIT] * (SPLIT in frame.collect_schema())
    pairs = frame.select("pair_id", *ID_COLUMNS, *splits).collect()
    of_column = pairs[SPLIT].to_list() if splits else [None] * pairs.height
    measured = leave_out_trained(
        _held_out(of_column, str(folder), BY_COLUMN),
        pairs["pair_id"].to_list(),
        models,
        data=folder,
        trust_remote_code=trust_remote_code,
    )
    reasons = _unusable(models, max_length, trust_remote_code=trust_remote_code)
    found = pairs[measured.rows].with_columns(reasons.alias("reason"))
    skipped = dict(found["reason"].drop_nulls().value_counts(sort=True).iter_rows())
    usable = found.filter(pl.col("reason").is_null()).head(reading.limit or found.height)
    trees = [Tree(prompt, (chosen, rejected)) for prompt, chosen, rejected in usable.select(ID_COLUMNS).iter_rows()]
    trained_on = measured.trained_on(usable["pair_id"].to_list())
    return HoldoutPairs(str(folder), trees, _text(measured), skipped, trained_on)


def _unusable(models: Sequence[str], max_length: int | None, *, trust_remote_code: bool) -> pl.Expr:
    """The reason for which `models` cannot take the ids of a row; null where they can."""
    configs = {model: load_config(model, trust_remote_code=trust_remote_code).get_text_config() for model in models}
    # The length of the pairs was limited when they were scored, so no default limits it here.
    contexts = [context for config in configs.values() if (context := context_length(config)) is not None]
    longest = min(contexts, default=None) if max_length is None else fitting_length(configs, max_length)
    length = pl.col("prompt_ids").list.len() + pl.max_horizontal(*(pl.col(f"{side}_ids").list.len() for side in SIDES))
    too_long = pl.lit(value=False) if longest is None else length > longest
    highest = pl.max_horizontal(*(pl.col(name).list.max() for name in ID_COLUMNS))
    unknown = highest >= min(config.vocab_size for config in configs.values())
    return pl.when(too_long).then(pl.lit("too_long")).when(unknown).then(pl.lit("not_embedded"))


def _held_out(values: Iterable[object], place: str, words: str) -> Measured:
    """The rows that a column `split` holds out, in `words`; all rows where it holds out none."""
    kept = list(values)
    sides = read_sides(kept, place)
    if sides is None:
        return Measured(range(len(kept)))
    return Measured([row for row, side in enumerate(sides) if side == HOLDOUT], (words,))


def _text(measured: Measured) -> str:
    return ", ".join(measured.which) or "all"
