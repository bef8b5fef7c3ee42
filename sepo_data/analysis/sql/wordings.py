"""Wordings of the query engine's errors, and the sentence that stands for each."""

from __future__ import annotations

import re
from typing import NamedTuple


class Wording(NamedTuple):
    """A message of the engine, the sentence for it with its groups, and a hint.

    A group whose name begins with `type` is the name of a type, for which the words of `TYPES` stand.
    """

    pattern: re.Pattern[str]
    sentence: str
    hint: str = ""


TYPES = [
    (re.compile(pattern, re.IGNORECASE), words)
    for pattern, words in (
        (r"(str|utf8)", "text"),
        (r"bool", "a condition"),
        (r"(dyn int|u?int\d*|[iu]\d+|unknown\(int)", "a whole number"),
        (r"(dyn float|float|f\d+|decimal|numeric)", "a number"),
        (r"(enum|cat)", "an enumeration"),
        (r"(list|array)", "a list"),
        (r"(struct|object)", "an object"),
        (r"(date|time|duration)", "a time"),
        (r"null", "null"),
        (r"binary", "bytes"),
    )
]
"""The names of types in the engine's messages, in words."""

FUNCTIONS = {
    "mean": "AVG",
    "var": "VARIANCE",
    "std": "STDDEV",
    "explode": "UNNEST",
    "to_string": "STRFTIME",
    "count_ones": "BIT_COUNT",
    "trigonometry": "a function of angles",
}
"""The engine's names of functions that SQL calls otherwise."""

EXPECTED = {
    "identifier": "a name",
    "end of statement": "the end of the query",
    "[NOT] NULL | TRUE | FALSE | DISTINCT | [form] NORMALIZED FROM after IS": "NULL, TRUE, FALSE or DISTINCT FROM",
}
"""Names of the things that the parser expects, in words."""

CAST = "CAST(x AS VARCHAR), CAST(x AS DOUBLE) or CAST(x AS BIGINT) changes a type; `--schema` lists the types"
NAME_IT = "name one of them with AS"

