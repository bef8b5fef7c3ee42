"""Tables: read preferences, tokenize, write and scan stage datasets, select, query and compare. Never imports torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sepo_data.analysis.check import check
    from sepo_data.analysis.diff import diff
    from sepo_data.analysis.query import query
    from sepo_data.preferences.preferences import read_preferences
    from sepo_data.preferences.reading import Reading
    from sepo_data.report.figure import make_figure
    from sepo_data.report.report import write_report
    from sepo_data.selection.select import select, select_many
    from sepo_data.selection.selection import Selection
    from sepo_data.stages.scan import scan

__all__ = [
    "Reading",
    "Selection",
    "check",
    "diff",
    "make_figure",
    "query",
    "read_preferences",
    "scan",
    "select",
    "select_many",
    "write_report",
]

HOMES = {
    "Reading": "sepo_data.preferences.reading",
    "Selection": "sepo_data.selection.selection",
    "check": "sepo_data.analysis.check",
    "diff": "sepo_data.analysis.diff",
    "make_figure": "sepo_data.report.figure",
    "query": "sepo_data.analysis.query",
    "read_preferences": "sepo_data.preferences.preferences",
    "scan": "sepo_data.stages.scan",
    "select": "sepo_data.selection.select",
    "select_many": "sepo_data.selection.select",
    "write_report": "sepo_data.report.report",
}
"""The module of each public name; it is imported when the name is first used."""


def __getattr__(name: str) -> object:
    if name not in HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *HOMES})
