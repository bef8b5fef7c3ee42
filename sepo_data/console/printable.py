"""Text from data, made safe to print: nothing in it steers the reader's terminal or turns the line around."""

from __future__ import annotations

_BIDI = (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)
_CONTROLS = {code: ascii(chr(code))[1:-1] for code in (*range(0x20), *range(0x7F, 0xA0), *_BIDI, 0xFFFE, 0xFFFF)}
_LAYOUT = _CONTROLS | {ord("\n"): "\n", ord("\t"): "\t"}


def printable(text: str) -> str:
    """`text` with control and direction characters spelt out; line breaks and tabs stay."""
    return text.translate(_LAYOUT)


def spelt_out(text: str) -> str:
    """`text` with every control character spelt out, line breaks also."""
    return text.translate(_CONTROLS)
