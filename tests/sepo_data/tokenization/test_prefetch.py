"""What is read ahead in processes is what is read in place, and nothing of them is left behind."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from sepo_data.errors import SepoError
from sepo_data.preferences.preferences import read_preferences
from sepo_data.tokenization import prefetch as read_ahead
from sepo_data.tokenization.prefetch import ReadAhead
from sepo_data.tokenization.tokenized_dataset import Prepared

ROWS = [{"prompt": f"{number}", "chosen": "Q", "rejected": "Z" if number % 5 else None} for number in range(8)] + [
    {"prompt": f"Is the tea number {number} ready for the guests?", "chosen": " Yes.", "rejected": " No."}
    for number in range(8, 20)
]
RANGES = [(start, start + 4) for start in range(0, 20, 4)]


@pytest.fixture(scope="module")
def prepared(tiny_model, tmp_path_factory):
    file = tmp_path_factory.mktemp("ahead") / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in ROWS), encoding="utf-8")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(tiny_model)
    return Prepared(read_preferences(str(file)), tokenizer, 512, None, embeddings=len(tokenizer))


@pytest.fixture
def impatient(monkeypatch):
    """Start a process for work of a millisecond."""
    monkeypatch.setattr(read_ahead, "START_UP", 1e-6)


def test_the_same_pairs_in_processes(prepared, impatient):
    with ReadAhead(prepared.pairs, RANGES, workers=2) as ahead:
        assert ahead.pairs(0, 4) == prepared.pairs(0, 4)
        assert [worker.place for worker in ahead._workers] == [1, 2], "the ranges that come next are being read"
        assert ahead.pairs(*RANGES[2]) == prepared.pairs(*RANGES[2]), "the one before was taken by somebody else"
        assert ahead.pairs(3, 9) == prepared.pairs(3, 9), "nobody foresaw this one"
        for span in RANGES[3:]:
            assert ahead.pairs(*span) == prepared.pairs(*span)
        assert ahead.pairs(0, 4) == prepared.pairs(0, 4), "asked for again"
        processes = [worker.process for worker in ahead._workers]
        loaded = [Path(f"/proc/{process.pid}/maps") for process in processes]
        assert not any("torch" in maps.read_text() for maps in loaded if maps.exists())
    assert [process.exitcode for process in processes] == [-signal.SIGTERM] * 2


def test_what_fails_in_a_process_is_told_where_it_is_asked_for(new_progress, prepared, impatient):
    small = replace(prepared, embeddings=259)  # the bytes, but no merged token
    notes = new_progress()
    with small.ahead(RANGES, progress=notes) as ahead:
        for span in RANGES[:2]:
            assert ahead.pairs(*span) == prepared.pairs(*span)
        for _ in range(2):
            with pytest.raises(SepoError, match="but the model embeds only 259 tokens"):
                ahead.pairs(*RANGES[2])
    assert notes == []


def test_a_process_that_dies_is_told_of_and_not_missed(new_progress, prepared, impatient):
    notes = new_progress()
    with prepared.ahead(RANGES, progress=notes) as ahead:
        assert ahead.pairs(*RANGES[0]) == prepared.pairs(*RANGES[0])
        [worker] = ahead._workers
        os.kill(worker.process.pid, signal.SIGKILL)
        assert [ahead.pairs(*span) for span in RANGES[1:]] == [prepared.pairs(*span) for span in RANGES[1:]]
    assert notes == ["a process that read ahead died (exit code -9); its part is read again"]


def test_little_work_starts_no_process(prepared):
    with ReadAhead(prepared.pairs, RANGES, workers=2) as ahead:
        assert [ahead.pairs(*span) for span in RANGES] == [prepared.pairs(*span) for span in RANGES]
        assert ahead._workers == []


@pytest.mark.parametrize(("cores", "workers"), [(1, 0), (2, 0), (4, 2), (6, 3), (64, 4)])
def test_how_many_processes_serve_a_caller_who_only_waits(prepared, monkeypatch, cores, workers):
    monkeypatch.setattr("os.cpu_count", lambda: cores)
    assert prepared.ahead(RANGES, workers=8)._most == workers
    assert prepared.ahead(RANGES)._most == 1


def test_all_pairs(prepared, monkeypatch):
    monkeypatch.setattr("sepo_data.tokenization.tokenized_dataset.CHUNK", 3)
    pairs, skipped = prepared.all_pairs()
    assert [item.pair.source_row for item in pairs] == [row for row in range(20) if row not in {0, 5}]
    assert [(row.row, row.reason) for row in skipped] == [(0, "null"), (5, "null")]
    pairs, skipped = prepared.all_pairs(only=frozenset({5, 7, 19}))
    assert [item.pair.source_row for item in pairs] == [7, 19]
    assert [row.row for row in skipped] == [5]
    with pytest.raises(SepoError, match=r"no pair of 2 rows of .* can be used: 2 null"):
        prepared.all_pairs(only=frozenset({0, 5}))


SCRIPT = """
import sys
from transformers import PreTrainedTokenizerFast
from sepo_data.tokenization import prefetch as read_ahead
from sepo_data.preferences.preferences import read_preferences
from sepo_data.tokenization.tokenized_dataset import Prepared
read_ahead.START_UP = 1e-6
prepared = Prepared(read_preferences(sys.argv[1]), PreTrainedTokenizerFast.from_pretrained(sys.argv[2]), 512, None, 999)
with prepared.ahead([(0, 4), (4, 8), (8, 12)]) as ahead:
    ahead.pairs(0, 4)
    print(ahead._workers[0].process.pid, flush=True)
    if len(sys.argv) > 3:
        sys.stdin.read()
    assert ahead.pairs(4, 8) == prepared.pairs(4, 8)
print("done")
"""


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_script_without_a_guard(interrupted, prepared, tiny_model, tmp_path):
    """A spawned process would run the script again, and tell of Ctrl-C in its own words."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, encoding="utf-8")
    root = Path(__file__).resolve().parents[3]
    dataset = prepared.preferences.source.name
    with subprocess.Popen(
        [sys.executable, str(script), dataset, str(tiny_model), *["wait"] * interrupted],
        env={**os.environ, "PYTHONPATH": str(root)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        worker = int(process.stdout.readline())
        if interrupted:
            os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert not Path(f"/proc/{worker}").exists()
    if interrupted:
        assert process.returncode == -signal.SIGINT
        assert err.count("Traceback") == err.count("KeyboardInterrupt") == 1
    else:
        assert (process.returncode, out, err) == (0, "done\n", "")
