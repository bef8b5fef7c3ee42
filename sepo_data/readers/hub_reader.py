"""Rows of datasets of the `datasets` library: folders of `save_to_disk` and repositories on the Hub."""

from __future__ import annotations

import hashlib
import json
import sys
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from itertools import chain
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

import pyarrow as pa

from sepo_data.console.output import print_notes
from sepo_data.console.text import did_you_mean, listed
from sepo_data.errors import HubError, SepoError
from sepo_data.readers.arrow_reader import BATCH_ROWS, read_arrow, rows_at_once, write_stream
from sepo_data.readers.materialized import cached_copy
from sepo_data.readers.rows import DataFile, Row, Table, python_rows
from sepo_data.readers.splits import choose_split
from sepo_data.storage.hub import explain, not_cached, out_of_reach, without_token

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


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
        names = [PurePosixPath(file["filename"]) for file in state["_data_files"]]
        if outside := [name for name in names if name.is_absolute() or ".." in name.parts]:
            raise SepoError(f"{folder / 'state.json'} names {outside[0]}, which is outside of {folder}")
        files = [folder / name for name in names]
        for file in files:  # the library maps them as they are
            file.stat()  # raises where one is missing
            read_arrow(DataFile(file, str(file), file.name, ".arrow"), None)
        return _table(datasets.load_from_disk(str(folder))), split, files
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SepoError(
            f"{folder} is not a complete saved dataset: {error}", "write it again with save_to_disk"
        ) from error


def read_hub(dataset: str, split: str | None, config: str | None, revision: str | None) -> tuple[Table, str, str]:
    """The rows of a dataset on the Hub, the split chosen, and a hash that depends on the commit.

    The library downloads into its own cache, and reads from there if the Hub is out of reach.
    """
    with _hub_errors(dataset, config):
        builder = _builder(dataset, config, revision)
        builder.download_and_prepare()
        chosen = choose_split(list(builder.info.splits), split, dataset)
        return _table(builder.as_dataset(split=chosen)), chosen, str(builder.hash)


def stream_hub(
    dataset: str, split: str | None, config: str | None, revision: str | None, limit: int | None
) -> tuple[Table, str, str]:
    """As `read_hub`, without downloading files: the rows, or the first `limit`, are streamed into the cache folder."""
    with _hub_errors(dataset, config):
        builder = _builder(dataset, config, revision)
        streams = builder.as_streaming_dataset()
        chosen = choose_split(list(streams), split, dataset)
        identity = json.dumps([dataset, str(builder.hash), config, chosen, limit])
        stream = streams[chosen] if limit is None else streams[chosen].take(limit)
        name = hashlib.sha256(identity.encode()).hexdigest()[:32]
        rows = cached_copy(name, partial(_write_stream, stream), origin=dataset)
        return read_arrow(DataFile(rows, dataset, dataset, ".arrow"), None), chosen, str(builder.hash)


def _builder(dataset: str, config: str | None, revision: str | None) -> Any:  # noqa: ANN401 - datasets ships no types
    import datasets

    if dataset.isidentifier() and find_spec(f"datasets.packaged_modules.{dataset}"):
        # The library would take `json` for its own reader of that name, and read the files of the working directory.
        raise HubError(f"{dataset} names a file format there, not a dataset")
    if reason := out_of_reach(dataset, "dataset"):
        print_notes([f"{reason}; {dataset} is read from its cache, where it has one"])
    if not sys.stderr.isatty():
        datasets.disable_progress_bars()  # in a log, each update of a bar is a line
    return datasets.load_dataset_builder(dataset, config, revision=revision)


def _write_stream(stream: Any, sink: BinaryIO) -> None:  # noqa: ANN401 - datasets ships no types
    """Write the rows of a stream. The first rows decide the types."""
    tables = stream.with_format("arrow").iter(BATCH_ROWS)
    first = next(tables, None)
    schema = first.schema if first is not None else pa.schema([])
    same = (table.cast(schema) for table in chain([] if first is None else [first], tables))
    write_stream(schema, (batch for table in same for batch in table.to_batches()), sink)


@contextmanager
def _hub_errors(dataset: str, config: str | None) -> Iterator[None]:
    """Make a SepoError of any error of the libraries."""
    try:
        yield
    except SepoError:
        raise
    except Exception as error:  # noqa: BLE001 - three HTTP and two dataset libraries raise here
        # Without the cause: some HTTP errors quote the header with the token.
        raise _hub_problem(dataset, config, error) from None


def _table(data: Any) -> Table:  # noqa: ANN401 - datasets ships no types
    plain = data.with_format(None)  # a saved dataset may have a format, such as tensors
    _leave_encoded(plain.info.features)
    size = rows_at_once(data.data.nbytes, len(data.data))
    return Table(tuple(data.column_names), len(data), partial(_read, plain, size))


def _leave_encoded(feature: Any) -> None:  # noqa: ANN401 - datasets ships no types
    """Decode no images, sounds and the like, however deep: their files are where the data says, also on the web."""
    import datasets

    if isinstance(feature, dict | list | tuple):
        for inner in feature.values() if isinstance(feature, dict) else feature:
            _leave_encoded(inner)
    elif hasattr(feature, "feature"):
        _leave_encoded(feature.feature)
    elif getattr(feature, "decode", False) and not isinstance(feature, datasets.Json):
        feature.decode = False


def _read(data: Any, size: int, start: int, stop: int) -> Iterator[Row]:  # noqa: ANN401 - datasets ships no types
    stop = min(stop, len(data))
    for at in range(start, stop, size):
        yield from python_rows(at, min(at + size, stop), partial(_values, data))


def _values(data: Any, start: int, stop: int) -> list[dict[str, object]]:  # noqa: ANN401 - datasets ships no types
    columns = data[start:stop]
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _hub_problem(dataset: str, config: str | None, error: Exception) -> SepoError:
    if isinstance(error, ConnectionError) and (reason := out_of_reach(dataset, "dataset")):
        return not_cached(reason, dataset)
    return explain(error, dataset, "dataset") or _problem(dataset, config, error)


def _problem(dataset: str, config: str | None, error: Exception) -> SepoError:
    import datasets

    text = without_token(error)
    if isinstance(error, FileNotFoundError) and "revision" in text.lower():
        return HubError(text, "a revision is a branch, a tag or a commit")
    if isinstance(error, RuntimeError) and "scripts are no longer supported" in text:
        return SepoError(
            f"the Hub dataset {dataset} is a Python script, which is never run",
            "the Hub may have its rows as files: --revision refs/convert/parquet",
        )
    if isinstance(error, FileNotFoundError):
        return HubError(text, "a private or gated dataset needs HF_TOKEN or `hf auth login`")
    if isinstance(error, datasets.exceptions.DatasetsError):
        cause = f": {without_token(error.__cause__)}" if error.__cause__ else ""
        return SepoError(f"the Hub dataset {dataset} cannot be read: {text}{cause}")
    if isinstance(error, ValueError) and "config" in text.lower():
        configs = datasets.get_dataset_config_names(dataset)
        wrong = f"no config {config}, only" if config else "several configs:"
        guess = did_you_mean(config, configs) if config else "choose one with --subset"
        return SepoError(f"the Hub dataset {dataset} has {wrong} {listed(configs)}", guess)
    return HubError(f"{type(error).__name__}: {text}")
