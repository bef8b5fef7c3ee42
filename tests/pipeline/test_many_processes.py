"""Several processes on one directory: launched together, as an array, by hand, on Ray; and some of them die."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from sepo_data.errors import SepoError
from sepo_train.scoring.ray_workers import cpus_of_each, score_with_ray

pytestmark = pytest.mark.slow

SEPO = Path(sys.executable).with_name("sepo")
SLOW = """
import time, sepo_data.stages.writer
write = sepo_data.stages.writer.StageWriter.write_shard

def slowly(self, index, *arguments, **options):
    print("begins", index, flush=True)
    time.sleep({seconds})
    return write(self, index, *arguments, **options)

sepo_data.stages.writer.StageWriter.write_shard = slowly
"""
MEET = """
import os, time, sepo_train.scoring.score
opening = sepo_train.scoring.score.open_stage

def meet(*arguments, **options):
    stage = opening(*arguments, **options)
    open(f"{folder}/{{os.getpid()}}", "w").close()
    while len(os.listdir("{folder}")) < {count}:
        time.sleep(0.002)
    return stage

sepo_train.scoring.score.open_stage = meet
"""
"""Nobody takes a shard before everybody is there."""


def shards_told(talk):
    return [int(shard) for shard in re.findall(r"^ *\d+/\d+  shard (\d+) ", talk, flags=re.MULTILINE)]


def launch(*command, environment, cwd, **more):
    process = subprocess.Popen(
        list(map(str, command)),
        env=environment | more,
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        answer, talk = process.communicate(timeout=100)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    return process.returncode, answer, talk


def test_torchrun_deals_out_the_shards_and_answers_once(
    sepo_environment, sepo_server, score_six, six_shards, everything, *, tmp_path
):
    out, elsewhere = tmp_path / "rewards", tmp_path / "elsewhere"
    elsewhere.mkdir()
    torchrun = [SEPO.with_name("torchrun"), "--nproc-per-node", "2", "--master-port", "0", SEPO]
    code, answer, talk = launch(
        *torchrun, *score_six, "--out", "../rewards", environment=sepo_environment, cwd=elsewhere
    )
    assert (code, answer) == (0, "../rewards\n"), talk
    assert sorted(shards_told(talk)) == list(range(6)), talk
    assert everything(out) == everything(six_shards)
    code, answer, talk = sepo_server.run("select", out, "--out", tmp_path / "selection")
    assert (code, answer) == (0, f"{tmp_path / 'selection'}\n"), talk


def test_accelerate_launch_on_a_cpu(sepo_environment, score_six, six_shards, everything, tmp_path):
    command = [SEPO.with_name("accelerate"), "launch", "--cpu", "--num_processes", "2", SEPO, *score_six]
    code, answer, talk = launch(*command, "--out", "rewards", environment=sepo_environment, cwd=tmp_path)
    assert (code, answer) == (0, "rewards\n"), talk
    assert everything(tmp_path / "rewards") == everything(six_shards)


def test_ranks_write_each_shard_once_and_the_first_one_answers(
    sepo_server, score_six, six_shards, everything, tmp_path
):
    (tmp_path / "there").mkdir()
    meet = MEET.format(folder=tmp_path / "there", count=3)
    ranks = [
        sepo_server.start(
            *score_six,
            "--out",
            tmp_path / "rewards",
            "--check-precision=2",
            before=meet + SLOW.format(seconds=0.3),
            RANK=str(index),
            WORLD_SIZE="3",
        )
        for index in range(3)
    ]
    assert [rank.wait() for rank in ranks] == [0, 0, 0]
    talks = [rank.stderr for rank in ranks]
    assert sorted(shard for talk in talks for shard in shards_told(talk)) == list(range(6))
    assert all(shards_told(talk)[0] == index for index, talk in enumerate(talks)), "each begins with its own"
    assert [rank.stdout.splitlines()[-1:] for rank in ranks[:1]] == [[f"{tmp_path / 'rewards'}"]]
    assert all(str(tmp_path) not in rank.stdout for rank in ranks[1:])
    assert ["precision: " in talk for talk in talks] == [True, False, False]
    found = everything(tmp_path / "rewards")
    assert found["sepo.json"]["results"].pop("precision")["pairs"] == 2
    assert found == everything(six_shards)


def test_the_first_rank_takes_over_what_another_one_drops(sepo_server, score_six, six_shards, everything, tmp_path):
    out = tmp_path / "rewards"
    second = sepo_server.start(*score_six, "--out", out, before=SLOW.format(seconds=90), RANK="1", WORLD_SIZE="2")
    wait_for(lambda: "begins 1" in second.stdout)
    first = sepo_server.start(*score_six, "--out", out, RANK="0", WORLD_SIZE="2")
    wait_for(lambda: len(list((out / ".sepo").glob("*.json"))) == 5)
    os.kill(second.pid, signal.SIGKILL)
    assert (second.wait(), first.wait()) == (-signal.SIGKILL, 0)
    assert shards_told(first.stderr) == [0, 2, 4, 3, 5, 1]
    assert first.stdout == f"{out}\n"
    assert everything(out) == everything(six_shards)


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_an_array_of_tasks_in_any_order_two_at_a_time(sepo_server, score_six, six_shards, everything, tmp_path):
    out = tmp_path / "rewards"
    tasks = {}
    for pair in ((4, 1), (0, 5), (3, 2)):
        started = {shard: sepo_server.start(*score_six, "--out", out, "--only-shard", shard) for shard in pair}
        assert [task.wait() for task in started.values()] == [0, 0]
        tasks |= started
    for shard, task in tasks.items():
        assert shards_told(task.stderr) == [shard]
        assert task.stdout == f"{out}\n"
    assert "2 of 6 shards are pending" in tasks[0].stderr + tasks[5].stderr
    assert sum("11 pairs scored" in task.stderr for task in tasks.values()) in {1, 2}, "the last one finishes"
    assert everything(out) == everything(six_shards)
    code, _, talk = sepo_server.run(*score_six, "--out", out, "--only-shard", 3)
    assert code == 0
    assert "is complete (6 of 6 shards); nothing to do" in talk


def test_tasks_that_cannot_be(sepo_server, score_six, tmp_path):
    out = ("--out", tmp_path / "rewards")
    code, answer, talk = sepo_server.run(*score_six, *out, "--only-shard", "99")
    assert (code, answer) == (1, "")
    assert "Error: there is no shard 99\nHint: the 6 shards have the numbers 0 to 5" in talk
    assert sepo_server.run(*score_six, *out, "--only-shard", "-1")[0] == 2
    for nonsense in (("--workers", 2), ("--gpus", 1), ("--backend", "ray", "--only-shard", 1)):
        code, answer, talk = sepo_server.run(*score_six, *out, *nonsense)
        assert (code, answer) == (2, ""), nonsense
        assert nonsense[-2] in talk
    assert not (tmp_path / "rewards").exists()


def test_overwrite_by_several_ranks_is_refused(sepo_server, score_six, six_shards, everything, tmp_path):
    before = everything(six_shards)
    code, answer, talk = sepo_server.run(
        *score_six, "--out", six_shards, "--overwrite", "--yes", RANK="1", WORLD_SIZE="2"
    )
    assert (code, answer) == (1, "")
    assert "--overwrite is not possible with 2 processes at once" in talk
    assert everything(six_shards) == before


def test_two_plain_processes_share_the_work(sepo_server, score_six, six_shards, everything, tmp_path):
    (tmp_path / "there").mkdir()
    meet = MEET.format(folder=tmp_path / "there", count=2) + SLOW.format(seconds=0.3)
    both = [sepo_server.start(*score_six, "--out", tmp_path / "rewards", before=meet) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    told = [shards_told(process.stderr) for process in both]
    assert sorted(told[0] + told[1]) == list(range(6))
    assert all(told), "one that finds a shard taken goes on to the next"
    assert everything(tmp_path / "rewards") == everything(six_shards)


def test_one_of_two_killed_in_the_middle_of_a_shard(sepo_server, score_six, six_shards, everything, tmp_path):
    (tmp_path / "there").mkdir()
    meet = MEET.format(folder=tmp_path / "there", count=2)
    doomed = sepo_server.start(*score_six, "--out", tmp_path / "rewards", before=meet + SLOW.format(seconds=90))
    other = sepo_server.start(*score_six, "--out", tmp_path / "rewards", before=meet + SLOW.format(seconds=0.2))
    wait_for(lambda: "begins" in doomed.stdout)
    [held] = [int(line.split()[1]) for line in doomed.stdout.splitlines()]
    os.kill(doomed.pid, signal.SIGKILL)
    assert (doomed.wait(), other.wait()) == (-signal.SIGKILL, 0)
    assert held in shards_told(other.stderr)
    assert sorted(shards_told(other.stderr)) == list(range(6))
    assert everything(tmp_path / "rewards") == everything(six_shards)


@pytest.fixture(scope="module")
def ray_environment(sepo_environment, tmp_path_factory):
    """A Ray of two CPUs that the tests share: its processes are no children of theirs."""
    pytest.importorskip("ray")
    # Unix sockets have short names: Ray's own folder cannot be in pytest's.
    more = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    environment = sepo_environment | more
    program = (
        "import ray, sys; address = ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)"
        ".address_info['gcs_address']; print(address, flush=True); sys.stdin.read(); ray.shutdown()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as cluster:
        yield environment | {"RAY_ADDRESS": cluster.stdout.readline().strip()}
        cluster.stdin.close()
        cluster.wait(60)


def workers_of(environment):
    """The actors that are at work now, by process id."""
    return {
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if any("ray::_Worker" in part for part in process.info["cmdline"] or [])
        and environment["SEPO_CACHE"] in read_environment(process)
    }


def read_environment(process):
    try:
        return process.environ().values()
    except psutil.Error:
        return ()


def test_ray_workers_that_are_killed_are_replaced(
    ray_environment, sepo_server, score_six, twelve_pairs, everything, *, tmp_path
):
    command = [*score_six, "--shard-rows=1", "--models-in-memory=1"]
    assert sepo_server.run(*command, "--out", tmp_path / "whole")[0] == 0
    out = tmp_path / "rewards"
    running = subprocess.Popen(
        [SEPO, *command, "--out", out, "--backend", "ray", "--workers", "2", "--check-precision=2"],
        env=ray_environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        records = out / ".sepo"
        wait_for(lambda: list(records.glob("*.json")) or running.poll() is not None, 90)
        first = workers_of(ray_environment)
        for pid in first:
            os.kill(pid, signal.SIGKILL)
        done = len(list(records.glob("*.json")))
        answer, talk = running.communicate(timeout=100)
    finally:
        running.kill()
        running.wait()
    assert (running.returncode, answer) == (0, f"{out}\n"), talk
    assert len(first) in {1, 2}, "the second one may not have begun when the first one has a shard"
    assert 1 <= done < 12, "they were killed in the middle"
    assert "2 Ray workers with 1 CPUs and 0 GPUs each" in talk
    assert "shared prompt" in talk, "whatever the workers found exact is told"
    assert "precision: 2 pairs again in fp32" in talk
    assert not workers_of(ray_environment)
    found = everything(out)
    assert found["sepo.json"]["results"].pop("precision")["pairs"] == 2
    assert found == everything(tmp_path / "whole")


def test_ray_of_our_own_is_gone_afterwards_and_more_workers_than_cpus_do_not_wait_for_ever(
    ray_environment, score_six, six_shards, everything, tmp_path
):
    alone = {name: value for name, value in ray_environment.items() if name != "RAY_ADDRESS"}
    # Otherwise Ray looks for one that runs on this machine.
    alone |= {"RAY_ADDRESS": "local", "SEPO_CACHE": str(tmp_path), "RAY_OVERRIDE_RESOURCES": '{"CPU": 1}'}
    command = [SEPO, *score_six, "--out", "rewards", "--backend", "ray", "--workers", "2"]
    code, answer, talk = launch(*command, environment=alone, cwd=tmp_path)
    assert (code, answer) == (0, "rewards\n"), talk
    assert "2 Ray workers with 0.5 CPUs" in talk
    assert everything(tmp_path / "rewards") == everything(six_shards)
    left = [process for process in psutil.process_iter() if str(tmp_path) in read_environment(process)]
    assert left == []


MISTAKES = """
import contextlib, io, json, sys, ray
from sepo_train.entry import load_cli
ray.init(include_dashboard=False, log_to_driver=False)
answers = []
for arguments in json.load(sys.stdin):
    sys.argv, talk = ["sepo", *arguments], io.StringIO()
    with contextlib.redirect_stderr(talk):
        try:
            load_cli().main()
        except SystemExit as exit:
            answers.append([exit.code, talk.getvalue()])
