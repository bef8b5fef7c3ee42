"""Show one pair: every token coloured by its reward, the selected ones marked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl
from rich.console import Group
from rich.panel import Panel
from rich.text import Text

from sepo_data.checked import checked
from sepo_data.console.text import did_you_mean, printable, spelt_out
from sepo_data.errors import SepoError
from sepo_data.schemas.stages import SIDES, Stage
from sepo_data.selection.rules.top import top
from sepo_data.stages.directory import read_stage
from sepo_data.stages.scan import fetched_stage, scan
from sepo_data.stages.token_text import load_tokenizer_file, token_texts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from sepo_data.selection.quota import Amount

GAIN, LOSS, NEUTRAL = (102, 194, 122), (244, 132, 110), (240, 240, 240)
"""Background colours of the highest possible, the lowest possible, and no reward; all readable under black text."""

ID_CHARACTERS = 40
"""Length at which a pair_id is shortened; those that sepo makes have 16 characters."""


@dataclass(frozen=True, slots=True)
class Token:
    """A response token: the text it adds, its reward, and whether it is selected."""

    position: int
    token_id: int
    text: str
    reward: float
    selected: bool


@dataclass(frozen=True, slots=True)
class ShownPair:
    """One pair of a rewards or selection dataset, token by token."""

    row: int
    pair_id: str
    prompt: str
    chosen: list[Token]
    rejected: list[Token]
    margin: float
    oracle_seen: bool | None
    copies: int = 1  # rows with this pair_id, of which this is the first; 1 where a number chose the row


@checked()
def read_pair(
    folder: str | Path, pair: str, *, chosen: Amount = "30%", rejected: Amount = "30%", verify: bool = True
) -> ShownPair:
    """Read pair number `pair` (from 0) or the one with that `pair_id`.

    A rewards dataset has no masks; there, the quotas `chosen` and `rejected` select the tokens. With
    `verify`, the hash of each shard is compared with the manifest, once until the file changes.

    Raises:
        SepoError: there is no such pair, or `folder` is not a rewards or selection dataset.
    """
    folder = fetched_stage(folder)
    manifest = read_stage(folder, Stage.REWARDS, Stage.SELECTION)
    lists = ("ids", "rewards") if manifest.stage is Stage.REWARDS else ("ids", "rewards", "mask")
    # The side columns stay out; one of them may be called "row".
    of_sides = (f"{side}_{name}" for side in SIDES for name in lists)
    scanned = scan(folder, verify=verify)
    frame = scanned.select("pair_id", "prompt_ids", "margin", "oracle_seen", *of_sides).with_row_index("row")
    copies = 1
    if pair.isdecimal() and int(pair) < manifest.rows:
        frame = frame.filter(pl.col("row") == int(pair))
    else:
        copies = scanned.select((pl.col("pair_id") == pair).sum()).collect().item()
        frame = frame.filter(pl.col("pair_id") == pair).head(1)
    if manifest.stage is Stage.REWARDS:
        frame = top(chosen=chosen, rejected=rejected).with_masks(frame)
    rows = frame.collect().to_dicts()
    if not rows:
        known = scanned.select("pair_id").head(10_000).collect()["pair_id"].to_list()
        hint = f"give a number from 0 to {manifest.rows - 1}, or a pair_id; {did_you_mean(pair, known)}"
        raise SepoError(f"{folder} has no pair {pair!r}", hint.removesuffix("; "))
    [row] = rows
    tokenizer = load_tokenizer_file(folder)

    def tokens(side: str) -> list[Token]:
        ids = row[f"{side}_ids"]
        texts = token_texts(tokenizer, ids, row["prompt_ids"])
        values = zip(ids, texts, row[f"{side}_rewards"], row[f"{side}_mask"], strict=True)
        return [Token(index, *value) for index, value in enumerate(values)]

    return ShownPair(
        row=row["row"],
        pair_id=row["pair_id"],
        prompt=tokenizer.decode(row["prompt_ids"], skip_special_tokens=False),
        chosen=tokens("chosen"),
        rejected=tokens("rejected"),
        margin=row["margin"],
        oracle_seen=row["oracle_seen"],
        copies=copies,
    )


def render_pair(pair: ShownPair, *, colour: bool) -> RenderableType:
    """The pair as panels; without colour the selected tokens stand in [brackets]."""
    strongest = max((abs(token.reward) for token in (*pair.chosen, *pair.rejected)), default=0.0) or 1.0
    seen = {True: "seen by the oracle", False: "not seen by the oracle", None: "oracle without a record"}
    heading = f"pair {pair.row}  {_one_word(pair.pair_id)}  margin {pair.margin:+.3f}  {seen[pair.oracle_seen]}"
    heading += f"  first of {pair.copies:,} copies" if pair.copies > 1 else ""
    prompt = Text(printable(pair.prompt.rstrip()), style="dim")
    panels: list[RenderableType] = [Text(heading, style="bold"), Panel(prompt, title="prompt")]
    for side in SIDES:
        tokens: list[Token] = getattr(pair, side)
        total = sum(token.reward for token in tokens)
        selected = sum(token.selected for token in tokens)
        title = f"{side}  reward {total:+.3f}  {selected} of {len(tokens)} tokens selected"
        panels.append(Panel(_coloured(tokens, strongest) if colour else _bracketed(tokens), title=title))
    if colour:
        legend = Text.assemble(
            (" gains ", _style(1.0)), " ", (" no change ", _style(0.0)), " ", (" loses ", _style(-1.0)), "  ",
            (" selected ", f"bold underline {_style(0.0)}"), f"  strongest |reward| {strongest:.3f}",
        )  # fmt: skip
        panels.append(legend)
    return Group(*panels)


def _one_word(text: str) -> str:
    """A text that Rich breaks into no lines: of 40 characters at most, without blanks."""
    word = "".join(f"\\x{ord(letter):02x}" if letter.isspace() else letter for letter in spelt_out(text))
    return word if len(word) <= ID_CHARACTERS else f"{word[: ID_CHARACTERS - 3]}..."


def _coloured(tokens: Sequence[Token], strongest: float) -> Text:
    text = Text()
    for token in tokens:
        style = _style(token.reward / strongest)
        text.append(_visible(token.text), style=f"bold underline {style}" if token.selected else style)
    return text


def _bracketed(tokens: Sequence[Token]) -> Text:
    return Text("".join(f"[{_visible(token.text)}]" if token.selected else _visible(token.text) for token in tokens))


def _visible(text: str) -> str:
    return "\\n\n".join(map(spelt_out, text.split("\n")))


def _style(strength: float) -> str:
    """Black on a background between loss, neutral and gain; `strength` from -1 to 1."""
    end = GAIN if strength > 0 else LOSS
    red, green, blue = (
        round(neutral + (extreme - neutral) * abs(strength)) for neutral, extreme in zip(NEUTRAL, end, strict=True)
    )
    return f"#000000 on #{red:02x}{green:02x}{blue:02x}"
