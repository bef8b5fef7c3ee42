"""Figure `classes`: rewards by the class of a token: template, white space, punctuation, words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sepo_data.report.caption import INTERVALS_OF_MEANS, all_tokens_text, source_text
from sepo_data.report.figure import Figure, figure
from sepo_data.report.side_encoding import side_colour, side_shape
from sepo_data.report.style import NEUTRAL, WIDTH, styled
from sepo_data.schemas.folder import DATASETS
from sepo_data.schemas.stage_names import SIDES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from sepo_data.report.source import Source
    from sepo_data.selection.ragged import Ragged
    from sepo_data.selection.token_classes import TokenClasses

CLASSES = ("template", "white space", "punctuation", "word start", "word continuation")
"""Every token is in exactly one: the first of the first three that it has, else one of the last two."""

DEFINITION = (
    "Classes: special tokens of the template; white space alone; punctuation and symbols; tokens that continue a word "
    "that the token before them left open; all others, which start a word or have no letters."
)


@figure(stages=DATASETS)
def classes(sources: Sequence[Source], /) -> Figure:
    """Mean reward and share of the reward by token class: words, punctuation, white space, template."""
    [source] = sources
    table = classes_table(source)
    caption = (
        f"{source_text(source)} Left: mean reward of a token by class. {INTERVALS_OF_MEANS} Right: share of the sum of "
        f"|reward| of the side (bars) beside the share of its tokens (ticks).{all_tokens_text(source)} {DEFINITION}"
    )
    return Figure("Reward by token class", caption, table, _chart(table))


def classes_table(source: Source) -> pl.DataFrame:
    """The tokens of each side by class. Streams: one shard at a time.

    Returns:
        A row a side and class: `side`; `token_class`; `tokens`; `absolute_reward`, the sum of their |reward|;
        `mean_reward`, and its 95% interval from `low` to `high`; `share_of_tokens` and `share_of_absolute`, of the
        side; of a selection also `selected` tokens and `share_selected`, of the class. What is a share or a mean of
        nothing is null.

    Raises:
        SepoError: the directory's tokenizer cannot be read, or lacks a token id.
    """
    import numpy as np
    import polars as pl

    from sepo_data.report.reward_sums import SUMS, reward_sums, with_means
    from sepo_data.selection.ragged import ragged
    from sepo_data.selection.token_classes import token_classes

    vocabulary = token_classes(source.folder)
    lists = ["ids", "rewards", *(["mask"] if source.is_selection else [])]
    names = [*SUMS, *(["selected"] if source.is_selection else [])]
    sums = {side: np.zeros((len(names), len(CLASSES))) for side in SIDES}
    for frame in source.frames([f"{side}_{name}" for side in SIDES for name in lists]):
        for side in SIDES:
            found = classes_of(ragged(frame[f"{side}_ids"]), vocabulary)
            sums[side][: len(SUMS)] += reward_sums(found, ragged(frame[f"{side}_rewards"]).values, len(CLASSES))
            if source.is_selection:
                mask = ragged(frame[f"{side}_mask"]).values
                sums[side][len(SUMS)] += np.bincount(found[mask], minlength=len(CLASSES))
    tables = [
        pl.DataFrame({"side": [side] * len(CLASSES), "token_class": CLASSES}).with_columns(
            pl.Series(name, of_side[row]) for row, name in enumerate(names)
        )
        for side, of_side in sums.items()
    ]
    return _with_shares(with_means(pl.concat(tables)))


def classes_of(ids: Ragged[np.int32], vocabulary: TokenClasses) -> NDArray[np.intp]:
    """(tokens,) the number of each token's class in `CLASSES`."""
    import numpy as np

    from sepo_data.report.reward_sums import check_vocabulary

    check_vocabulary(ids.values, len(vocabulary.template))
    properties = [vocabulary.template, vocabulary.whitespace, vocabulary.punctuation]
    start, continuation = CLASSES.index("word start"), CLASSES.index("word continuation")
    of_vocabulary = np.select(properties, range(start), start)
    found: NDArray[np.intp] = of_vocabulary[ids.values]
    continues = np.zeros(len(found), np.bool_)
    continues[1:] = vocabulary.ends_inside_word[ids.values[:-1]] & vocabulary.opens_inside_word[ids.values[1:]]
    continues[ids.offsets[:-1][ids.lengths > 0]] = False  # the token before is that of another response
    found[continues & (found == start)] = continuation
    return found


def _with_shares(table: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    counts = [name for name in ("tokens", "selected") if name in table.columns]
    shares = {}
    for share, name in (("share_of_tokens", "tokens"), ("share_of_absolute", "absolute_reward")):
        total = pl.col(name).sum().over("side")
        shares[share] = pl.when(total > 0).then(pl.col(name) / total)
    if "selected" in counts:
        shares["share_selected"] = pl.when(pl.col("tokens") > 0).then(pl.col("selected") / pl.col("tokens"))
    return table.with_columns(**shares).with_columns(pl.col(counts).cast(pl.Int64))


def _chart(table: pl.DataFrame) -> Any:  # noqa: ANN401 - altair has no one type of layers
    import altair as alt

    drawn = alt.Chart(table).transform_filter(alt.datum.tokens > 0)
    side = alt.YOffset("side:N").scale(domain=list(SIDES), paddingInner=0.25, paddingOuter=0.5)
    names = alt.Y("token_class:N").sort(list(CLASSES)).title(None).axis(grid=True)
    unnamed = alt.Y("token_class:N").sort(list(CLASSES)).title(None).axis(labels=False, ticks=False, grid=True)
    reward = alt.X("mean_reward:Q").title("mean reward").axis(tickCount=4)
    means = drawn.encode(names, side, reward, side_colour())
    left: Any = alt.layer(
        alt.Chart().mark_rule(color="#888888", strokeWidth=0.7).encode(x=alt.datum(0)),
        means.mark_rule(strokeWidth=1).encode(alt.X("low:Q").title("mean reward"), alt.X2("high")),
        means.mark_point(size=18, filled=True, opacity=1).encode(shape=side_shape()),
    )
    share = alt.X("share_of_absolute:Q").title("share of |reward|").axis(format="%", tickCount=3)
    shares = drawn.encode(unnamed, side, share, side_colour())
    right: Any = alt.layer(
        shares.mark_bar(height=7, opacity=0.8),
        shares.mark_tick(thickness=1.4, color=NEUTRAL, size=9).encode(
            alt.X("share_of_tokens:Q"), color=alt.value(NEUTRAL)
        ),
    )
    panels: Any = alt.hconcat(
        left.properties(width=WIDTH * 0.42, height=150), right.properties(width=WIDTH * 0.36, height=150), spacing=8
    )
    return styled(panels)
