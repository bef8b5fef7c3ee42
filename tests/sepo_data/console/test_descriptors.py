"""Standard streams that are closed, full, or read by nobody."""

import os
import subprocess
import sys

import pytest

from sepo_data.console.descriptors import Unheard

PROGRAM = """
import os, sys
from sepo_data.console.descriptors import flush_output, open_closed_streams, outlive_stderr
for number in map(int, sys.argv[2]):
    os.close(number)
open_closed_streams()
outlive_stderr()
with open(sys.argv[1], "w") as file:
    assert file.fileno() > 2
    for number in (1, 2):
        os.write(number, b"from a library")
    print(sys.stdin.read(), sys.stdout.isatty(), end="")
    print("x" * 100_000, file=sys.stderr)
    file.write("whole")
flush_output()
"""


@pytest.mark.slow
@pytest.mark.parametrize("closed", ["0", "1", "2", "012"])
def test_no_file_takes_the_place_of_a_closed_stream(tmp_path, closed):
    command = [sys.executable, "-c", PROGRAM, tmp_path / "file", closed]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "file").read_text(encoding="utf-8") == "whole"


def test_nobody_hears_it():
    reader, writer = os.pipe()
    os.close(reader)
    stream = Unheard(writer)
    assert stream.write(b"note") == 4
    assert not stream.isatty()
    os.close(writer)
    assert stream.write(b"note") == 4


def test_somebody_hears_it():
    reader, writer = os.pipe()
    assert Unheard(writer).write("ä".encode()) == 2
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        assert stream.read() == "ä".encode()
