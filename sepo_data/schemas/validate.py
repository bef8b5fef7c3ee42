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
    found = []
    for field in _stage_fields(table.schema, stage):
        wrong = _column_difference(table.schema, field)
        found += [wrong] if wrong else _value_differences(table, field)
    return found


def column_differences(schema: pa.Schema, stage: Stage) -> list[str]:
    """The differences of `schema` from that of a `stage` dataset; side columns are free."""
    found = (_column_difference(schema, field) for field in _stage_fields(schema, stage))
    twice = [name for name in dict.fromkeys(schema.names) if schema.names.count(name) > 1]
    return [*filter(None, found), *(f"column {name} is there twice" for name in twice)]


def check_table(table: pa.Table, stage: Stage, where: str) -> None:
    """Raise a `SepoError` that lists every difference of `table` (read from `where`) from its stage's schema."""
    if found := differences(table, stage):
        raise SepoError(
            f"{where} is not a valid {stage} dataset:",
            "it was changed by hand or written by another version; write it again with `sepo "
            + ("score`" if stage is Stage.REWARDS else "select`"),
            details=found,
        )


def _stage_fields(schema: pa.Schema, stage: Stage) -> pa.Schema:
    """The schema of `stage` for texts of the type that `schema` has, with soft weights where it has any."""
    place = schema.get_field_index("prompt")
    text = schema.field(place).type if place >= 0 else pa.string()
    weights = stage is Stage.SELECTION and any(f"{side}_weights" in schema.names for side in SIDES)
    return stage_schema(stage, **text_options(text), weights=weights)


def _column_difference(schema: pa.Schema, field: pa.Field) -> str:
    place = schema.get_field_index(field.name)
    if place < 0:
        return f"column {field.name} is missing ({field.type})"
    found = schema.field(place).type
    return "" if found == field.type else f"column {field.name} is {found}, not {field.type}"


def _value_differences(table: pa.Table, field: pa.Field) -> list[str]:
    """Nulls, lengths and numbers in the column `field` that its contract rules out."""
    found = []
    column, metadata = table.column(field.name), field.metadata
    values = pc.list_flatten(column) if pa.types.is_large_list(column.type) else column
    nulls = column.null_count + (values.null_count if values is not column else 0)
    if nulls and b"nullable" not in metadata:
        found.append(f"column {field.name} has {nulls} nulls")
    if b"counts" in metadata:
        found += _miscounted(table, field.name, metadata[b"counts"].decode())
    if b"aligned" in metadata:
        found += _misaligned(table, field.name, metadata[b"aligned"].decode())
    return found + _non_finite(values, field.name)


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
