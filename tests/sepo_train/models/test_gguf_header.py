"""Headers of GGUF files: what they claim is compared with the file before it is believed."""

import random
import struct

import gguf
import numpy as np
import pytest

from sepo_data.errors import SepoError
from sepo_train.models.gguf_header import read_header


def string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def header(*fields, tensors=0, version=3):
    return b"GGUF" + struct.pack("<IQQ", version, tensors, len(fields)) + b"".join(fields)


U32, STRING, ARRAY = 4, 8, 9


@pytest.fixture
def real(tmp_path):
    """A file that the gguf package wrote: fields of each kind, and two tensors."""
    writer = gguf.GGUFWriter(str(tmp_path / "real.gguf"), "llama")
    writer.add_block_count(2)
    writer.add_context_length(10**9)
    writer.add_token_list(["a", "bc"])
    writer.add_token_scores([0.5, 1.5])
    writer.add_bool("flag", val=True)
    writer.add_tensor("first", np.zeros((3, 4), dtype=np.float32))
    writer.add_tensor("second", np.zeros(7, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "real.gguf"


def test_what_a_file_holds(real):
    held = read_header(real)
    assert held.names == {"first", "second"}
    assert held.parameters == 3 * 4 + 7
    assert held.longest == 7


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "does not begin with GGUF"),
        (b"GGUF", "cut off"),
        (
            header(string("a") + struct.pack("<I", STRING) + struct.pack("<Q", 10**18)),
            "1,000,000,000,000,000,000 bytes",
        ),
        (header(string("a") + struct.pack("<IIQ", ARRAY, U32, 10**18)), "ends within a field"),
        (header(string("a") + struct.pack("<IIQ", ARRAY, STRING, 10**18)), "cut off"),
        (header(string("a") + struct.pack("<IIQ", ARRAY, ARRAY, 10**18)), "unknown type 9"),
        (header(string("a") + struct.pack("<I", 77)), "unknown type 77"),
        (
            header(string("llama.block_count") + struct.pack("<II", U32, 10**7)),
            "block_count is 10,000,000 in a file of",
        ),
        (header(string("llama.embedding_length") + struct.pack("<II", U32, 10**9)), "embedding_length is"),
        (header(tensors=10**18), "cut off"),
        (header(tensors=1) + string("w") + struct.pack("<I", 10**9), "1,000,000,000 dimensions"),
        (header(tensors=1) + string("w") + struct.pack("<IQIQ", 1, 4, 0, 10**18), "behind the end"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_header_that_claims_too_much(tmp_path, content, match):
    (tmp_path / "a.gguf").write_bytes(content)
    with pytest.raises(SepoError, match=rf"cannot read .*a\.gguf as GGUF: .*{match}"):
        read_header(tmp_path / "a.gguf")


def test_damage_anywhere(real, tmp_path):
    draw, original = random.Random(15), real.read_bytes()  # noqa: S311 - reproducible on purpose
    for _ in range(500):
        content = bytearray(original[: draw.randrange(4, len(original))] if draw.random() < 0.3 else original)
        for _ in range(draw.randrange(1, 9)):
            content[draw.randrange(len(content))] = draw.choice([0, 1, 127, 255, draw.randrange(256)])
        (tmp_path / "spoilt.gguf").write_bytes(content)
        try:
            held = read_header(tmp_path / "spoilt.gguf")
        except SepoError:
            continue
        assert held.parameters <= 8 * len(content)
