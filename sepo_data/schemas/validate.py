"""Check a table against the schema of its stage."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from sepo_data.errors import SepoError
from sepo_data.schemas.stages import SIDES, Stage, stage_schema, text_options


def differences(table: pa.Table, stage: Stage) -> list[str]:
    """The differences of `table` from a `stage` dataset, a sentence each; side columns are free.

    Checks columns, types, nulls, the alignment of list lengths, and that no value is NaN or infinite.
    """
    text = table.schema.field("prompt").type if "prompt" in table.column_names else pa.string()
    found = []
    weights = stage is Stage.SELECTION and any(f"{side}_weights" in table.column_names for side in SIDES)
    for field in stage_schema(stage, **text_options(text), weights=weights):
        if field.name not in table.column_names:
            found.append(f"column {field.name} is missing ({field.type})")
            continue
        column = table.column(field.name)
        if column.type != field.type:
            found.append(f"column {field.name} is {column.type}, not {field.type}")
            continue
        metadata = field.metadata
        values = pc.list_flatten(column) if pa.types.is_large_list(column.type) else column
        nulls = column.null_count + (values.null_count if values is not column else 0)
        if nulls and b"nullable" not in metadata:
            found.append(f"column {field.name} has {nulls} nulls")
        if b"counts" in metadata:
            found += _miscounted(table, field.name, metadata[b"counts"].decode())
        if b"aligned" in metadata:
            found += _misaligned(table, field.name, metadata[b"aligned"].decode())
        found += _non_finite(values, field.name)
    return found


def check_table(table: pa.Table, stage: Stage, where: str) -> None:
    """Raise a `SepoError` that lists every difference of `table` (read from `where`) from its stage's schema."""
    if found := differences(table, stage):
        listed = "\n  ".join(found)
        raise SepoError(
            f"{where} is not a valid {stage} dataset:\n  {listed}",
            "it was changed by hand or written by another version; write it again with `sepo "
            + ("score`" if stage is Stage.REWARDS else "select`"),
        )


def _misaligned(table: pa.Table, name: str, ids: str) -> list[str]:
    if ids not in table.column_names or not pa.types.is_large_list(table.schema.field(ids).type):
        return []
    lengths = pc.list_value_length(table.column(name))
    bad = pc.sum(pc.not_equal(lengths, pc.list_value_length(table.column(ids)))).as_py() or 0
    return [f"column {name} is not as long as {ids} in {bad} rows"] if bad else []


def _miscounted(table: pa.Table, name: str, counted: str) -> list[str]:
    """Rows in which `name` is not the number of tokens in (or selected by) the list `counted`, or is 0."""
    if counted not in table.column_names or not pa.types.is_large_list(table.schema.field(counted).type):
        return []
    lists = table.column(counted)
    true = pc.cast(pc.list_value_length(lists), pa.int32())
    if pa.types.is_boolean(lists.type.value_type):
        combined = lists.combine_chunks()
        bits = pc.cast(pc.fill_null(combined.values, fill_value=False), pa.int32())
        before = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(bits)])
        true = pc.subtract(before.take(combined.offsets[1:]), before.take(combined.offsets[:-1]))
    bad = pc.sum(pc.or_(pc.not_equal(table.column(name), true), pc.less(table.column(name), 1))).as_py() or 0
    return [f"column {name} is not the number in {counted}, or is 0, in {bad} rows"] if bad else []


def _non_finite(values: pa.ChunkedArray, name: str) -> list[str]:
    if not pa.types.is_floating(values.type):
        return []
    bad = len(values) - values.null_count - (pc.sum(pc.is_finite(values)).as_py() or 0)
    return [f"column {name} has {bad} NaN or infinite values"] if bad else []
