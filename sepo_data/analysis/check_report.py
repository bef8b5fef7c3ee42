"""The report of `sepo check`, as lines for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sepo_data.analysis.check import LONGEST, PARTS
from sepo_data.analysis.lengths import histogram_lines
from sepo_data.console.text import aligned_columns
from sepo_data.preferences.unread import unread_line

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN_CHARACTERS = 600
"""Length at which a text is shortened; half of it is shown from each end."""

MARGINS = {"prompt": "|", "chosen": ">", "rejected": ">"}
"""The mark before each line of a text: it separates a response from the prompt."""


def check_lines(found: dict[str, Any]) -> Iterator[str]:
    """The report of `check`, line by line."""
    split = f", split {found['split']}" if found["split"] else ""
    yield f"{found['dataset']}{split}: {_counted(found['rows'], 'row')}, content {found['fingerprint'][:16]}"
    yield f"read as {found['shape']['name']}: {found['shape']['description']}"
    if found["unread"]:
        yield unread_line(found["unread"])
    if found["example"]:
        yield ""
        yield from _example(found["example"])
    yield ""
    yield from _counts(found)
    if found["lengths"]:
        yield ""
        yield from _table(found)
        yield ""
        yield f"pairs by {found['unit']} of prompt + longer response"
        yield from (f"  {line}" for line in histogram_lines([tuple(bar.values()) for bar in found["histogram"]]))


def _example(example: dict[str, Any]) -> Iterator[str]:
    yield f"the pair of row {example['row']}"
    for part in PARTS:
        for number, line in enumerate(_shortened(example[part]).split("\n")):
            yield f"  {part if number == 0 else '':<8} {MARGINS[part]} {line}".rstrip()


def _shortened(text: str) -> str:
    if len(text) <= SHOWN_CHARACTERS:
        return text
    half = SHOWN_CHARACTERS // 2
    return f"{text[:half]}\n... {len(text) - SHOWN_CHARACTERS:,} characters ...\n{text[-half:]}"


def _counts(found: dict[str, Any]) -> Iterator[str]:
    yield f"{_counted(found['pairs'], 'pair')} from {_counted(found['rows_used'], 'row')}"
    skipped = found["skipped"]
    yield f"{sum(entry['count'] for entry in skipped.values()):,} skipped"
    width = max((len(reason) for reason in skipped), default=0)
    for reason, entry in skipped.items():
        yield f"  {entry['count']:>8,}  {reason:<{width}}  row {entry['first_row']}: {entry['detail']}"
    if "max_length" in found:
        over = found["over_limit"]
        yield (
            f"{_counted(over['pairs'], 'pair')} over {_counted(found['max_length'], 'token')},"
            f" {over['prompts']:,} by the prompt alone"
        )
        yield f"{_counted(found['boundary_merged'], 'pair')} whose first response token would merge with the prompt"
        if found["end_trimmed"]:
            yield f"{_counted(found['end_trimmed'], 'pair')} with text behind the end of a response, which is cut"
        if "template_date" in found:
            yield f"the chat template prints a date: {found['template_date']}"
    repeat = "repeats" if found["repeated_pairs"] == 1 else "repeat"
    yield (
        f"{_counted(found['repeated_pairs'], 'pair')} that {repeat} another,"
        f" {_counted(found['prompts'], 'different prompt')}"
    )
    if found["holdout"]:
        yield f"{_counted(found['holdout'], 'pair')} held out"
    about = "about " if found["tokens_are_estimated"] else ""
    tokens = ", ".join(f"{part} {count:,}" for part, count in found["tokens"].items())
    yield f"{about}{_counted(sum(found['tokens'].values()), 'token')}: {tokens}"


def _counted(count: int, noun: str) -> str:
    """`1 pair`, `2 pairs`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _table(found: dict[str, Any]) -> Iterator[str]:
    """Lengths of each part, a row a part."""
    names = list(next(iter(found["lengths"].values())))
    rows = [[found["unit"], *names]]
    for part, values in found["lengths"].items():
        name = "prompt + longer response" if part == LONGEST else part
        rows.append([name, *(f"{value:,}" for value in values.values())])
    yield from aligned_columns(rows)
