"""Throughput and time left: the arithmetic by hand, then a directory that is being written."""

import time

import pytest

from sepo_data.analysis.throughput import Throughput, duration, read_throughput, throughput_text, tokens_per_second
from sepo_data.schemas.manifest import InputRecord, Manifest
from sepo_data.schemas.stages import Stage
from sepo_data.stages.writer import open_stage

PLAN = Manifest(stage=Stage.REWARDS, input=InputRecord(name="toy", fingerprint="f", rows=8), options={"shard_rows": 2})


def entry(begun, ended, tokens=100):
    record = {"file": "data-00000-of-00004.arrow", "tokens": {"prompt": 7, "chosen": tokens, "rejected": 0}}
    return {"record": record, "ended": float(ended), "seconds": float(ended - begun)}


@pytest.mark.parametrize(
    ("entries", "recent", "speed"),
    [
        ([], 3600, None),
        ([entry(0, 10)], 3600, 10.0),
        ([entry(0, 10), entry(10, 20)], 3600, 10.0),
        ([entry(0, 10), entry(0, 10), entry(5, 20)], 3600, 15.0),  # three in 20 s
        ([entry(0, 10), entry(1000, 1010)], 3600, 10.0),  # a pause of 990 s does not count
        ([entry(5, 6), entry(0, 10)], 3600, 20.0),  # one within another
        ([entry(0, 1000, tokens=1), entry(1000, 1010), entry(1010, 1020)], 20, 10.0),  # the slow one is long ago
        ([entry(0, 100), entry(0, 120)], 30, 200 / 30),  # both ended in the last 30 s: from 90 to 120
    ],
)
def test_tokens_per_second(entries, recent, speed):
    for order in (entries, entries[::-1]):
        assert tokens_per_second(order, recent) == speed


def test_shards_without_a_time_give_no_throughput():
    assert tokens_per_second([entry(0, 10) | {"seconds": None}]) is None
    assert tokens_per_second([{"record": entry(0, 1)["record"]}]) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1 s"), (59.4, "59 s"), (60, "1 min"), (61, "2 min"), (4790, "1 h 20 min"), (100_000, "1 d 3 h")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_for_people():
    assert throughput_text(Throughput(3, 12, 2, 1234.5, 4790.0)) == (
        "3 of 12 shards, 2 being written now, 1,234 response tokens/s, done in about 1 h 20 min"
    )
    assert throughput_text(Throughput(3, 12, 0, 50.0, 600.0)) == (
        "3 of 12 shards, 50 response tokens/s, no process is writing; about 10 min are left"
    )
    assert throughput_text(Throughput(0, None, 1, None, None)) == "0 of ? shards, 1 being written now"


def test_a_directory_that_is_being_written(tmp_path, rewards_of):
    """Two shards of four in 10 ms each: 6 response tokens a shard, so 600 a second."""
    stage = open_stage(tmp_path, PLAN, shards=4)
    table = rewards_of([([3.0, 1.0], [0.5])] * 2)
    for index in stage.lock_shards([2, 0, 1]):
        if index == 1:
            throughput = read_throughput(tmp_path, PLAN)
            break
        time.sleep(0.01)
        stage.write_shard(index, table, seconds=0.01)
    assert (throughput.shards, throughput.total_shards, throughput.locked_shards) == (2, 4, 1)
    assert throughput.tokens_per_second == pytest.approx(600, rel=0.01)
    assert 0 <= throughput.seconds_left <= 12 / 600
    assert read_throughput(tmp_path, PLAN).locked_shards == 0
