"""Pairs drawn for people: every token coloured by its reward, the selected ones marked by more than colour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from rich.console import Group
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sepo_data.analysis.show.kept import disagreement_of
from sepo_data.console.text import printable, spelt_out
from sepo_data.schemas.stages import SIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.console import RenderableType

    from sepo_data.analysis.show.pair import ShownPair, Token

Colours = Literal["none", "few", "many"]
"""None, the 8 that every terminal with colours has, or as many as a scale needs."""

GAIN, LOSS, NEUTRAL = (110, 166, 230), (240, 151, 74), (255, 255, 255)
"""Backgrounds of the highest possible, the lowest possible, and no reward: blue, orange and white, as in the report.

All are readable under black text, and can be told apart without red and green.
"""

FEW_GAIN, FEW_LOSS, FEW_NEUTRAL = "cyan", "yellow", "white"
"""The nearest of 8 colours under which black text can be read."""

FEW_FROM = 0.2
"""Share of the strongest reward from which a token has a colour of the 8."""

ID_CHARACTERS = 40
"""Length at which a pair_id is shortened; those that sepo makes have 16 characters."""

BOXED_FROM, BESIDE_FROM = 60, 100
"""Columns from which a text has a frame, and from which two directories stand side by side."""

PIECE = "<>"
"""Stands where it has a colour for a token that begins a character, which the last of its tokens brings."""

DIFFERENT = (
    "the two directories have other tokens of this pair, so nothing is compared: "
    "another chat template or truncation cuts responses elsewhere"
)

SEEN = {True: "seen by the oracle", False: "not seen by the oracle", None: "oracle without a record"}


def render_pair(pair: ShownPair, *, colours: Colours, boxed: bool = True) -> RenderableType:
    """The pair as panels, or `boxed` off as plain paragraphs; without colour the selected tokens stand in [brackets].

    All text that comes from data is escaped.
    """
    heading = f"pair {pair.row}  {_one_word(pair.pair_id)}  margin {pair.margin:+.3f}  {SEEN[pair.oracle_seen]}"
    heading += f"  first of {pair.copies:,} copies" if pair.copies > 1 else ""
    return Group(
        Text(heading, style="bold"), _prompt(pair, boxed=boxed), *_responses(pair, colours=colours, boxed=boxed)
    )


def render_pairs(
    shown: Sequence[ShownPair], names: Sequence[str], *, colours: Colours, width: int | None = None
) -> RenderableType:
    """A pair of one directory, or of two: side by side, or one below the other where there is no room.

    Args:
        shown: the pair as each directory has it.
        names: of the directories, escaped.
        colours: of the terminal; without any the selected tokens stand in brackets.
        width: columns of the screen; None for as many as panels need.
    """
    boxed = width is None or width >= BOXED_FROM
    if len(shown) == 1:
        return render_pair(shown[0], colours=colours, boxed=boxed)
    parts = []
    for pair, name in zip(shown, names, strict=True):
        heading = f"{name}  pair {pair.row}  margin {pair.margin:+.3f}  {SEEN[pair.oracle_seen]}"
        parts.append(Group(Text(heading, style="bold"), *_responses(pair, colours=colours, boxed=boxed)))
    copies = f"  first of {shown[0].copies:,} copies" if shown[0].copies > 1 else ""
    top = [Text(f"pair {_one_word(shown[0].pair_id)}{copies}", style="bold"), _prompt(shown[0], boxed=boxed)]
    if disagreement_of(*shown) is None:
        top.insert(1, Text(DIFFERENT))
    if width is not None and width < BESIDE_FROM:
        return Group(*top, *parts)
    beside = Table.grid(expand=True, padding=(0, 1, 0, 0))
    for _ in parts:
        beside.add_column(ratio=1)
    beside.add_row(*parts)
    return Group(*top, beside)


def _prompt(pair: ShownPair, *, boxed: bool) -> RenderableType:
    return _framed(Text(printable(pair.prompt.rstrip()), style="dim"), "prompt", boxed=boxed)


def _responses(pair: ShownPair, *, colours: Colours, boxed: bool) -> list[RenderableType]:
    strongest = max((abs(token.reward) for token in (*pair.chosen, *pair.rejected)), default=0.0) or 1.0
    parts: list[RenderableType] = []
    for side in SIDES:
        tokens: list[Token] = getattr(pair, side)
        total = sum(token.reward for token in tokens)
        selected = sum(token.selected for token in tokens)
        title = f"{side}  reward {total:+.3f}  {selected} of {len(tokens)} tokens selected"
        parts.append(
            _framed(
                _bracketed(tokens) if colours == "none" else _coloured(tokens, strongest, colours), title, boxed=boxed
            )
        )
    if colours != "none":
        gain, neutral, loss = (_style(strength, colours) for strength in (1.0, 0.0, -1.0))
        legend = Text.assemble(
            (" gains ", gain), " ", (" no change ", neutral), " ", (" loses ", loss), "  ",
            (" selected ", f"bold underline {neutral}"), f"  strongest |reward| {strongest:.3f}",
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


def _coloured(tokens: Sequence[Token], strongest: float, colours: Colours) -> Text:
    text = Text()
    for token in tokens:
        style = _style(token.reward / strongest, colours)
        text.append(_visible(token.text) or PIECE, style=f"bold underline {style}" if token.selected else style)
    return text


def _bracketed(tokens: Sequence[Token]) -> Text:
    return Text("".join(f"[{_visible(token.text)}]" if token.selected else _visible(token.text) for token in tokens))


def _visible(text: str) -> str:
    return "\\n\n".join(map(spelt_out, text.split("\n")))


def _style(strength: float, colours: Colours) -> str:
    """Black on a background between loss, neutral and gain; `strength` from -1 to 1."""
    if colours == "few":
        return f"black on {FEW_NEUTRAL if abs(strength) < FEW_FROM else FEW_GAIN if strength > 0 else FEW_LOSS}"
    end = GAIN if strength > 0 else LOSS
    red, green, blue = (
        round(neutral + (extreme - neutral) * abs(strength)) for neutral, extreme in zip(NEUTRAL, end, strict=True)
    )
    return f"#000000 on #{red:02x}{green:02x}{blue:02x}"
