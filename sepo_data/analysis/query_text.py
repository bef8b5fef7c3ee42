"""The text of a query as it nests: quoted text and comments are left out where nothing can be misread."""

from __future__ import annotations

import re

# A prefix as in E'', a backslash before a quote, `$`, `#`, hints and comments within comments are in doubt.
_PIECE = re.compile(
    r"(?P<comment>--[^\n]*|/\*(?!!)(?:(?!/\*|\*/).)*\*/)"
    r"|(?P<text>(?<![\w&])'(?:[^'\\]|''|\\(?![\\']))*')"
    r"|(?P<name>\"\w*\"|`\w*`)|(?P<odd_name>\"[^\"\\]*\"|`[^`\\]*`)"
    r"|(?P<other>(?:[^'\"`$#/-]|-(?!-)|/(?!\*))+)",
    re.DOTALL,
)
# A row of `-` begins a comment; of `=`, `*`, `/` or `#` it is decoration, as no expression has two of them in a row.
_OPERATOR = (
    r"-+|=+|\*+|/+|#+|[+%^|&~<>!:@?]|\["
    r"|\b(?:AND|OR|XOR|NOT|IS|IN|LIKE|ILIKE|RLIKE|REGEXP|SIMILAR|BETWEEN|DIV|COLLATE|INTERVAL|CASE|WHEN"
    r"|AT|OVER|ESCAPE|FROM|{statements})\b"
)
# These nest across commas: a list of columns does not end a chain of UNION, nor the types within a STRUCT.
_STATEMENTS = r"SELECT|UNION|INTERSECT|EXCEPT|MINUS|JOIN|WITH|EXPLAIN|STRUCT|ARRAY|MAP|TUPLE|NESTED"
_OPERATORS = re.compile(_OPERATOR.format(statements=_STATEMENTS), re.IGNORECASE)
_STATEMENT = re.compile(rf"\b(?:{_STATEMENTS})\b|\|>", re.IGNORECASE)
_TOKEN = re.compile(
    rf"(?P<open>\bIN\s*[(\[]|[(\[{{])|(?P<close>[)\]}}])|(?P<comma>,)|{_OPERATORS.pattern}", re.IGNORECASE
)
_LITERAL = re.compile(r"\s*(?:[-+]?\s*\d[\d.]*(?:e[-+]?\d+)?|''|NULL|TRUE|FALSE)\s*", re.IGNORECASE)


def without_texts(sql: str) -> str | None:
    """`sql` with blanks for comments, and empty texts and names for those in quotes; None if it may be misread."""
    parts, at = [], 0
    while at < len(sql):
        piece = _PIECE.match(sql, at)
        if piece is None:
            return None
        kind = piece.lastgroup
        parts.append({"comment": " ", "text": "''", "odd_name": '""'}.get(kind or "", piece[0]))
        at = piece.end()
    return "".join(parts)


def operators(sql: str) -> int:
    """Operators and keywords of an expression or a statement."""
    return sum(1 for _ in _OPERATORS.finditer(sql))


def nested_operators(sql: str) -> int:
    """Operators and keywords within each other, at most.

    Items between commas are side by side, so the largest counts; but those of a list after IN that are no literals
    become conditions within each other. Statements count all.
    """
    plain = without_texts(sql)
    if plain is None:
        return operators(sql)
    return max(_deepest(plain), sum(1 for _ in _STATEMENT.finditer(plain)))


def _deepest(sql: str) -> int:
    """The most operators of an item and of all brackets in it, where of each list only the largest item counts."""
    levels = [_Items()]
    for token in _TOKEN.finditer(sql):
        if token.lastgroup == "comma":
            levels[-1].end_item(sql, token.start())
        elif token.lastgroup == "close":
            if len(levels) > 1:
                inner = levels.pop().end_item(sql, token.start())
                levels[-1].operators += inner.total()
        else:
            levels[-1].operators += token[0] not in {"(", "{"}
            if token.lastgroup == "open":
                levels.append(_Items(token.end(), compared=len(token[0]) > 1))
    inside = 0
    for level in reversed(levels):
        level.operators += inside
        inside = level.end_item(sql, len(sql)).total()
    return inside


class _Items:
    """The items of a list between brackets, while it is read."""

    def __init__(self, start: int = 0, *, compared: bool = False) -> None:
        self.start, self.compared = start, compared
        self.operators = self.largest = self.sum = 0
        self.literals = True

    def end_item(self, sql: str, end: int) -> _Items:
        self.literals = self.literals and self.compared and bool(_LITERAL.fullmatch(sql, self.start, end))
        self.largest, self.sum = max(self.largest, self.operators), self.sum + self.operators + 1
        self.operators, self.start = 0, end + 1
        return self

    def total(self) -> int:
        return self.sum if self.compared and not self.literals else self.largest
