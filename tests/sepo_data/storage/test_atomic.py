"""A name holds a complete file or none; a full disk is recognised in the errors of several libraries."""

import errno
import os

import pytest

from sepo_data.storage.atomic import atomic_write, disk_full, write_text
from sepo_data.storage.location import location


@pytest.mark.parametrize(
    "error",
    [
        *(OSError(number, os.strerror(number)) for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)),
        Exception("Error while serializing: I/O error: No space left on device (os error 28)"),
        Exception("Error while serializing: I/O error: File too large (os error 27)"),
        Exception("Disk quota exceeded (os error 122)"),
        RuntimeError("[enforce fail at inline_container.cc:664] . unexpected pos 64 vs 0"),
        RuntimeError("PytorchStreamWriter failed writing file data/0: file write failed"),
    ],
)
def test_a_full_disk(error):
    assert disk_full(error)


@pytest.mark.parametrize("error", [OSError(errno.EACCES, "Permission denied"), OSError("odd"), RuntimeError("shape")])
def test_another_error(error):
    assert not disk_full(error)


def test_a_failed_write_leaves_no_object(store):
    file = location(store) / "x"
    with pytest.raises(ZeroDivisionError), atomic_write(file) as sink:  # noqa: PT012
        sink.write(b"half")
        raise ZeroDivisionError
    assert not file.exists()
    write_text(file, "ä")
    with pytest.raises(ZeroDivisionError), atomic_write(file) as sink:  # noqa: PT012
        sink.write(b"half" * 10_000_000)
        raise ZeroDivisionError
    assert file.read_bytes() == "ä".encode()
