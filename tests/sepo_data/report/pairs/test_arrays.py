"""Arrays in base64."""

import base64

import numpy as np

from sepo_data.report.pairs.arrays import packed, packed_bits, packed_codes, packed_logps


def unpacked(text: str, kind: str) -> list:
    return np.frombuffer(base64.b64decode(text), kind).tolist()


def test_numbers_are_little_endian_and_exact():
    assert base64.b64decode(packed([1, -2], "int32")) == b"\x01\0\0\0\xfe\xff\xff\xff"
    rewards = np.array([0.1, -0.0, 3e-45, 3.4e38], np.float32)
    assert np.frombuffer(base64.b64decode(packed(rewards, "float32")), "<f4").tobytes() == rewards.tobytes()


def test_codes_take_two_bytes_where_they_fit():
    assert packed_codes(np.array([0, 65535]), 65536) == {"uint16": packed([0, 65535], "uint16")}
    assert packed_codes(np.array([65536]), 65537) == {"uint32": packed([65536], "uint32")}


def test_bits_begin_with_the_lowest():
    assert base64.b64decode(packed_bits(np.array([True, False, True] + [False] * 5 + [True]))) == b"\x05\x01"


def test_log_probabilities_are_rounded_to_thousandths():
    assert unpacked(packed_logps(np.array([-1.2344, -0.0, -65.535], np.float32))["thousandths"], "<u2") == [
        1234, 0, 65535,
    ]  # fmt: skip
    assert packed_logps(np.array([], np.float32)) == {"thousandths": ""}


def test_log_probabilities_that_do_not_fit_are_kept_as_they_are():
    for odd in (-66.0, 0.5):
        logps = np.array([-1.0, odd], np.float32)
        assert unpacked(packed_logps(logps)["float32"], "<f4") == [-1.0, odd]
