"""Every pair once an epoch, whatever the batch, the micro-batch and the number of processes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepo_train.training.micro_batches import MicroBatches, deal

WIDE = 1 << 20
"""Tokens that never matter."""


def on_all(lengths, batch_size, micro_batch_size, processes, *, tokens=WIDE, seed=0, epoch=0):
    """The steps of each process."""
    return [
        list(MicroBatches(lengths, batch_size, micro_batch_size, tokens, seed, lambda: epoch, rank, processes))
        for rank in range(processes)
    ]


def test_like_lengths_share_a_micro_batch():
    assert deal([10, 300, 20, 290], 2, WIDE, 1) == [[1, 3], [2, 0]]


def test_tokens_limit_a_micro_batch_padding_included():
    # 300 alone is beyond 256; 100 + 90 would be 200, with 80 three rows of 100.
    assert deal([90, 300, 80, 100], 4, 256, 1) == [[1], [3, 0], [2]]


def test_every_process_has_as_many_micro_batches():
    assert deal([5, 5, 5], 2, WIDE, 2) == [[0, 1], [2]]
    assert deal([5, 5, 5, 5], 4, WIDE, 2) == [[0, 1], [2, 3]], "the one that there is is split"
    assert deal([5, 4, 3, 2, 1], 1, WIDE, 2) == [[0], [1], [2], [3], [4], [~0]]


def test_an_idle_process_repeats_a_pair_that_does_not_count():
    first, second = on_all([7], 4, 2, 2)
    assert (first, second) == ([[[0]]], [[[~0]]])


@given(
    st.lists(st.integers(1, 50), min_size=1, max_size=40),
    st.integers(1, 12),
    st.integers(1, 6),
    st.integers(1, 4),
    st.sampled_from([20, 60, WIDE]),
    st.integers(0, 3),
)
def test_steps_are_the_same_on_any_machine(  # noqa: PLR0917 - drawn by hypothesis
    lengths, batch_size, micro, processes, tokens, epoch
):
    parts = on_all(lengths, batch_size, micro, processes, tokens=tokens, epoch=epoch)
    [alone] = on_all(lengths, batch_size, batch_size, 1, epoch=epoch)
    sampler = MicroBatches(lengths, batch_size, micro, tokens, 0, lambda: epoch, 0, processes)
    assert {len(part) for part in parts} == {len(sampler)}
    for steps in zip(*parts, strict=True):
        assert len({len(step) for step in steps}) == 1, "no process waits for another"
    for batch in (batch for part in parts for step in part for batch in step):
        assert 1 <= len(batch) <= micro
        assert len(batch) == 1 or len(batch) * max(lengths[number] for number in batch) <= tokens
    together = [
        sorted(number for step in steps for batch in step for number in batch if number >= 0)
        for steps in zip(*parts, strict=True)
    ]
    assert together == [sorted(number for batch in step for number in batch) for step in alone]
    assert sorted(number for step in together for number in step) == list(range(len(lengths)))


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(**which):
        [steps] = on_all([1] * 30, 5, 5, 1, **which)
        return steps

    assert order() == order()
    assert order() != order(seed=1)
    assert order() != order(epoch=1)
    assert order(seed=1) != order(epoch=1)


@pytest.mark.parametrize(("pairs", "steps"), [(8, 2), (9, 3), (4, 1), (1, 1)])
def test_steps_of_an_epoch(pairs, steps):
    assert len(MicroBatches([3] * pairs, 4, 2, WIDE, 0, lambda: 0)) == steps
