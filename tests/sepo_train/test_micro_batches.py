"""Every pair once an epoch, whatever the batch, the micro-batch and the number of processes."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sepo_train.micro_batches import MicroBatches


def on_all(pairs, batch_size, micro_batch_size, processes, *, seed=0, epoch=0):
    """The micro-batches of each process."""
    return [
        list(MicroBatches(pairs, batch_size, micro_batch_size, seed, lambda: epoch, rank, processes))
        for rank in range(processes)
    ]


def test_a_step_is_dealt_out_evenly():
    [batches] = on_all(8, 8, 3, 1)
    assert [len(batch) for batch in batches] == [3, 3, 2]


def test_an_uneven_end_on_two_processes():
    # Steps of 4 and then 3 pairs, 2 at a time on each of two processes: one pass each.
    first, second = on_all(7, 4, 2, 2)
    assert [len(batch) for batch in first] == [2, 2]
    assert [len(batch) for batch in second] == [2, 1]


def test_an_idle_process_repeats_a_pair_that_does_not_count():
    first, second = on_all(1, 4, 2, 2)
    assert (first, second) == ([[0]], [[~0]])


@given(st.integers(1, 40), st.integers(1, 12), st.integers(1, 6), st.integers(1, 4), st.integers(0, 3))
def test_steps_are_the_same_on_any_machine(pairs, batch_size, micro, processes, epoch):
    parts = on_all(pairs, batch_size, micro, processes, epoch=epoch)
    [alone] = on_all(pairs, batch_size, batch_size, 1, epoch=epoch)
    sampler = MicroBatches(pairs, batch_size, micro, 0, lambda: epoch, 0, processes)
    passes = sampler.passes(batch_size)
    assert {len(part) for part in parts} == {len(sampler)}, "no process waits for another"
    assert all(1 <= len(batch) <= micro for part in parts for batch in part)
    steps = [
        sorted(index for part in parts for batch in part[start : start + passes] for index in batch if index >= 0)
        for start in range(0, len(sampler), passes)
    ]
    assert steps == [sorted(batch) for batch in alone]
    assert sorted(index for step in steps for index in step) == list(range(pairs))


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(**which):
        [batches] = on_all(30, 5, 5, 1, **which)
        return batches

    assert order() == order()
    assert order() != order(seed=1)
    assert order() != order(epoch=1)
    assert order(seed=1) != order(epoch=1)


@pytest.mark.parametrize(("micro", "processes", "passes"), [(8, 1, 1), (4, 1, 2), (3, 1, 3), (3, 2, 2), (8, 4, 1)])
def test_passes_of_a_step_of_8(micro, processes, passes):
    assert MicroBatches(8, 8, micro, 0, lambda: 0, 0, processes).passes(8) == passes
