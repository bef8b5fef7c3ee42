"""The two JSON files that make a folder of Arrow shards a dataset for `datasets.load_from_disk`.

Written without importing `datasets`, which takes longer to import than a selection takes to run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa

if TYPE_CHECKING:
    from sepo_data.schemas.manifest import Manifest


def dataset_state(manifest: Manifest) -> dict[str, Any]:
    """`state.json` as `datasets.load_from_disk` reads it."""
    return {
        "_data_files": [{"filename": shard.file} for shard in manifest.shards],
        "_fingerprint": manifest.fingerprint,
        "_format_columns": None,
        "_format_kwargs": {},
        "_format_type": None,
        "_output_all_columns": False,
        "_split": None,
    }


def dataset_info(schema: pa.Schema) -> dict[str, Any]:
    """`dataset_info.json`: the features that `datasets` would derive from `schema`, written without importing it."""
    return {
        "citation": "",
        "description": "",
        "features": {field.name: _feature(field.type) for field in schema},
        "homepage": "",
        "license": "",
    }


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_large_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "LargeList"}
    if pa.types.is_list(kind):
        return {"feature": _feature(kind.value_type), "_type": "List"}
    if pa.types.is_struct(kind):
        return {field.name: _feature(field.type) for field in kind}
    names = {
        "float": "float32",
        "double": "float64",
        "halffloat": "float16",
        "date32[day]": "date32",
        "date64[ms]": "date64",
    }
    return {"dtype": names.get(str(kind), str(kind)), "_type": "Value"}
