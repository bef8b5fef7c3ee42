"""Pairs drawn for people: every token coloured by its reward, the selected ones marked by more than colour."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sepo_data.console.text import printable, spelt_out
from sepo_data.schemas.stages import SIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from sepo_data.analysis.show.pair import ShownPair, Token

GAIN, LOSS, NEUTRAL = (102, 194, 122), (244, 132, 110), (240, 240, 240)
"""Background colours of the highest possible, the lowest possible, and no reward; all readable under black text."""

ID_CHARACTERS = 40
"""Length at which a pair_id is shortened; those that sepo makes have 16 characters."""

BOXED_FROM, BESIDE_FROM = 60, 100
"""Columns from which a text has a frame, and from which two directories stand side by side."""

SEEN = {True: "seen by the oracle", False: "not seen by the oracle", None: "oracle without a record"}


def render_pair(pair: ShownPair, *, colour: bool, boxed: bool = True) -> RenderableType:
    """The pair as panels, or `boxed` off as plain paragraphs; without colour the selected tokens stand in [brackets].

    All text that comes from data is escaped.
    """
    heading = f"pair {pair.row}  {_one_word(pair.pair_id)}  margin {pair.margin:+.3f}  {SEEN[pair.oracle_seen]}"
    heading += f"  first of {pair.copies:,} copies" if pair.copies > 1 else ""
    return Group(Text(heading, style="bold"), _prompt(pair, boxed=boxed), *_responses(pair, colour=colour, boxed=boxed))


def render_pairs(
    shown: Sequence[ShownPair], names: Sequence[str], *, colour: bool, width: int | None = None
) -> RenderableType:
    """A pair of one directory, or of two: side by side, or one below the other where there is no room.

    Args:
        shown: the pair as each directory has it.
        names: of the directories, escaped.
        colour: or brackets.
        width: columns of the screen; None for as many as panels need.
    """
    boxed = width is None or width >= BOXED_FROM
    if len(shown) == 1:
        return render_pair(shown[0], colour=colour, boxed=boxed)
    parts = []
    for pair, name in zip(shown, names, strict=True):
        heading = f"{name}  pair {pair.row}  margin {pair.margin:+.3f}  {SEEN[pair.oracle_seen]}"
        parts.append(Group(Text(heading, style="bold"), *_responses(pair, colour=colour, boxed=boxed)))
    copies = f"  first of {shown[0].copies:,} copies" if shown[0].copies > 1 else ""
    top = [Text(f"pair {_one_word(shown[0].pair_id)}{copies}", style="bold"), _prompt(shown[0], boxed=boxed)]
    if width is not None and width < BESIDE_FROM:
        return Group(*top, *parts)
    beside = Table.grid(expand=True, padding=(0, 1, 0, 0))
    for _ in parts:
        beside.add_column(ratio=1)
    beside.add_row(*parts)
    return Group(*top, beside)


def _prompt(pair: ShownPair, *, boxed: bool) -> RenderableType:
    return _framed(Text(printable(pair.prompt.rstrip()), style="dim"), "prompt", boxed=boxed)


def _responses(pair: ShownPair, *, colour: bool, boxed: bool) -> list[RenderableType]:
    strongest = max((abs(token.reward) for token in (*pair.chosen, *pair.rejected)), default=0.0) or 1.0
    parts: list[RenderableType] = []
    for side in SIDES:
        tokens: list[Token] = getattr(pair, side)
        total = sum(token.reward for token in tokens)
        selected = sum(token.selected for token in tokens)
        title = f"{side}  reward {total:+.3f}  {selected} of {len(tokens)} tokens selected"
        parts.append(_framed(_coloured(tokens, strongest) if colour else _bracketed(tokens), title, boxed=boxed))
    if colour:
        legend = Text.assemble(
            (" gains ", _style(1.0)), " ", (" no change ", _style(0.0)), " ", (" loses ", _style(-1.0)), "  ",
            (" selected ", f"bold underline {_style(0.0)}"), f"  strongest |reward| {strongest:.3f}",
        )  # fmt: skip
        parts.append(legend)
    return parts


def _framed(text: Text, title: str, *, boxed: bool) -> RenderableType:
    if boxed:
        return Panel(text, title=title)
    return Group(Text(f"-- {title}", style="bold"), Padding(text, (0, 0, 0, 1)))  # no line of the text begins one


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