print(json.dumps(answers))
"""


def test_what_a_ray_worker_raises_is_what_the_user_reads(ray_environment, score_six, six_shards, everything, tmp_path):
    import json

    before = everything(six_shards)
    ray = ["--backend=ray", "--workers=1"]
    commands = [
        [*score_six, f"--out={six_shards}", "--beta=0.5", *ray],
        [*score_six, f"--out={tmp_path / 'no'}", "--oracle=nobody/no-such-model", *ray],
        [*score_six, f"--out={tmp_path / 'no'}", "--gpus=64", *ray],
    ]
    done = subprocess.run(
        [sys.executable, "-c", MISTAKES],
        input=json.dumps(commands),
        env=ray_environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    refused, hub, greedy = json.loads(done.stdout)
    assert refused[0] == 3
    assert "Error: " in refused[1]
    assert "options.beta: 0.1 -> 0.5" in refused[1]
    assert "Hint: choose another --out, or replace it with --overwrite" in refused[1]
    assert "Traceback" not in refused[1]
    assert hub[0] == 4
    assert "Error: nobody/no-such-model is no local folder" in hub[1]
    assert greedy[0] == 1
    assert "a worker needs 64 GPUs" in greedy[1]
    assert everything(six_shards) == before
    assert not (tmp_path / "no").exists()


@pytest.mark.parametrize(
    ("nodes", "workers", "cpus"),
    [
        ([2], 2, 1),
        ([16], 3, 5),
        ([8, 8, 8, 8], 2, 8),  # not the 16 that no node has
        ([64, *[16] * 8], 8, 16),
        ([8, 8, 8, 8], 3, 8),
        ([2], 8, 0.25),
        ([4, 4], 3, 2),
        ([0], 2, 1),  # Ray waits, and says so
    ],
)
def test_every_ray_worker_fits_on_a_node(nodes, workers, cpus):
    assert cpus_of_each(nodes, workers) == cpus


def test_without_ray_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(SepoError, match="Ray, which is not installed") as error:
        score_with_ray("pairs.jsonl", tmp_path / "rewards", workers=2, oracle="a", ref="b")
    assert error.value.hint == "pip install 'sepo[ray]'"
