"""Prefetched ranges are the ranges that are read in place, and so are their errors."""

import json
import threading
from dataclasses import replace

import pytest
from transformers import PreTrainedTokenizerFast

from sepo_data.errors import SepoError
from sepo_data.preferences.preferences import read_preferences
from sepo_data.tokenization.prefetch import Prefetcher
from sepo_data.tokenization.tokenized_dataset import TokenizedDataset

ROWS = [{"prompt": f"{number}", "chosen": "Q", "rejected": "Z" if number % 5 else None} for number in range(8)] + [
    {"prompt": f"Is the tea number {number} ready for the guests?", "chosen": " Yes.", "rejected": " No."}
    for number in range(8, 20)
]
RANGES = [(start, start + 4) for start in range(0, 20, 4)]


@pytest.fixture(scope="module")
def dataset(tiny_model, tmp_path_factory):
    file = tmp_path_factory.mktemp("prefetch") / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_model)
    return TokenizedDataset(read_preferences(str(file)), tokenizer, 512, None, embeddings=len(tokenizer))


class Reads:
    """A reader that records each range and its thread, and waits in other threads until it is let go."""

    def __init__(self):
        self.calls, self.go = [], threading.Event()

    def __call__(self, start, stop):
        here = threading.current_thread() is threading.main_thread()
        if not here:
            assert self.go.wait(30)
        self.calls.append((start, stop, "caller" if here else "thread"))
        return [start], [stop]


def test_the_same_pairs_in_any_order(dataset):
    with dataset.prefetch(RANGES) as ahead:
        for span in (RANGES[0], RANGES[1], RANGES[3], (3, 9), RANGES[2], RANGES[4], RANGES[0]):
            assert ahead.pairs(*span) == dataset.pairs(*span)


def test_the_next_range_is_read_while_the_caller_works():
    read = Reads()
    with Prefetcher(read, RANGES) as ahead:
        assert ahead.pairs(0, 4) == ([0], [4])
        assert read.calls == [(0, 4, "caller")], "the thread waits"
        read.go.set()
        assert [ahead.pairs(*span) for span in RANGES[1:]] == [([start], [stop]) for start, stop in RANGES[1:]]
    assert read.calls[1:] == [(*span, "thread") for span in RANGES[1:]], "each once, in order"


def test_a_range_that_another_process_took_is_passed_over():
    read = Reads()
    read.go.set()
    with Prefetcher(read, RANGES) as ahead:
        ahead.pairs(*RANGES[0])
        ahead.pairs(*RANGES[2])  # the thread has read range 1 meanwhile
        ahead.pairs(*RANGES[3])
        ahead.pairs(*RANGES[1])
    assert read.calls == [
        (*RANGES[0], "caller"),
        (*RANGES[1], "thread"),
        (*RANGES[2], "caller"),
        (*RANGES[3], "thread"),
        (*RANGES[4], "thread"),
        (*RANGES[1], "caller"),
        (*RANGES[4], "thread"),
    ]


def test_an_interrupt_does_not_wait_for_the_thread():
    read = Reads()
    with pytest.raises(KeyboardInterrupt), Prefetcher(read, RANGES) as ahead:  # noqa: PT012 - inside the block
        ahead.pairs(*RANGES[0])
        raise KeyboardInterrupt
    assert not read.go.is_set()
    read.go.set()


def test_errors_are_raised_where_the_range_is_asked_for(dataset):
    small = replace(dataset, embeddings=259)  # the bytes, but no merged token
    with small.prefetch(RANGES) as ahead:
        for span in RANGES[:2]:
            assert ahead.pairs(*span) == dataset.pairs(*span)
        for _ in range(2):
            with pytest.raises(SepoError, match="but the model embeds only 259 tokens"):
                ahead.pairs(*RANGES[2])
