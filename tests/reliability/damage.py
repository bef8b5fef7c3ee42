"""Seeded damage to a file: what disks, transfers and attackers do to bytes."""

from __future__ import annotations

import random
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

HUGE = [2**31 - 1, -1, 2**31, 2**62, 2**63 - 1, 0, 1 << 24, 1 << 33]
"""Lengths, counts and offsets that no small file has."""


def flipped_bits(data: bytearray, dice: random.Random) -> None:
    for _ in range(dice.choice([1, 1, 2, 8, 64])):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def cut(data: bytearray, dice: random.Random) -> None:
    del data[dice.randrange(len(data)) :]


def cut_inside(data: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(data))
    del data[start : start + dice.choice([1, 8, 64, 1000])]


def zeroed(data: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(data))
    stop = min(len(data), start + dice.choice([1, 4, 8, 64, 512, 4096]))
    data[start:stop] = bytes(stop - start)


def repeated(data: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(data))
    part = data[start : start + dice.choice([8, 64, 512, 4096])]
    at = dice.randrange(len(data) + 1)
    data[at : at + dice.choice([0, len(part)])] = part


def huge_number(data: bytearray, dice: random.Random) -> None:
    """A number of 4 or 8 bytes, at a place where one may stand, becomes one that is far too large, or negative."""
    for _ in range(dice.choice([1, 1, 3])):
        size = dice.choice([4, 8])
        at = dice.randrange(max(1, (len(data) - size) // 4)) * 4
        data[at : at + size] = struct.pack("<q", dice.choice(HUGE))[:size]


def off_by_some(data: bytearray, dice: random.Random) -> None:
    """A number becomes another that is close to it: a length that is off by one passes coarse checks."""
    at = dice.randrange(max(1, (len(data) - 4) // 4)) * 4
    [value] = struct.unpack("<I", bytes(data[at : at + 4]).ljust(4, b"\0"))
    data[at : at + 4] = struct.pack("<I", (value + dice.choice([-64, -8, -1, 1, 8, 64])) % 2**32)


def noise(data: bytearray, dice: random.Random) -> None:
    start = dice.randrange(len(data))
    stop = min(len(data), start + dice.choice([1, 8, 64]))
    data[start:stop] = dice.randbytes(stop - start)


KINDS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flipped_bits,
    cut,
    cut_inside,
    zeroed,
    repeated,
    huge_number,
    off_by_some,
    noise,
)


def damaged(data: bytes, seed: int) -> tuple[bytes, str]:
    """Other bytes than `data`, and the kind of the damage; equal seeds give equal damage."""
    dice = random.Random(seed)  # noqa: S311 - damage is no secret
    kind = KINDS[seed % len(KINDS)]
    while True:
        result = bytearray(data)
        # Half of the damage is at the ends, where headers and footers are.
        if len(data) > 2000 and dice.random() < 0.5:
            head = dice.random() < 0.5
            part = result[:1000] if head else result[-1000:]
            kind(part, dice)
            result = part + result[1000:] if head else result[:-1000] + part
        else:
            kind(result, dice)
        if bytes(result) != data:
            return bytes(result), kind.__name__
