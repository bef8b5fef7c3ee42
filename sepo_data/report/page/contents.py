"""The contents of the page: of each directory what made it and its numbers, the pairs to browse, and the charts."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sepo_data.report.kept_by_share import kept_by_share
from sepo_data.report.page.charts import charts_html, charts_of
from sepo_data.report.page.directories import directory_html
from sepo_data.report.page.document import document
from sepo_data.report.page.headlines import numbers_html, stored_sums
from sepo_data.report.page.markup import counted, escaped, listed
from sepo_data.report.shared_rewards import holders
from sepo_data.schemas.stages import SIDES
from sepo_data.stages.versions import installed_versions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sepo_data.report.page.charts import DrawnChart
    from sepo_data.report.source import Source
    from sepo_data.schemas.manifest import Manifest

    Sums = dict[str, dict[str, float]]

LONGEST_TITLE = 60
"""Characters of names; of more directories the title has the number."""


class Contents:
    """The contents of a page on `sources`, with `charts` of them; `total` pairs are in all of them."""

    def __init__(self, sources: Sequence[Source], charts: Sequence[DrawnChart], total: int) -> None:
        self.sources, self.charts, self.total = sources, charts, total
        self.holders = holders(sources)
        self.several = len(sources) > 1

    def html(self, browsed: Mapping[str, Any], shown: int) -> bytes:
        """The page with the encoded pairs `browsed`, of which there are `shown`."""
        title = listed([source.name for source in self.sources])
        if len(title) > LONGEST_TITLE and self.several:
            title = f"{len(self.sources)} directories"
        parts = {
            "title": escaped(f"{title} - sepo report"),
            "heading": escaped(title),
            "generator": escaped(_program()),
            "lede": self._lede(),
            "directories": "".join(map(directory_html, self.sources)),
            "numbers": self._numbers,
            "sample": self._sample(shown),
            "tracks": self._tracks() if self.several else "",
            "disagreement": '<option value="disagreement">disagreement</option>' if self._can_differ else "",
            "charts": charts_html(self.charts, self.sources),
            "footer": self._footer(),
        }
        return document(parts, {"kept": self._kept, "pairs": browsed})

    def _lede(self) -> str:
        reward = "how much more likely the oracle finds it than the reference model does"
        if self.several:
            number = len(set(self.holders))
            rewards = "The rewards" if number == 1 else f"{number} sets of rewards"
            return (
                f"{rewards} of {counted(self.total)} that {self._every} have, token by token. "
                f"The reward of a token says {reward}."
            )
        manifest = self.sources[0].manifest
        tokens = sum(manifest.total("tokens").get(side, 0) for side in SIDES)
        return f"Every response token of {counted(manifest.rows)}, {tokens:,} in all, with its reward: {reward}."

    @property
    def _can_differ(self) -> bool:
        """Of the same rewards, only stored selections differ."""
        return len(set(self.holders)) > 1 or sum(source.is_selection for source in self.sources) > 1

    @property
    def _every(self) -> str:
        return "both directories" if len(self.sources) == 2 else f"all {len(self.sources)} directories"  # noqa: PLR2004

    @cached_property
    def _stored(self) -> list[Sums | None]:
        return [stored_sums(source) if source.is_selection else None for source in self.sources]

    @cached_property
    def _numbers(self) -> str:
        parts = []
        for number, (source, stored) in enumerate(zip(self.sources, self._stored, strict=True)):
            drawn = charts_of(self.charts, source)
            tables = {one.chart.kind.name: one.table for one in drawn if one.table is not None}
            heading = f"<h3>{escaped(source.name)}</h3>" if self.several else ""
            holder = self.holders[number]
            note = "" if holder == number else _same_rewards(self.sources[holder])
            parts.append(heading + note + numbers_html(source, tables, stored))
        return "".join(parts)

    @cached_property
    def _kept(self) -> list[dict[str, Any]]:
        """Sums that every share keeps of each directory; the script adds the two sides."""
        found = []
        for source, stored in zip(self.sources, self._stored, strict=True):
            table, sides = kept_by_share(source), {}
            for side in SIDES:
                of_side = table.filter(side=side).sort("share_percent")
                sides[side] = {
                    "tokens": of_side["tokens"].to_list(),
                    "reward": of_side["reward"].to_list(),
                    "absolute": of_side["absolute_reward"].to_list(),
                }
            found.append(sides | {"pairs": source.manifest.rows, "stored": stored, "shares": _shares(source.manifest)})
        return found

    def _sample(self, shown: int) -> str:
        common = f"that {self._every} have" if self.several else "of the directory"
        if shown == self.total:
            return f"{'All ' if shown > 1 else ''}{counted(shown)} {common}."
        if not shown:
            return f"No pair {common} is small enough to be shown here; <code>sepo show</code> shows each of them."
        return (
            f"{shown:,} of the {self.total:,} pairs {common}, spread evenly over its rows, so that this file stays "
            "small. Numbers and charts are of all pairs, and <code>sepo show</code> shows each of them."
        )

    def _tracks(self) -> str:
        options = "".join(
            f'<option value="{number}">{escaped(source.name)}</option>' for number, source in enumerate(self.sources)
        )
        return (
            '<label class="field track"><span class="field-name">Rewards and selection of</span>'
            f'<select id="track">{options}</select></label>'
        )

    def _footer(self) -> str:
        return (
            f"Made by {escaped(_program())}, Selective Preference Optimization (arXiv 2408.13518). Reward of a token: "
            "\N{GREEK SMALL LETTER BETA} \N{MULTIPLICATION SIGN} (log p oracle \N{MINUS SIGN} log p reference). "
            "This file loads nothing from anywhere."
        )


def _shares(manifest: Manifest) -> dict[str, int]:
    """The whole percents that a selection took of each side with the rule `top`: where the sliders begin."""
    options = manifest.options
    if options.get("rule") != "top":
        return {}
    found = {side: re.fullmatch(r"([1-9]\d?|100)%", str(options.get(side))) for side in SIDES}
    return {side: int(share[1]) for side, share in found.items() if share}


def _same_rewards(holder: Source) -> str:
    name = f'<span class="directory">{escaped(holder.name)}</span>'
    return f'<p class="note">Its rewards are those of {name}, which has their numbers and charts.</p>'


def _program() -> str:
    return f"sepo {installed_versions().get('sepo', '')}".strip()
