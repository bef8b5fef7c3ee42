"""Rows of JSON lines and of JSON arrays. An unusable row is a Row, a damaged file an error."""

from __future__ import annotations

import codecs
import re
from dataclasses import replace
from typing import TYPE_CHECKING, TypeGuard, cast

from sepo_data.console.text import listed
from sepo_data.errors import SepoError
from sepo_data.readers.json_array import BadValue, array_items, parse
from sepo_data.readers.rows import DataFile, Row, Table
from sepo_data.readers.text_reader import FIRST, MAX_ROW_BYTES, Place, TextFormat, is_utf8, open_text, text_table

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping


_OVER_LINES = re.compile(rb'\{[ \t]*(\r?\n\s*"|"[^"\\\n]*"[ \t]*:[ \t]*\[[ \t]*\r?\n)')
"""An object whose first key or first list item is not in its first line."""


def read_json_lines(file: DataFile, limit: int | None) -> Table:
    """The rows of a file with one JSON object a line; blank lines are skipped."""
    return text_table(file, limit, TextFormat("json lines", _lines, _line_row), None)


def read_answer(file: DataFile, limit: int | None) -> Table:
    """The rows of a database, from a JSON lines copy. Details name the row of the query's answer, not a line."""
    form = TextFormat("json lines", _lines, _answer_row, place="row {line} of the answer of {file}")
    return text_table(file, limit, form, None)


def read_json(file: DataFile, limit: int | None) -> Table:
    """The rows of an array of objects, or of JSON lines, which many .json files hold; only an array begins with `[`."""
    with open_text(file, FIRST) as handle:
        head = handle.read(1000).removeprefix(codecs.BOM_UTF8).lstrip()
    if head.startswith(b"["):
        return text_table(file, limit, TextFormat("json array", _items, _item_row), None)
    if _OVER_LINES.match(head):
        raise SepoError(
            f"{file.address} holds a JSON object over several lines, not an array of objects",
            f"{_unwrap('KEY')} extracts the rows in KEY; jq -c . IN > OUT.jsonl writes one object a line",
        )
    table = read_json_lines(file, limit)
    if table.rows == 1:
        _refuse_wrapped(file, next(table.read(0, 1)).value or {})
    return table


def _refuse_wrapped(file: DataFile, only: Mapping[str, object]) -> None:
    """Raise if the only object holds the rows: in a list under its only key, or as pandas or the Hub's viewer do."""
    lists = {key: items for key, items in only.items() if _are_objects(items)}
    if lists and (len(only) == 1 or ("data" in lists and "schema" in only)):
        raise SepoError(
            f"{file.address} is one JSON object, and its rows are in {listed(lists)}",
            f"extract them: {_unwrap(next(iter(lists)))}",
        )
    if "rows" in lists and all("row" in item for item in lists["rows"]):
        raise SepoError(
            f"{file.address} is one JSON object, and its rows are in rows, each in row",
            "extract them: jq -c '.rows[].row' IN > OUT.jsonl",
        )
    if (orient := _orient(only)) is not None:
        raise SepoError(
            f"{file.address} is a table of pandas in one JSON object, of orient={orient!r}",
            "write it with DataFrame.to_json(OUT, orient='records', lines=True), where each row is an object; "
            f"pandas.read_json(IN, orient={orient!r}) reads it back",
        )


def _are_objects(items: object) -> TypeGuard[list[dict[str, object]]]:
    return isinstance(items, list) and bool(items) and all(isinstance(item, dict) for item in items)


def _orient(only: Mapping[str, object]) -> str | None:
    """The `orient` of DataFrame.to_json that made this object; None if it is a row. Row numbers are keys of it."""
    if {"columns", "data"} <= only.keys() <= {"columns", "data", "index"}:
        return "split"
    inside = [value for value in only.values() if isinstance(value, dict)]
    if not inside or len(inside) < len(only) or any(value.keys() != inside[0].keys() for value in inside):
        return None
    if _are_numbers(inside[0]):
        return "columns"
    return "index" if _are_numbers(only) else None


def _are_numbers(keys: Collection[str]) -> bool:
    return bool(keys) and all(key.isdecimal() for key in keys)


def _unwrap(key: str) -> str:
    return f"""jq -c '.["{listed([key])}"][]' IN > OUT.jsonl"""


# JSON lines


def _lines(file: DataFile, place: Place) -> Iterator[tuple[Place, bytes | None]]:
    """Pairs (place, line) of the lines that are not blank; None for a line that is too long."""
    line, byte = place
    with open_text(file, place) as handle:
        while text := handle.readline(MAX_ROW_BYTES):
            place, rest = Place(line, byte), text
            while rest and not rest.endswith(b"\n"):
                byte += len(rest)
                rest = handle.readline(MAX_ROW_BYTES)
            if byte > place.byte and rest:
                yield place, None
            elif (text := text.removeprefix(codecs.BOM_UTF8)).strip():
                yield place, text
            line, byte = line + 1, byte + len(rest)


def _line_row(number: int, place: str, text: bytes | None) -> Row:
    if text is None:
        return Row(number, None, "too_large", f"{place}: longer than {MAX_ROW_BYTES >> 20} MiB")
    try:
        return _row(number, place, parse(text.decode()))
    except UnicodeDecodeError as error:
        return Row(number, None, "invalid_utf8", f"{place}: {error.reason} at byte {error.start} of the line")
    except (ValueError, RecursionError) as error:
        return Row(number, None, "invalid_json", f"{place}: {error}")


def _answer_row(number: int, place: str, text: bytes | None) -> Row:
    row = _line_row(number, place, text)
    if row.problem != "invalid_utf8" or text is None:
        return row
    values = cast("dict[str, object]", parse(text.decode("utf-8", "surrogateescape")))
    wrong = [name for name, value in values.items() if not is_utf8(f"{name}{value}")]
    return replace(row, detail=f"{place}: column {listed(wrong)}")


# Arrays


def _items(file: DataFile, place: Place) -> Iterator[tuple[Place, object]]:
    # A byte that is not UTF-8 spoils its item, and no other.
    decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
    with open_text(file, place) as handle:

        def read(size: int) -> str:
            data = handle.read(size)
            # A piece may hold only a part of a character, which decodes to ""; but "" means the end.
            return decode(data, final=not data) or (read(size) if data else "")

        try:
            yield from array_items(read, place)
        except ValueError as error:
            raise SepoError(f"{file.address} is not a JSON array of objects: {error}") from error


def _item_row(number: int, place: str, item: object) -> Row:
    if isinstance(item, BadValue):
        return Row(number, None, item.reason, f"{place}: {item.detail}")
    return _row(number, place, item)


def _row(number: int, place: str, value: object) -> Row:
    if not isinstance(value, dict):
        return Row(number, None, "not_an_object", f"{place}: {type(value).__name__}")
    return Row(number, value, "", place)
