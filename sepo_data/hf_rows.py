"""Rows of datasets as the `datasets` library keeps them: folders of `save_to_disk`, repositories on the Hub."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from schemas.errors import HubError, SepoError
from sepo_data.rows import Row, Table, python_rows
from sepo_data.splits import choose_split
from sepo_data.suggest import did_you_mean, listed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BATCH_ROWS = 1000  # rows turned into Python objects at a time


def is_saved(folder: Path) -> bool:
    """Whether `Dataset.save_to_disk` or `DatasetDict.save_to_disk` wrote this folder."""
    return any((folder / name).is_file() for name in ("dataset_dict.json", "state.json"))


def read_saved(folder: Path, split: str | None) -> tuple[Table, str | None, list[Path]]:
    """The rows of a saved dataset, the split chosen, and the files that hold the rows."""
    import datasets

    try:
        if (folder / "dataset_dict.json").is_file():
            split = choose_split(
                json.loads((folder / "dataset_dict.json").read_text("utf-8"))["splits"], split, str(folder)
            )
            folder /= split
        elif split:
            raise SepoError(f"{folder} is one saved dataset without splits", "leave out --split")
        state = json.loads((folder / "state.json").read_text("utf-8"))
        files = [folder / file["filename"] for file in state["_data_files"]]
        return _table(datasets.load_from_disk(str(folder))), split, files
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SepoError(
            f"{folder} is not a whole saved dataset: {error}", "write it again with save_to_disk"
        ) from error


def read_hub(dataset: str, split: str | None, config: str | None) -> tuple[Table, str, str]:
    """The rows of a dataset on the Hub, the split chosen, and the revision: the commit that it was read from.

    The library downloads into its own cache, and reads what is there when the Hub is out of reach.
    """
    import datasets

    if dataset.isidentifier() and find_spec(f"datasets.packaged_modules.{dataset}"):
        # The library would take `json` for its own reader of that name, and read what lies in the working directory.
        raise HubError(f"{dataset} names a file format there, not a dataset")
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()  # in a log every update of a bar is a line
    try:
        builder = datasets.load_dataset_builder(dataset, config)
        builder.download_and_prepare()
        chosen = choose_split(list(builder.info.splits), split, dataset)
        return _table(builder.as_dataset(split=chosen)), chosen, str(builder.hash)
    except SepoError:
        raise
    except Exception as error:  # noqa: BLE001 - three HTTP and two dataset libraries raise through this one door
        # The cause is cut off: some HTTP errors quote the header with the token.
        raise _hub_problem(dataset, config, error) from None


def _table(data: Any) -> Table:  # noqa: ANN401 - datasets ships no types
    plain = data.with_format(None)  # a saved dataset may remember to give tensors

    def values(start: int, stop: int) -> list[dict[str, object]]:
        columns = plain[start:stop]
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]

    def read(start: int, stop: int) -> Iterator[Row]:
        for at in range(start, stop, BATCH_ROWS):
            yield from python_rows(at, min(at + BATCH_ROWS, stop), values)

    return Table(tuple(data.column_names), len(data), read)


def _hub_problem(dataset: str, config: str | None, error: Exception) -> SepoError:
    import datasets

    text = _first_line(error)
    if isinstance(error, FileNotFoundError):
        return HubError(text, "a private or gated dataset needs HF_TOKEN or `hf auth login`")
    if isinstance(error, ConnectionError):
        return HubError(text, "check the connection and HF_HUB_OFFLINE, or name a local copy")
    if isinstance(error, datasets.exceptions.DatasetsError):
        cause = f": {_first_line(error.__cause__)}" if error.__cause__ else ""
        return SepoError(f"the Hub dataset {dataset} cannot be read: {text}{cause}")
    if isinstance(error, ValueError) and "config" in text.lower():
        configs = datasets.get_dataset_config_names(dataset)
        wrong = f"no config {config}, only" if config else "several configs:"
        guess = did_you_mean(config, configs) if config else "choose one with --subset"
        return SepoError(f"the Hub dataset {dataset} has {wrong} {listed(configs)}", guess)
    return HubError(f"{type(error).__name__}: {text}")


def _first_line(error: BaseException) -> str:
    import huggingface_hub

    token = huggingface_hub.get_token()
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return text.replace(token, "***") if token else text