_WORDINGS = (
    (r"casting from (?P<type_a>\S+) to (?P<type_b>.+?) (?:is )?not supported", "{type_a} cannot be {type_b}", CAST),
    (r"cannot cast List type", "a list cannot be cast", "UNNEST makes a row of each of its values"),
    (r"division (?:with|of) '(?P<type>\w+)' datatypes? is not allowed", "/ does not take {type}", CAST),
    (r"true division of (?P<type_a>\S+) with (?P<type_b>\S+) is not", "/ does not take {type_a} and {type_b}", CAST),
    (
        r"operation not supported for dtypes:? `?(?P<type_a>[^`!]+?)`? (?:and|!=) `?(?P<type_b>[^`\n]+)",
        "{type_a} and {type_b} cannot be calculated with together",
        CAST,
    ),
    (r"expected List data type for list operation, got: (?P<type>.+)", "there is {type} where a list is needed", ""),
    (r"cannot compare 'date/datetime/time'", "a time is compared with text", "CAST(x AS DATE) makes a date of a text"),
    (r"error deserializing JSON", "a text is no JSON", ""),
    (r"No infix parser", "it has a form of SQL that is not supported", ""),
    (r"path-extract definition", "-> and ->> take the name of a field as text", ""),
    (r"invalid pattern for '(?P<sign>!?~)' operator", "{sign} takes a pattern as text", ""),
    (r"LIKE/ILIKE pattern must be a string literal", "LIKE and ILIKE take a pattern as text", ""),
    (
        r"Expected: (?P<wanted>.+?), found: EOF",
        "it ends where {wanted} is expected",
        "",
    ),
    (
        r"Expected: (?P<wanted>.+?), found: (?P<found>.+?) at Line: (?P<line>\d+), Column: (?P<column>\d+)",
        "line {line}, column {column} has {found} where {wanted} is expected",
        "",
    ),
    (
        r"Expected close delimiter '(?P<quote>.)'",
        "a name begins with {quote} and does not end with it",
        "",
    ),
    (
        r"'(?P<name>.+?)' should participate in the GROUP BY",
        "{name} is neither in GROUP BY nor within an aggregate",
        "add it to GROUP BY, or write AVG({0}), MIN({0}) or COUNT({0}) of it".format("..."),
    ),
    (
        r"no function matches the given name and arguments: `(?P<call>[^`]*)",
        "the function does not take these arguments: {call}",
        "",
    ),
    (r"expression: '(?P<function>\w+)' didn't get any inputs", "{function} has no arguments", ""),
    (
        r"`bit(?:and|or|xor)` operation not supported for dtype `?(?P<type>[^`\n]+)",
        "AND, OR and XOR do not take {type}",
        "compare first: reward > 0 AND position > 0",
    ),
    (
        r"`?(?P<function>\w+)`? operation not supported for dtype `?(?P<type>[^`\n]+)",
        "{function} does not take {type}",
        CAST,
    ),
    (r"dtype (?P<type>\S+) not supported in '(?P<function>\w+)'", "{function} does not take {type}", CAST),
    (
        r"arithmetic on dtypes (?P<type_a>.+?) and (?P<type_b>.+?) is not allowed",
        "{type_a} and {type_b} cannot be calculated with together",
        CAST,
    ),
    (
        r"^(?P<sign>\S) not allowed on (?P<type_a>.+?) and (?P<type_b>.+)",
        "{sign} does not take {type_a} and {type_b}",
        CAST,
    ),
    (r"cannot compare (?P<type_a>.+?) with (?P<type_b>\w+)", "{type_a} is compared with {type_b}", CAST),
    (
        r"could not evaluate '(?P<sign>\S+)' comparison .+? of dtype: (?P<type_a>\S+) .+? of dtype: (?P<type_b>\S+)",
        "{type_a} is compared with {type_b} by {sign}",
        CAST,
    ),
    (
        r"failed to determine supertype of (?P<type_a>.+?) and (?P<type_b>.+)",
        "{type_a} and {type_b} have no type in common",
        CAST,
    ),
    (
        r"invalid series dtype: expected `(?P<type_a>[^`]+)`, got `(?P<type_b>[^`]+)`",
        "there is {type_b} where {type_a} is needed",
        CAST,
    ),
    (
        r"expected (?P<type_a>\w+)(?: or \w+)? type, got:? (?:dtype: )?(?P<type_b>.+)",
        "there is {type_b} where {type_a} is needed",
        CAST,
    ),
    (
        r"filter predicate must be of type `Boolean`, got `(?P<type>[^`]+)`",
        "WHERE has {type} where a condition is needed",
        "for example WHERE reward > 0",
    ),
    (
        r"'join_where' predicates must resolve to boolean",
        "JOIN ... ON has no condition",
        "for example ON a.pair_id = b.pair_id",
    ),
    (
        r"'[\w.]+' cannot check for (?P<type_a>.+?) values in List\((?P<type_b>.+?)\) data",
        "{type_a} is looked for among values that are {type_b}",
        CAST,
    ),
    (
        (
            r"conversion from `(?P<type_a>[^`]+)` to `(?P<type_b>[^`]+)` failed in column '(?P<column>.*?)'"
            r" for (?P<bad>\d+) out of (?P<all>\d+) values: \[(?P<value>[^,\]]*)"
        ),
        "CAST of {column}: {bad} of {all} values cannot be {type_b}, such as {value}",
        "TRY_CAST gives null for a value that cannot be cast",
    ),
    (r"cannot cast (?P<type_a>\w+) types to (?P<type_b>\w+)", "{type_a} cannot be {type_b}", CAST),
    (
        (
            r"datatypes of join keys don't match - `(?P<a>.*?)`: (?P<type_a>.+?) on left does not match"
            r" `(?P<b>.*?)`: (?P<type_b>.+?) on right"
        ),
        "{a} is {type_a} and {b} is {type_b}, so that they cannot be matched",
        CAST,
    ),
    (
        r"(?s)regex (?:parse )?error.*\nerror: (?P<why>[^\n]+)",
        "a regular expression is wrong: {why}",
        r"a bracket that is meant itself is written \( or \[",
    ),
    (
        r"projections contained duplicate output name '(?P<name>.*?)'",
        "two columns of the answer are called {name}",
        NAME_IT,
    ),
    (r"duplicate.*(?:column|name).*?['\"`](?P<name>[^'\"`]+)['\"`]", "two columns are called {name}", NAME_IT),
    (
        r"value Placeholder\(\"(?P<name>.+?)\"\)",
        "{name} stands for a value that is not given",
        "write the value itself",
    ),
    (r"'Expr: .*?' not allowed in this context", "* has no place there", "* stands in SELECT * and COUNT(*)"),
    (
        r"^(?:expression|operator|value)\b.*(?:not (?:currently )?supported|\{ )",
        "it has a form of SQL that is not supported",
        "",
    ),
    (r"^not yet implemented", "it has a form of SQL that is not supported", ""),
    (
        r"statement type is not supported",
        "it is a statement that is not supported",
        "SHOW TABLES is the one SHOW there is",
    ),
    (r"unsupported SQL join constraint", "JOIN has no condition", "add ON a.pair_id = b.pair_id, or USING (pair_id)"),
    (
        r"aggregation 'item' expected no or a single value, got (?P<rows>\d+\+?) values",
        "a subquery in the place of a value has {rows} rows",
        "add LIMIT 1, or an aggregate such as MAX",
    ),
    (
        r"exploded columns must have matching element counts",
        "lists of other lengths are unnested together",
        "unnest one of them",
    ),
    (r"could not find an appropriate format to parse", "a text is no date that can be read", ""),
    (
        r"invalid digit found in string|non-numeric arguments for LIMIT",
        "LIMIT and OFFSET take whole numbers from 0",
        "",
    ),
    (r"division by zero", "it divides by zero", "NULLIF(x, 0) makes null of a divisor of 0"),
    (r"overflow", "a number is too large for its type", CAST),
    (r"panicked|Result::unwrap|Option::unwrap", "it ends in a fault of the query engine", "write it in another way"),
)

WORDINGS = [Wording(re.compile(pattern), sentence, hint) for pattern, sentence, hint in _WORDINGS]

ENGINE_WORDS = re.compile(
    r"polars|rust|panic|unwrap|backtrace|resolved plan|failed here|supertype|\.strptime|dtype|\bdyn\b|\bseries\b"
    r"|\bliteral type"
    r"|\bexpr\b|\bcol\(|\blit\(|\bcs\.|::|\b(some|none|ok|err)\(|\w\s?\{|\bspan\b|\bident\b|value\(|\.alias|\bdsl\b"
    r"|\b[iu](8|16|32|64|128)\b|\bf(32|64)\b|\bu?int\d+\b|\bfloat\d+\b|\blist[(\[]|\bstr\b|\benum\b"
    r"|categorical|lazyframe|\w(view|error)\b|deserializ|datatype|number\(|\[[nmuμ]s\]|\('[nmuμ]s'\)"
    r"|(sqlinterface|sqlsyntax|invalidoperation|compute|schema|columnnotfound|shape)error|crates/|\.rs\b|\bpg[a-z]|bitwise",
    re.IGNORECASE,
)
"""Marks of the engine's own terms: a message with one of them is not shown."""
