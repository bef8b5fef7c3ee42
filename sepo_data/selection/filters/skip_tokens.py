"""Filter `--skip-tokens`: the rule ranks each response without some classes of tokens."""

from __future__ import annotations

from sepo_data.selection.arguments import names_between_commas
from sepo_data.selection.filter import NARROW, Filter, filter_option

CLASSES = ("punctuation", "whitespace", "template")


@filter_option(str, metavar="A,B", help=f"leave these classes of tokens out of the ranking: {', '.join(CLASSES)}")
def skip_tokens(classes: str = "") -> Filter:
    """The rule ranks the tokens that are of none of the `classes`, names between commas."""
    names = names_between_commas("--skip-tokens", classes, CLASSES)
    return Filter(
        "skip_tokens",
        ",".join(names),
        NARROW,
        ranked=lambda tokens: ~tokens.classes.any_of(names)[tokens.ids.values],
        needs_classes=True,
    )
