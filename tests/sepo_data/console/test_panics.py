"""Standard error while code in Rust runs: nothing is lost of it but the report of a panic."""

import os

import polars as pl
import pytest

from sepo_data.console import panics
from sepo_data.console.panics import without_panics


@pytest.mark.parametrize(
    ("error", "shown"), [(None, "text"), (ValueError("no"), "text"), (pl.exceptions.PanicException("no"), "")]
)
def test_what_is_written_comes_afterwards_but_for_a_panic(error, shown, capfd):
    def work():
        with without_panics():
            os.write(2, b"text")
            assert capfd.readouterr().err == ""
            if error is not None:
                raise error

    if error is None:
        work()
    else:
        with pytest.raises(type(error)):
            work()
    assert capfd.readouterr().err == shown
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_without_room_for_a_file_nothing_is_kept_back(monkeypatch, capfd):
    def full():
        raise OSError("no space left on device")

    monkeypatch.setattr(panics.tempfile, "TemporaryFile", full)
    with without_panics():
        os.write(2, b"text")
        assert capfd.readouterr().err == "text"
