"""Every rule against plain Python that anybody can read."""

import itertools
import math
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sepo_data.errors import SepoError
from sepo_data.selection.rules.controls import every, inverse, position_random, random
from sepo_data.selection.rules.dataset_wide import budget, threshold
from sepo_data.selection.rules.mass import mass
from sepo_data.selection.rules.own import own
from sepo_data.selection.rules.published import confidence, decay, ref_gap
from sepo_data.selection.rules.top import top

pytestmark = pytest.mark.slow


TINY = 2.0**-149  # the smallest float32 above 0
LARGEST = 2.0**127 * (2 - 2.0**-23)
REWARD = st.floats(width=32, allow_nan=False, allow_infinity=False) | st.sampled_from(
    [0.0, -0.0, 1.0, -1.0, TINY, -TINY, LARGEST]
)
REWARDS = st.lists(REWARD, min_size=1, max_size=40) | st.builds(lambda n: [1.0] * n, st.integers(1, 40))
PAIRS = st.lists(st.tuples(REWARDS, REWARDS), min_size=1, max_size=5)
BASIS_POINTS = st.integers(1, 10_000)
SIDES = ("chosen", "rejected")
SMALL = settings(deadline=None, max_examples=60)


def frame_of(pairs, logps=None):
    """A frame with the columns that the rules read; logps are (oracle, ref) lists for chosen and rejected."""
    columns = {"pair_id": [f"{number:016x}" for number in range(len(pairs))], "source_row": list(range(len(pairs)))}
    schema = {"pair_id": pl.String, "source_row": pl.Int64}
    for index, side in enumerate(SIDES):
        columns[f"{side}_rewards"] = [pair[index] for pair in pairs]
        columns[f"{side}_ref_logps"] = columns[f"{side}_oracle_logps"] = [[-1.0] * len(pair[index]) for pair in pairs]
        if logps:
            columns[f"{side}_oracle_logps"], columns[f"{side}_ref_logps"] = logps[index]
        schema |= {f"{side}_{name}": pl.List(pl.Float32) for name in ("rewards", "oracle_logps", "ref_logps")}
    return pl.LazyFrame(columns, schema=schema)


def masks_of(rule, frame):
    """{side: a list of booleans a row}, the same from both engines and from a frame cut in two."""
    rule = rule.prepared(frame)
    wanted = [rule.mask(side).alias(side) for side in SIDES]
    whole = frame.select(wanted).collect()
    assert whole.equals(frame.select(wanted).collect(engine="streaming"))
    rows = frame.collect()
    cut = pl.concat([rows[:1].lazy().select(wanted).collect(), rows[1:].lazy().select(wanted).collect()])
    assert whole.equals(cut)
    return whole.to_dict(as_series=False)


def signed(pair, index):
    return pair[index] if index == 0 else [-reward for reward in pair[index]]


def best(scores, k):
    """The k highest, at least one, the earliest among equals."""
    kept = set(sorted(range(len(scores)), key=lambda token: (-scores[token], token))[: max(1, k)])
    return [token in kept for token in range(len(scores))]


def expected(pairs, score, count):
    return {side: [best(score(pair, index), count(pair, index)) for pair in pairs] for index, side in enumerate(SIDES)}


def share(basis_points):
    return f"{basis_points / 100:.2f}%"


@given(PAIRS, BASIS_POINTS, BASIS_POINTS)
@SMALL
def test_top_and_inverse(pairs, chosen, rejected):
    shares = (chosen, rejected)

    def count(pair, index):
        return len(pair[index]) * shares[index] // 10_000

    arguments = {"chosen": share(chosen), "rejected": share(rejected)}
    assert masks_of(top(**arguments), frame_of(pairs)) == expected(pairs, signed, count)
    worst = expected(pairs, lambda pair, index: [-value for value in signed(pair, index)], count)
    assert masks_of(inverse(**arguments), frame_of(pairs)) == worst


@given(PAIRS, st.integers(1, 50))
@SMALL
def test_a_number_of_tokens(pairs, k):
    made = masks_of(top(chosen=f"{k} tokens", rejected="1t"), frame_of(pairs))
    assert made == expected(pairs, signed, lambda _pair, index: (k, 1)[index])


