"""Figure `tokens`: the tokens of the vocabulary with the highest and with the lowest mean reward."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sepo_data.report.caption import INTERVALS_OF_MEANS, all_tokens_text, source_text
from sepo_data.report.figure import Figure, figure
from sepo_data.report.style import BOTH, NEUTRAL, WIDTH, styled
from sepo_data.schemas.folder import DATASETS
from sepo_data.schemas.stage_names import SIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from sepo_data.report.source import Source

SHOWN = 12
"""Tokens at each end."""

MIN_COUNTS = (20, 10, 5, 2, 1)
"""Occurrences that a token needs: the first number that twice `SHOWN` tokens reach, else the last."""

LABEL_CHARACTERS = 18
"""Of a token's text in the chart, an East Asian one counted as two; a longer text is cut."""

BLANK = "\N{MIDDLE DOT}"
"""Stands for a space in a label: fonts have it, where they lack the open box."""

ROW_HEIGHT = 11

HIGHEST, LOWEST = "highest", "lowest"


@figure(stages=DATASETS)
def tokens(sources: Sequence[Source], /) -> Figure:
    """Tokens with the highest and the lowest mean reward, with counts and 95% intervals."""
    [source] = sources
    table = tokens_table(source)
    [least] = table["min_count"].unique().to_list() or [MIN_COUNTS[-1]]
    caption = (
        f"{source_text(source)} Mean reward of a token of the vocabulary over all its occurrences, chosen and rejected "
        f"ones: the {SHOWN} highest and the {SHOWN} lowest of those that occur at least {least} times. On the right "
        f"stands the number of occurrences.{all_tokens_text(source)} {INTERVALS_OF_MEANS} "
        "They do not allow for the choice of the extremes among many tokens. "
        f"{BLANK} is a space; line breaks and characters that cannot be seen are "
        f"escaped; a text of more than {LABEL_CHARACTERS} characters is cut."
    )
    return Figure("Tokens with the highest and lowest mean reward", caption, table, _chart(table))


