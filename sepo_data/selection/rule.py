"""Rules of selection: a score that ranks the tokens of a response, and a count of how many to take.

On the chosen side a high reward is good, on the rejected side a low one; `signed_rewards` makes high ones good on both.
A rule takes the tokens with the highest scores, exactly as many as it counts, the earliest first among equals. No
response is left without a token: a rule that counts none takes the one with the highest score.

`top("30%").mask("chosen")` is a Polars expression over the columns of a rewards dataset. A rule that needs a number
from the complete dataset gets it from `Rule.prepared`, which reads the columns it needs batch by batch.

The rules themselves are in the folder `rules`. Importing this module and them imports neither Polars nor NumPy.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from sepo_data.errors import SepoError
from sepo_data.registry import Registry
from sepo_data.selection.scores import lengths
from sepo_data.storage.location import location

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray
    from pydantic import JsonValue

    from sepo_data.selection.quota import Quota
    from sepo_data.selection.ragged import Ragged

    Score = Callable[[str], pl.Expr]
    Count = Callable[[str, pl.Expr], pl.Expr]
    Within = Callable[[int, "int | None"], Score]
    Unusable = Callable[[pl.DataFrame], dict[int, tuple[str, str]]]
    Parts = Callable[[Ragged[Any]], NDArray[np.int64]]


@dataclass(frozen=True)
class Rule:
    """One rule with its arguments.

    Attributes:
        name: as in `RULES`.
        arguments: every argument as text; the manifest records them.
        score: for a side, an expression that gives a list of numbers a row, one for each token.
        count: for a side and its score, an expression that gives a number of tokens a row.
        quotas: by side, the exact number of tokens that the rule takes; it stands for `count` where that is None.
        prepare: from a rewards dataset and its folder, the rule with what it needs from the complete dataset.
        numbers: what `prepare` found; the manifest records it as `cuts`.
        skippable: the rule ranks a response without its skipped tokens as it ranks a complete one.
        unusable: from rows of a rewards dataset to the reason and the detail of each that the rule cannot be used on,
            by its place: `sepo select` skips these.
        control_of: the rule that a control is compared with: it takes as many tokens of each response, whatever
            filters surround both.
        parts: from tokens by response to the offsets of parts of the responses: the control takes as many in each.
        within: from `min_tokens` and `max_tokens` to the score, where it depends on how many tokens are taken.
        min_tokens: at least so many tokens are taken of each response.
        max_tokens: at most so many are.
    """

    name: str
    arguments: dict[str, str]
    score: Score
    count: Count | None = None
    quotas: Mapping[str, Quota] | None = None
    prepare: Callable[[pl.LazyFrame, Path | None], Rule] | None = None
    numbers: dict[str, JsonValue] = field(default_factory=dict)
    skippable: bool = True
    unusable: Unusable | None = None
    control_of: Rule | None = None
    parts: Parts | None = None
    within: Within | None = None
    min_tokens: int = 1
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.count is None and self.quotas is None:
            raise ValueError(f"the rule {self.name} has neither a count nor quotas")

    def mask(self, side: str) -> pl.Expr:
        """The selected tokens of `side` as a list of booleans, aligned with its rewards."""
        from sepo_data.selection.top_k import top_k_expr

        return top_k_expr(self.score(side), self.bounded_count(side, self.score(side)))

    def with_masks(self, frame: pl.LazyFrame) -> pl.LazyFrame:
        """Add `chosen_mask` and `rejected_mask` to rows of a rewards dataset. Streams: yes."""
        return frame.with_columns(self.mask(side).alias(f"{side}_mask") for side in ("chosen", "rejected"))

    def bounded_count(self, side: str, score: pl.Expr) -> pl.Expr:
        """The number of tokens of each response that the rule takes, within `min_tokens` and `max_tokens`."""
        import polars as pl

        if self.prepare is not None:
            raise SepoError(f"{self} needs a pass over the complete dataset", "use rule.prepared(scan(folder), folder)")
        quotas = self.quotas or {}
        count = self.count(side, score) if self.count else quotas[side].k_of(lengths(side))
        return count.cast(pl.Int64).clip(self.min_tokens, self.max_tokens)

    def prepared(self, frame: pl.LazyFrame, folder: str | Path | None = None) -> Rule:
        """The rule with what it needs from the complete `frame`, out of core; itself where it needs nothing."""
        if self.prepare is None:
            return self
        place = None if folder is None else location(folder)
        return self.prepare(frame, place).bounded(self.min_tokens, self.max_tokens)

    def bounded(self, min_tokens: int, max_tokens: int | None) -> Rule:
        """The rule within these bounds; one that draws as many tokens as another rule takes has both within them."""
        return replace(
            self,
            score=self.within(min_tokens, max_tokens) if self.within else self.score,
            control_of=self.control_of and self.control_of.bounded(min_tokens, max_tokens),
            min_tokens=min_tokens,
            max_tokens=max_tokens,
        )

    def options(self) -> dict[str, JsonValue]:
        """The options of the manifest."""
        return {"rule": self.name, **self.arguments}

    def __str__(self) -> str:
        """The rule as `parse_rule` reads it."""
        inside = ", ".join(f"{name}={value}" for name, value in self.arguments.items())
        return f"{self.name}({inside})" if inside else self.name


@dataclass(frozen=True)
class RuleEntry:
    """A registered rule: the function that makes it, and what help and docs print about it.

    Attributes:
        name: as on the command line.
        function: from the arguments, as text or as values, to a `Rule`.
        source: the paper that it is from, as a link in Markdown; "control" or "our own" where it is from none.
    """

    name: str
    function: Callable[..., Rule]
    source: str

    @property
    def module(self) -> str:
        return self.function.__module__

    @property
    def call(self) -> str:
        """The rule with its defaults: `top(share=30%, chosen, rejected)`."""
        return example_call(self.name, self.function)

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return self.description.partition("\n\n")[0]

    @property
    def description(self) -> str:
        """The docstring without its last sentence, which says whether the rule streams."""
        return re.sub(r"\s*Streams: [^.]*\.$", "", inspect.getdoc(self.function) or "")


RULES: Registry[RuleEntry] = Registry(
    "sepo_data.selection.rules", order=lambda entry: (entry.name != "top", entry.name)
)
"""Every rule that has a name on the command line, by that name."""

F = TypeVar("F", bound="Callable[..., Rule]")


def rule(*, source: str, name: str = "") -> Callable[[F], F]:
    """Register a function of the folder `rules` that makes a rule.

    Its parameters, with defaults, are the arguments on the command line; its docstring is the text in help and docs.

    Args:
        source: as in `RuleEntry`.
        name: as on the command line; by default the function's, with hyphens.
    """

    def register(function: F) -> F:
        RULES.add(RuleEntry(name or function.__name__.replace("_", "-"), function, source))
        return function

    return register


def example_call(name: str, function: Callable[..., Any]) -> str:
    """A call of `function` with its defaults, as the command line takes it."""
    written = [
        each.name if each.default in {"", None, each.empty} else f"{each.name}={each.default}"
        for each in inspect.signature(function).parameters.values()
    ]
    return f"{name}({', '.join(written)})" if written else name