@given(PAIRS, REWARD, REWARD)
@SMALL
def test_threshold(pairs, above, below):
    made = masks_of(threshold(above=above, below=below), frame_of(pairs))

    def count(pair, index):
        return sum(value > above for value in pair[0]) if index == 0 else sum(value < below for value in pair[1])

    assert made == expected(pairs, signed, count)


@given(PAIRS, st.integers(0, 10_000), st.integers(0, 10_000))
@SMALL
def test_threshold_at_a_quantile(pairs, above, below):
    rule = threshold(above=f"q{share(above)}", below=f"q{share(below)}").prepared(frame_of(pairs))
    cuts = []
    for index, quantile in enumerate((above, below)):
        values = sorted(value for pair in pairs for value in pair[index])
        cuts.append(values[quantile * (len(values) - 1) // 10_000])
    assert list(rule.numbers.values()) == cuts

    def count(pair, index):
        return sum(value > cuts[0] for value in pair[0]) if index == 0 else sum(value < cuts[1] for value in pair[1])

    assert masks_of(rule, frame_of(pairs)) == expected(pairs, signed, count)


@given(PAIRS, BASIS_POINTS)
@SMALL
def test_mass(pairs, basis_points):
    def count(pair, index):
        carried = list(itertools.accumulate(sorted(map(abs, pair[index]), reverse=True)))
        return next(k for k, value in enumerate(carried, 1) if value * 10_000 >= carried[-1] * basis_points)

    made = masks_of(mass(share(basis_points)), frame_of(pairs))
    assert made == expected(pairs, lambda pair, index: list(map(abs, pair[index])), count)


def test_mass_by_hand():
    # absolute rewards 4 3 2 1: 4 carries 40%, 4 + 3 carry 70%
    frame = frame_of([([1.0, -4.0, 3.0, 2.0], [0.0, 0.0])])
    assert masks_of(mass("40%"), frame)["chosen"] == [[False, True, False, False]]
    assert masks_of(mass("41%"), frame)["chosen"] == [[False, True, True, False]]
    assert masks_of(mass("41%"), frame)["rejected"] == [[True, False]]


@given(PAIRS, BASIS_POINTS)
@SMALL
def test_budget(pairs, basis_points):
    made = masks_of(budget(share(basis_points)), frame_of(pairs))
    for index, side in enumerate(SIDES):
        scores = [signed(pair, index) for pair in pairs]
        first = {
            (row, max(range(len(each)), key=lambda token: (each[token], -token))) for row, each in enumerate(scores)
        }
        others = [
            (-value, row, token)
            for row, each in enumerate(scores)
            for token, value in enumerate(each)
            if (row, token) not in first
        ]
        k = sum(map(len, scores)) * basis_points // 10_000 - len(pairs)
        kept = first | {(row, token) for _, row, token in sorted(others)[: max(0, k)]}
        assert made[side] == [[(row, token) in kept for token in range(len(each))] for row, each in enumerate(scores)]
        assert sum(map(sum, made[side])) == max(len(pairs), sum(map(len, scores)) * basis_points // 10_000)


@given(PAIRS, BASIS_POINTS, st.integers(0, 2**31 - 1))
@SMALL
def test_random_takes_as_many_as_top(pairs, basis_points, seed):
    frame = frame_of(pairs)
    made = masks_of(random(share(basis_points), seed=seed), frame)
    counts = masks_of(top(share(basis_points)), frame)
    for side in SIDES:
        assert list(map(sum, made[side])) == list(map(sum, counts[side]))
    # The order of the rows does not matter.
    rule, rows = random(share(basis_points), seed=seed), frame.reverse()
    assert rows.select(rule.mask("chosen")).collect().to_series().to_list()[::-1] == made["chosen"]


def test_random_is_even_and_depends_on_seed_pair_side_and_position():
    pairs = [([0.0] * 100, [0.0] * 100)] * 400
    made = {seed: masks_of(random("30%", seed=seed), frame_of(pairs)) for seed in (0, 1)}
    table = np.array(made[0]["chosen"])
    # 400 draws of 30%: five standard deviations are 0.115.
    assert abs(table.mean(axis=0) - 0.3).max() < 0.115
    assert len({row.tobytes() for row in table}) == 400
    assert made[0]["chosen"] != made[0]["rejected"]
    assert made[0]["chosen"] != made[1]["chosen"]


def mix(state):
    """SplitMix64's next number after `state`, on Python's integers."""
    word = 2**64 - 1
    state = (state + 0x9E3779B97F4A7C15) & word
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & word
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & word
    return state ^ (state >> 31)


def test_random_is_splitmix64():
    # The generator's published first numbers from seed 0; another hash would change every published selection.
    golden = 0x9E3779B97F4A7C15
    assert [mix(step * golden % 2**64) for step in range(3)] == [
        0xE220A8397B1DCDAF,
        0x6E789E6AA1B965F4,
        0x06C45D188009454F,
    ]
    frame = frame_of([([0.0] * 50, [0.0] * 50)] * 3)
    made = masks_of(random("30%", seed=5), frame)
    for number, side in enumerate(SIDES):
        stream = mix((5 * 2 + number) * golden % 2**64)
        for pair in range(3):
            start = mix(pair ^ stream)
            hashes = [mix((start + position * golden) % 2**64) for position in range(50)]
            assert made[side][pair] == best(hashes, 15)


@given(PAIRS, BASIS_POINTS)
@SMALL
def test_position_random_keeps_the_count_of_every_part(pairs, basis_points):
    frame = frame_of(pairs)
    made = masks_of(position_random(share(basis_points), seed=3), frame)
    matched = masks_of(top(share(basis_points)), frame)
    for side in SIDES:
        for drawn, best_ones in zip(made[side], matched[side], strict=True):
            tokens = len(drawn)
            parts = min(10, max(1, tokens // 8))
            of_token = [token * parts // tokens for token in range(tokens)]
            for part in range(parts):
                inside = [token for token in range(tokens) if of_token[token] == part]
                assert sum(drawn[token] for token in inside) == sum(best_ones[token] for token in inside)


def test_position_random_is_not_top():
    rng = np.random.default_rng(0)
    pairs = [(rng.normal(size=200).tolist(), rng.normal(size=200).tolist()) for _ in range(20)]
    drawn = np.array(masks_of(position_random("30%"), frame_of(pairs))["chosen"])
    chosen = np.array(masks_of(top("30%"), frame_of(pairs))["chosen"])
    # 30% of the tokens agree by chance with each of them.
    assert 0.25 < (drawn & chosen).sum() / chosen.sum() < 0.40


def test_all():
    assert masks_of(every(), frame_of([([1.0, 2.0], [0.0])])) == {"chosen": [[True, True]], "rejected": [[True]]}


LOGPS = st.lists(st.floats(-50, 0, width=32), min_size=1, max_size=30)


@given(st.lists(st.tuples(LOGPS, LOGPS), min_size=1, max_size=4))
@SMALL
def test_confidence(logps):
    frame = frame_of(logps, [([pair[index] for pair in logps],) * 2 for index in (0, 1)])

    def count(pair, index):
        probabilities = [Fraction(math.exp(value)) for value in pair[index]]
        bound = sum(probabilities) / len(probabilities) * (1 + Fraction(1, 10**9))
        return sum(value <= bound for value in probabilities)

    assert masks_of(confidence(), frame) == expected(logps, lambda pair, index: [-v for v in pair[index]], count)


def test_confidence_by_hand():
    # probabilities 0.9 0.5 0.1 have the mean 0.5; equal ones are all taken
    logps = [math.log(0.9), math.log(0.5), math.log(0.1)]
    frame = frame_of([(logps, [-1.0] * 3)], [([logps], [logps]), ([[-1.0] * 3], [[-1.0] * 3])])
    assert masks_of(confidence(), frame) == {"chosen": [[False, True, True]], "rejected": [[True] * 3]}


@given(st.lists(st.tuples(LOGPS, LOGPS), min_size=1, max_size=4), BASIS_POINTS)
@SMALL
def test_ref_gap(logps, basis_points):
    oracle = [[value / 2 for value in pair[0]] for pair in logps], [[-1.0] * len(pair[1]) for pair in logps]
    ref = [pair[0] for pair in logps], [pair[1] for pair in logps]
    frame = frame_of(logps, [(oracle[index], ref[index]) for index in (0, 1)])

    def score(pair, index):
        row = logps.index(pair)
        better, policy = np.array(oracle[index][row], np.float32), np.array(ref[index][row], np.float32)
        return (better - policy if index == 0 else policy - better).tolist()

    made = masks_of(ref_gap(share(basis_points)), frame)
    assert made == expected(logps, score, lambda pair, index: len(pair[index]) * basis_points // 10_000)


@given(PAIRS, st.floats(0.01, 1.0), BASIS_POINTS)
@SMALL
def test_decay(pairs, gamma, basis_points):
    def count(pair, index):
        carried = list(itertools.accumulate(float(np.float64(gamma) ** np.float64(t)) for t in range(len(pair[index]))))
        return next(k for k, value in enumerate(carried, 1) if value * 10_000 >= carried[-1] * basis_points)

    made = masks_of(decay(gamma, share(basis_points)), frame_of(pairs))
    assert made == expected(pairs, lambda pair, index: [-t for t in range(len(pair[index]))], count)


def test_decay_by_hand():
    # weights 1 1/2 1/4 1/8 sum to 15/8: the first carries 53.3%, two of them 80%
    frame = frame_of([([0.0] * 4, [0.0])])
    assert masks_of(decay(0.5, "53%"), frame)["chosen"] == [[True, False, False, False]]
    assert masks_of(decay(0.5, "80%"), frame)["chosen"] == [[True, True, False, False]]
    assert masks_of(decay(0.5, "81%"), frame)["chosen"] == [[True, True, True, False]]


def test_an_own_expression():
    frame = frame_of([([3.0, -1.0, 2.0], [1.0, -5.0]), ([-1.0, -2.0], [0.0])])
    positive = own(name="positive", **{side: pl.col(f"{side}_rewards").list.eval(pl.element() > 0) for side in SIDES})
    # Where it marks nothing, the best reward is taken: -1 of (-1, -2).
    assert masks_of(positive, frame) == {
        "chosen": [[True, False, True], [True, False]],
        "rejected": [[True, False], [True]],
    }
    assert positive.options()["chosen"].startswith('col("chosen_rewards")')


@pytest.mark.parametrize("expression", [pl.col("chosen_rewards"), pl.lit([True, False]).implode()])
def test_an_own_expression_that_is_no_mask(expression):
    rule = own(name="none", chosen=expression, rejected=expression)
    with pytest.raises((SepoError, pl.exceptions.PolarsError), match=r"boolean for each token|expected"):
        frame_of([([3.0, -1.0, 2.0], [1.0])]).select(rule.mask("chosen")).collect()


def test_a_rule_that_was_not_prepared_says_so():
    with pytest.raises(SepoError, match="pass over the complete dataset"):
        budget().mask("chosen")


def test_equal_rewards_need_an_order_of_rows():
    frame = frame_of([([1.0] * 9, [1.0] * 9)] * 3).with_columns(source_row=pl.lit(1))
    with pytest.raises(SepoError, match="source_row does not ascend"):
        budget("50%").prepared(frame)


def test_an_own_rule_has_a_name_that_the_manifest_records():
    """Polars prints any two Python functions alike, so the text of the expressions alone would not tell them apart."""
    above, below = (
        pl.col("chosen_rewards").map_batches(lambda rewards, cut=cut: rewards.list.eval(pl.element() > cut))
        for cut in (0.0, 1.0)
    )
    rejected = pl.col("rejected_mask")
    with pytest.raises(TypeError, match="name"):
        own(chosen=above, rejected=rejected)
    with pytest.raises(SepoError, match="needs a name"):
        own(name=" ", chosen=above, rejected=rejected)
    first, second = own(name="a", chosen=above, rejected=rejected), own(name="b", chosen=below, rejected=rejected)
    assert first.options()["name"] == "a"
    assert first.options() != second.options()
