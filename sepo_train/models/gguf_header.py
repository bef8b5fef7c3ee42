"""The header of a GGUF file, read within the file's bounds: what it claims is checked before a library believes it.

The layout is that of https://github.com/ggml-org/ggml/blob/master/docs/gguf.md, little-endian.
"""

from __future__ import annotations

import struct
from math import prod
from typing import TYPE_CHECKING

from sepo_data.errors import SepoError
from sepo_train.models.weights import Held

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

_FORMATS = dict(enumerate(["<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?", "-", "-", "<Q", "<q", "<d"]))
_STRING, _ARRAY = 8, 9
_MOST_DIMENSIONS = 8
_COUNTS = ("_count", "_length", "_count_kv", "_size")


def read_header(file: Path) -> Held:
    """Tensors of `file`, by its header.

    Raises:
        SepoError: it is no GGUF file, is cut off, or claims lengths that no file of its size has.
    """
    size = file.stat().st_size
    try:
        with file.open("rb") as stream:
            if stream.read(4) != b"GGUF":
                raise ValueError("it does not begin with GGUF")  # noqa: TRY301
            _version, tensors, fields = struct.unpack("<IQQ", stream.read(20))
            for _ in range(fields):
                _read_field(stream, size)
            shapes = dict(_read_tensor(stream, size) for _ in range(tensors))
    except (OSError, ValueError, struct.error) as error:
        reason = "its header is cut off" if isinstance(error, struct.error) else error
        raise SepoError(f"cannot read {file} as GGUF: {reason}", "the file may be damaged or unsupported") from error
    longest = max((length for shape in shapes.values() for length in shape), default=0)
    return Held(frozenset(shapes), min(sum(map(prod, shapes.values())), 8 * size), longest)


def _read_field(stream: BinaryIO, size: int) -> None:
    key = _read_string(stream, size)
    [kind] = struct.unpack("<I", stream.read(4))
    value = _read_value(stream, size, kind)
    if isinstance(value, int) and key.endswith(_COUNTS) and not 0 <= value <= size and "context" not in key:
        raise ValueError(f"{key} is {value:,} in a file of {size:,} bytes")


def _read_value(stream: BinaryIO, size: int, kind: int) -> object:
    if kind == _STRING:
        return _read_string(stream, size)
    if kind != _ARRAY:
        return _unpack(stream, kind)
    of, length = struct.unpack("<IQ", stream.read(12))
    if of == _STRING:
        for _ in range(length):  # ends where the file does
            _read_string(stream, size)
    else:
        _skip(stream, size, length * struct.calcsize(_format(of)))
    return None


def _read_tensor(stream: BinaryIO, size: int) -> tuple[str, tuple[int, ...]]:
    name = _read_string(stream, size)
    [dimensions] = struct.unpack("<I", stream.read(4))
    if dimensions > _MOST_DIMENSIONS:
        raise ValueError(f"the tensor {name[:60]} has {dimensions:,} dimensions")
    shape = struct.unpack(f"<{dimensions}Q", stream.read(8 * dimensions))
    _kind, offset = struct.unpack("<IQ", stream.read(12))
    if offset > size:
        raise ValueError(f"the tensor {name[:60]} begins behind the end of the file")
    return name, shape


def _read_string(stream: BinaryIO, size: int) -> str:
    [length] = struct.unpack("<Q", stream.read(8))
    start = stream.tell()
    _skip(stream, size, length)
    stream.seek(start)
    return stream.read(length).decode("utf-8", "replace")


def _skip(stream: BinaryIO, size: int, length: int) -> None:
    if stream.tell() + length > size:
        raise ValueError(f"it ends within a field of {length:,} bytes")
    stream.seek(length, 1)


def _unpack(stream: BinaryIO, kind: int) -> object:
    form = _format(kind)
    [value] = struct.unpack(form, stream.read(struct.calcsize(form)))
    return value


def _format(kind: int) -> str:
    form = _FORMATS.get(kind, "-")
    if form == "-":
        raise ValueError(f"it has a field of the unknown type {kind}")
    return form