def tokens_table(source: Source) -> pl.DataFrame:
    """The tokens of the vocabulary at both ends of the mean reward. Streams: one shard at a time.

    Returns:
        The highest first, then the lowest, the lowest of all last; none is in both: `end`; `token_id`; `token`, its
        text; `label`, the text as the chart shows it, no two the same; `tokens`, its occurrences, and `chosen_tokens`
        and `rejected_tokens` of each side; `mean_reward`, and its 95% interval from `low` to `high`; `min_count`, the
        occurrences that a token needs to be here. Of equal means the lowest id is first.

    Raises:
        SepoError: the directory's tokenizer cannot be read, or lacks a token id.
    """
    import polars as pl

    from sepo_data.report.reward_sums import SUMS, with_means
    from sepo_data.stages.token_text import load_tokenizer_file, single_texts

    texts = single_texts(load_tokenizer_file(source.folder))
    chosen, rejected = _sums(source, len(texts))
    found = pl.DataFrame({"token_id": range(len(texts)), "token": texts}, {"token_id": pl.Int32, "token": pl.String})
    found = found.with_columns(
        *(pl.Series(name, chosen[row] + rejected[row]) for row, name in enumerate(SUMS)),
        chosen_tokens=pl.Series(chosen[0]).cast(pl.Int64),
        rejected_tokens=pl.Series(rejected[0]).cast(pl.Int64),
    )
    found = with_means(found.filter(pl.col("tokens") > 0)).with_columns(pl.col("tokens").cast(pl.Int64))
    counts = found["tokens"]
    min_count = next((least for least in MIN_COUNTS if (counts >= least).sum() >= 2 * SHOWN), MIN_COUNTS[-1])
    ranked = found.filter(pl.col("tokens") >= min_count).sort("mean_reward", "token_id", descending=[True, False])
    highest = min(SHOWN, (ranked.height + 1) // 2)
    lowest = min(SHOWN, ranked.height - highest)
    ends = pl.concat([ranked.head(highest), ranked.tail(lowest)])
    return ends.select(
        pl.Series("end", [HIGHEST] * highest + [LOWEST] * lowest, pl.String),
        "token_id",
        "token",
        pl.Series("label", _labels(ends), pl.String),
        *("tokens", "chosen_tokens", "rejected_tokens", "mean_reward", "low", "high"),
        min_count=pl.lit(min_count),
    )


def _sums(source: Source, vocabulary: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(SUMS, vocabulary) counts and sums of the rewards of each token id, of chosen and of rejected."""
    import numpy as np

    from sepo_data.report.reward_sums import SUMS, check_vocabulary, reward_sums
    from sepo_data.selection.ragged import ragged

    sums = {side: np.zeros((len(SUMS), vocabulary)) for side in SIDES}
    for frame in source.frames([f"{side}_{name}" for side in SIDES for name in ("ids", "rewards")]):
        for side in SIDES:
            ids = ragged(frame[f"{side}_ids"]).values
            check_vocabulary(ids, vocabulary)
            sums[side] += reward_sums(ids, ragged(frame[f"{side}_rewards"]).values, vocabulary)
    return sums["chosen"], sums["rejected"]


def _labels(ends: pl.DataFrame) -> list[str]:
    """The labels of the tokens; where some would be the same, these end in the id of the token, or else all do."""
    labels, ids = [token_label(text) for text in ends["token"]], ends["token_id"].to_list()
    unique = [
        f"{label} #{token}".lstrip() if labels.count(label) > 1 or not label else label
        for label, token in zip(labels, ids, strict=True)
    ]
    if len(set(unique)) == len(unique):
        return unique
    return [f"{label} #{token}".lstrip() for label, token in zip(labels, ids, strict=True)]


def token_label(text: str) -> str:
    """The text of a token for a chart: in one line, blanks and unseen characters visible, a long one cut."""
    from sepo_data.console.text import spelt_out, terminal_width

    seen = spelt_out(text).replace(" ", BLANK)
    if len(seen) <= LABEL_CHARACTERS and terminal_width(seen) <= LABEL_CHARACTERS:
        return seen
    cut = seen[: LABEL_CHARACTERS - 1]
    while terminal_width(cut) >= LABEL_CHARACTERS:
        cut = cut[:-1]
    return f"{cut}\N{HORIZONTAL ELLIPSIS}"


def _chart(table: pl.DataFrame) -> Any:  # noqa: ANN401 - altair has no one type of layers
    import altair as alt
    import polars as pl

    width, between = WIDTH * 0.75, ROW_HEIGHT * (table["end"] == HIGHEST).sum()
    # The label is data, the domain of a scale; it is in no expression and names no field.
    place = alt.Y("label:N").sort(None).title(None).axis(grid=True, labelLimit=0)
    base = alt.Chart(table).encode(place, alt.X("mean_reward:Q").title("mean reward of the token"))
    count = alt.Chart(table).mark_text(fontSize=7, align="left", color=NEUTRAL)
    once = alt.Chart(pl.DataFrame({"text": ["count"]}))
    layers: Any = alt.layer(
        once.mark_rule(color="#888888", strokeWidth=0.7).encode(x=alt.datum(0)),
        once.mark_rule(color="#888888", strokeWidth=0.7, strokeDash=[2, 2]).encode(y=alt.value(between)),
        base.mark_rule(strokeWidth=1, color=BOTH).encode(
            alt.X("low:Q").title("mean reward of the token"), alt.X2("high")
        ),
        base.mark_point(size=18, filled=True, opacity=1, color=BOTH),
        count.encode(place, alt.Text("tokens:Q", format=","), x=alt.value(width + 4)),
        once.mark_text(fontSize=7, align="left", color=NEUTRAL).encode(
            alt.Text("text:N"), x=alt.value(width + 4), y=alt.value(-5)
        ),
    )
    return styled(layers.properties(width=width, height=alt.Step(ROW_HEIGHT)))
