"""The holdout pairs of a dataset, from its `split` column, the oracle's record or the policy's manifest."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from sepo_data import scan
from sepo_data.errors import SepoError
from sepo_data.preferences.holdout import HOLDOUT, SPLIT, parse_holdout
from sepo_data.preferences.reading import Reading
from sepo_data.schemas.folder import MANIFEST
from sepo_data.schemas.stages import SIDES, Stage
from sepo_data.stages.directory import read_manifest, read_stage
from sepo_data.stages.lineage import read_ancestors
from sepo_data.stages.seen_pairs import read_oracle_record
from sepo_train.engine.layout import Tree
from sepo_train.models.files import context_length, fitting_length, load_config
from sepo_train.models.tokenized_input import open_tokenized
from sepo_train.models.tokenizers import check_same_vocabulary, load_stage_tokenizer, load_tokenizer
from sepo_train.training.selected_pairs import SelectedPairs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sepo_data.console.progress import Progress
    from sepo_data.preferences.skipped import Truncate

ID_COLUMNS = ("prompt_ids", "chosen_ids", "rejected_ids")
UNSEEN = "those that the oracle has not seen"


@dataclass(frozen=True, slots=True)
class HoldoutPairs:
    """The pairs that an evaluation measures on.

    Attributes:
        name: of the dataset.
        trees: one a pair, its responses are the chosen and the rejected one.
        which: the part of the dataset that these are, in words.
        skipped: number of unusable pairs, by reason.
    """

    name: str
    trees: Sequence[Tree]
    which: str
    skipped: dict[str, int]

    def record(self) -> dict[str, object]:
        """The part of `evaluation.json` that says which pairs these are."""
        return {"data": {"name": self.name, "which": self.which, "skipped": self.skipped}}


def read_holdout_pairs(
    reading: Reading,
    models: Sequence[str],
    *,
    max_length: int | None,
    truncate: Truncate | None,
    chat_template: Path | None,
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
    seen = read_oracle_record(models[0])
    seen_pairs = seen.pair_ids if seen else frozenset[str]()
    if reading.dataset and (Path(reading.dataset) / MANIFEST).exists():
        held_out = _of_stage(
            Path(reading.dataset), reading, models, max_length, seen_pairs, verify=verify, trust=trust_remote_code
        )
    else:
        prepared = open_tokenized(
            reading.in_any_order(),
            models[0],
            other=models[-1],
            max_length=max_length,
            truncate=truncate,
            chat_template=chat_template,
            trust_remote_code=trust_remote_code,
            progress=progress,
        )
        found, skipped = prepared.all_pairs()
        which = ["those that --holdout keeps out of training"] if reading.holdout_size else []
        pairs = [item for item in found if not reading.holdout_size or item.pair.extra[SPLIT] == HOLDOUT]
        unseen = [item for item in pairs if item.pair.pair_id not in seen_pairs]
        which += [UNSEEN] if len(unseen) < len(pairs) else []
        trees = [Tree(item.prompt_ids, (item.chosen_ids, item.rejected_ids)) for item in unseen]
        reasons = Counter(row.reason for row in skipped)
        held_out = HoldoutPairs(prepared.input.name, trees, ", ".join(which) or "all", dict(reasons))
    if not held_out.trees:
        raise SepoError(
            f"no pair of {held_out.name} is left to measure on ({held_out.which}; skipped: {held_out.skipped})",
            "name data that the model was not trained on",
        )
    return held_out


def _of_stage(
    folder: Path,
    reading: Reading,
    models: Sequence[str],
    max_length: int | None,
    seen_pairs: frozenset[str],
    *,
    verify: bool,
    trust: bool,
) -> HoldoutPairs:
    """The holdout pairs of a rewards or selection directory; all of its pairs, where none was held out."""
    if replace(reading, dataset="", limit=None, seed=0) != Reading():
        raise SepoError(
            f"{folder} was tokenized by sepo: of the options for reading data, it takes --limit alone",
            "leave the others out, or name the data that it was made from",
        )
    fingerprint = read_stage(folder, Stage.SELECTION, Stage.REWARDS).fingerprint
    frame = scan(folder, verify=verify)  # compares the files of the tokenizer as well
    tokenizers = (load_tokenizer(models[0], trust_remote_code=trust), load_stage_tokenizer(folder))
    check_same_vocabulary(*tokenizers, roles=("the model", "the data"))
    columns = frame.collect_schema().names()
    held, which = _held_out_rows(folder, frame, columns, models[0], fingerprint, verify=verify)
    rows = frame.select("pair_id", *ID_COLUMNS).collect()
    rows = rows if held is None else rows[held]
    unseen = rows.filter(~pl.col("pair_id").is_in(list(seen_pairs)))
    if unseen.height < rows.height:
        which = ", ".join(filter(None, [which, UNSEEN]))
    configs = {model: load_config(model, trust_remote_code=trust).get_text_config() for model in models}
    # The length of the pairs was limited when they were scored, so no default limits it here.
    contexts = [context for config in configs.values() if (context := context_length(config)) is not None]
    longest = min(contexts, default=None) if max_length is None else fitting_length(configs, max_length)
    length = pl.col("prompt_ids").list.len() + pl.max_horizontal(*(pl.col(f"{side}_ids").list.len() for side in SIDES))
    fits = pl.lit(value=True) if longest is None else length <= longest
    highest = pl.max_horizontal(*(pl.col(name).list.max() for name in ID_COLUMNS))
    embedded = highest < min(config.vocab_size for config in configs.values())
    usable = unseen.filter(fits & embedded)
    skipped = {"too_long": unseen.filter(~fits).height, "not_embedded": unseen.filter(fits & ~embedded).height}
    trees = [
        Tree(prompt, (chosen, rejected))
        for prompt, chosen, rejected in usable.head(reading.limit or usable.height).select(ID_COLUMNS).iter_rows()
    ]
    return HoldoutPairs(str(folder), trees, which or "all", {reason: rows for reason, rows in skipped.items() if rows})


def _held_out_rows(
    folder: Path, frame: pl.LazyFrame, columns: Sequence[str], model: str, fingerprint: str, *, verify: bool
) -> tuple[Sequence[int] | None, str]:
    """The rows of `folder` that were kept out of training, and the record that names them; None for all rows."""
    if SPLIT in columns:
        held = frame.select((pl.col(SPLIT) == HOLDOUT).fill_null(value=False).arg_true()).collect()[SPLIT].to_list()
        if held:
            return held, "those whose column split says holdout"
    trained = read_manifest(Path(model)) if (Path(model) / MANIFEST).exists() else None
    if trained is None or trained.stage is not Stage.POLICY:
        return None, ""
    if trained.parent != fingerprint:
        made_of = {manifest.fingerprint for manifest in read_ancestors(trained).values()}
        return None, "all, and the model was trained on some of them" if fingerprint in made_of else ""
    # The model was trained on this same selection: it has not seen the pairs that `sepo train --holdout` kept out.
    size = parse_holdout(str(trained.options.get("holdout") or 0))
    if not size:
        return None, "all, and the model was trained on them"
    return list(SelectedPairs.open(folder, verify=verify).split(size)[1].rows), f"those that --holdout {size} kept out"
