"""Tables: read preferences, tokenize, write and scan stage datasets, select and show. Never imports torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sepo_data.stages.scan import scan

__all__ = ["scan"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever it is that is asked for
    """`sepo_data.scan`, imported when it is first used: Polars takes longer than `sepo --help` may."""
    if name == "scan":
        from sepo_data.stages.scan import scan

        return scan
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
