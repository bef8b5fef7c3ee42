"""Stage datasets and inputs in a store: fsspec's memory, and moto's S3 server on this machine."""

import gzip
import json
import os
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pytest

from sepo_data.analysis.info import read_info, summary
from sepo_data.errors import RefusedError, SepoError
from sepo_data.readers.source import open_source
from sepo_data.schemas.manifest import InputRecord, Manifest
from sepo_data.schemas.stages import Stage
from sepo_data.shapes.pairs import SkippedRow
from sepo_data.stages.directory import find_run, is_finished, read_stage
from sepo_data.stages.scan import scan
from sepo_data.stages.writer import open_stage
from sepo_data.storage import locks as claims
from sepo_data.storage.atomic import atomic_write, write_text
from sepo_data.storage.download import fetched
from sepo_data.storage.location import filesystem, is_remote, location, public_name, read_text
from sepo_data.storage.locks import is_held, try_claim

pytest.importorskip("upath", reason="universal_pathlib is not installed")

PLAN = Manifest(stage=Stage.REWARDS, input=InputRecord(name="toy", fingerprint="f", rows=6), options={"beta": 0.1})
OTHER = PLAN.model_copy(update={"options": {"beta": 0.2}})
LINES = b'{"prompt": "q", "chosen": "a", "rejected": "b"}\n' * 3


@pytest.fixture(scope="module")
def s3_server():
    """moto's server in a process of its own, on a free port of this machine alone."""
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    pytest.importorskip("moto", reason="moto is not installed")
    code = """
import time
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
time.sleep(600)
"""
    server = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        yield f"http://127.0.0.1:{int(server.stdout.readline())}"
    finally:
        server.kill()
        server.wait(10)
        server.stdout.close()


@pytest.fixture(params=["memory", "s3"])
def store(request, tmp_path, monkeypatch):
    """The URL of an empty folder in a store."""
    monkeypatch.setenv("SEPO_CACHE", str(tmp_path / "cache"))
    folder = request.node.name.replace("[", "-").rstrip("]")
    if request.param == "memory":
        return f"memory://bucket/{folder}"
    use_s3(monkeypatch, request.getfixturevalue("s3_server"))
    return f"s3://bucket/{folder}"


def use_s3(monkeypatch, server):
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem(use_listings_cache=False).makedirs("bucket", exist_ok=True)


@pytest.fixture
def tables(rewards_of):
    return [rewards_of([([3.0, 1.0], [0.5]), ([1.0], [-1.0, 2.0])], first=first) for first in (0, 10, 20)]


def write(path, tables):
    stage = open_stage(path, PLAN, shards=len(tables))
    stage.write_folder("tokenizer", lambda folder: (folder / "tokenizer.json").write_text("{}"))
    for index in stage.claim_shards([2, 0, 1]):
        stage.write_shard(index, tables[index], skipped=[SkippedRow(index, "null", "ü")], seconds=1.0)
    return stage.finish_if_whole(seconds=1.0)


def content(path):
    local = fetched(path, recursive=True)
    return {file.name: file.read_bytes() for file in local.rglob("*") if file.is_file() and file.name != "sepo.json"}


def test_a_stage_in_a_store_has_the_same_bytes(store, tables, tmp_path):
    out = location(store) / "out"
    write(tmp_path / "out", tables)
    stage = open_stage(out, PLAN, shards=3)
    for index in stage.claim_shards([1]):
        stage.write_shard(index, tables[index], skipped=[SkippedRow(index, "null", "ü")], seconds=1.0)
        assert is_held(out / ".sepo" / "00001.lock")
    assert not is_held(out / ".sepo" / "00001.lock")
    assert stage.missing() == [0, 2]
    with pytest.raises(SepoError, match=r"unfinished \(1 shards so far\)"):
        scan(store + "/out")
    assert summary(out, read_info(out))["pace"]["shards"] == 1
    stage.leave()
    assert write(out, tables).finished
    assert is_finished(out)
    assert read_stage(out, Stage.REWARDS).rows == 6
    assert content(out) == content(tmp_path / "out")
    assert not [name for name in fetched(out, recursive=True).iterdir() if name.name == ".sepo"]
    assert scan(store + "/out").collect().equals(scan(tmp_path / "out").collect())
    assert open_stage(out, PLAN, shards=3).manifest.finished
    with pytest.raises(RefusedError, match="holds another rewards run"):
        open_stage(out, OTHER, shards=3)
    anew = open_stage(out, OTHER, shards=3, overwrite=True)
    assert anew.missing() == [0, 1, 2]
    with pytest.raises(RefusedError, match="another process is writing"):
        open_stage(out, PLAN, shards=3, overwrite=True)


@pytest.fixture(autouse=True)
def short_leases(monkeypatch):
    monkeypatch.setattr(claims, "LEASE", 2.4)


def test_a_failed_write_leaves_no_object(store):
    file = location(store) / "x"
    with pytest.raises(ZeroDivisionError), atomic_write(file) as sink:  # noqa: PT012
        sink.write(b"half")
        raise ZeroDivisionError
    assert not file.exists()
    write_text(file, "ä")
    with pytest.raises(ZeroDivisionError), atomic_write(file) as sink:  # noqa: PT012
        sink.write(b"half" * 10_000_000)
        raise ZeroDivisionError
    assert file.read_bytes() == "ä".encode()


def test_what_is_replaced_while_it_is_read_is_read_whole(store):
    name, texts = location(store) / "text", {"short", "long " * 100_000}
    write_text(name, "short")
    done = threading.Event()

    def rewrite():
        while not done.is_set():
            for text in texts:
                write_text(name, text)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        assert {read_text(name) for _ in range(100)} <= texts
    finally:
        done.set()
        writer.join(30)


def leave_a_dead_lease(name, host="gone"):
    write_text(name, json.dumps({"host": host, "pid": 1, "key": "k", "time": 0}))


def test_a_lease_is_renewed_and_given_back(store):
    name = location(store) / "x.lock"
    held = try_claim(name)
    first = name.read_bytes()
    assert try_claim(name) is None
    assert try_claim(name, watch=True) is None, "watched: its holder gives signs of life"
    assert name.read_bytes() != first
    held.release()
    assert not is_held(name)
    again = try_claim(name)
    again.release()


def test_the_lease_of_a_dead_holder_is_taken_over(store):
    name = location(store) / "x.lock"
    leave_a_dead_lease(name)
    assert is_held(name)
    assert try_claim(name) is None, "nobody has watched it yet"
    begun = time.monotonic()
    held = try_claim(name, watch=True)
    assert held is not None
    assert time.monotonic() - begun >= claims.LEASE
    held.release()


def test_dead_processes_are_watched_all_at_once_and_once(store, tables):
    folder = location(store) / "out"
    open_stage(folder, PLAN, shards=len(tables)).leave()
    for number in range(8):
        leave_a_dead_lease(folder / ".sepo" / f"{number}.worker")
    begun = time.monotonic()
    assert find_run(folder, PLAN, overwrite=True) is None
    assert claims.LEASE <= time.monotonic() - begun < 4 * claims.LEASE
    assert not list((folder / ".sepo").glob("*.worker"))


def test_what_a_dead_process_held_is_not_told_to_be_written(store, tables):
    out = location(store) / "out"
    stage = open_stage(out, PLAN, shards=3)
    stage.write_shard(1, tables[1], seconds=1.0)
    held = try_claim(stage._lock_path(0))
    leave_a_dead_lease(stage._lock_path(2))
    assert summary(out, read_info(out))["pace"]["held"] == 1
    held.release()
    stage.leave()


def test_the_shards_of_dead_processes_are_watched_all_at_once(store):
    stage = open_stage(location(store) / "out", PLAN, shards=8)
    for index in range(1, 8):
        leave_a_dead_lease(stage._lock_path(index))
    begun = time.monotonic()
    assert sorted(stage.claim_shards(range(8))) == list(range(8))
    assert claims.LEASE <= time.monotonic() - begun < 6 * claims.LEASE
    stage.leave()


def test_a_lease_that_was_taken_over_is_not_given_back(store):
    name = location(store) / "x.lock"
    held = try_claim(name)
    leave_a_dead_lease(name, host="other")
    held.release()
    assert json.loads(name.read_bytes())["host"] == "other"


def test_only_one_of_many_creates_a_lease(store):
    name = location(store) / "x.lock"
    got, start = [], threading.Barrier(8)

    def race():
        start.wait()
        got.append(try_claim(name))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    held = [claim for claim in got if claim is not None]
    assert len(held) == 1 or store.startswith("memory"), "memory cannot create exclusively between threads"
    for claim in held:
        claim.release()


def test_only_one_of_many_takes_a_dead_lease_over(store):
    name = location(store) / "x.lock"
    leave_a_dead_lease(name)
    got = []
    threads = [threading.Thread(target=lambda: got.append(try_claim(name, watch=True))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    held = [claim for claim in got if claim is not None]
    assert len(got) == 8
    assert len(held) == 1 or (held and store.startswith("memory")), "memory cannot create exclusively between threads"
    for claim in held:
        claim.release()


def test_who_saw_a_lease_die_leaves_the_one_that_came_after_it(store, monkeypatch):
    name = location(store) / "x.lock"
    leave_a_dead_lease(name)
    first = []
    watched = claims._last_sign

    def slow(watched_name):
        dead = watched(watched_name)
        monkeypatch.setattr(claims, "_last_sign", watched)
        first.append(try_claim(name, watch=True))
        return dead

    monkeypatch.setattr(claims, "_last_sign", slow)
    assert try_claim(name, watch=True) is None
    assert first[0].is_mine()
    first[0].release()


WORKER = """
import sys
from pathlib import Path
import pyarrow as pa
from sepo_data.schemas.manifest import Manifest
from sepo_data.storage import locks as claims
from sepo_data.storage.location import location
from sepo_data.stages.writer import open_stage

claims.LEASE = 4.0
plan = Manifest.from_json(Path(sys.argv[2]).read_text())
table = pa.ipc.open_stream(Path(sys.argv[3]).read_bytes()).read_all()
stage = open_stage(location(sys.argv[1]), plan, shards=6)
for index in stage.claim_shards(range(6)):
    if sys.argv[4] == "die":
        import os
        os._exit(9)
    stage.write_shard(index, table, seconds=1.0)
    print(index, flush=True)
stage.finish_if_whole(seconds=1.0)
"""


def test_processes_share_a_directory_on_s3(s3_server, tmp_path, tables, monkeypatch):
    use_s3(monkeypatch, s3_server)
    monkeypatch.setenv("SEPO_CACHE", str(tmp_path / "cache"))
    with pa.ipc.new_stream(str(tmp_path / "table"), tables[0].schema) as writer:
        writer.write_table(tables[0])
    (tmp_path / "plan").write_text(PLAN.to_json())

    def start(behaviour):
        arguments = [sys.executable, "-c", WORKER, "s3://bucket/shared", tmp_path / "plan", tmp_path / "table"]
        return subprocess.Popen([*arguments, behaviour], stdout=subprocess.PIPE, text=True)

    dead = start("die")
    assert dead.communicate(timeout=60) == ("", None)
    workers = [start("work") for _ in range(2)]
    try:
        answers = [worker.communicate(timeout=120)[0].split() for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sorted(answers[0] + answers[1]) == list("012345"), "the shard of the dead one as well, each once"
    assert scan("s3://bucket/shared").collect().height == 12
    assert {path.name for path in location("s3://bucket/shared").iterdir()} == {
        *(f"data-0000{index}-of-00006.arrow" for index in range(6)),
        "sepo.json", "skipped.jsonl", "state.json", "dataset_info.json",
    }  # fmt: skip


# Inputs.


def test_a_file_is_fetched_once(store, tmp_path, monkeypatch):
    file = location(store) / "pairs.jsonl"
    write_text(file, LINES.decode())
    (tmp_path / "pairs.jsonl").write_bytes(LINES)
    source = open_source(f"{store}/pairs.jsonl")
    assert source.name == f"{store}/pairs.jsonl"
    assert source.fingerprint == open_source(str(tmp_path / "pairs.jsonl")).fingerprint
    assert [row.detail for row in source] == [f"pairs.jsonl line {n}" for n in (1, 2, 3)]
    with monkeypatch.context() as patch:
        patch.setattr(type(file.fs), "get_file", None)
        assert open_source(f"{store}/pairs.jsonl").rows == 3
    time.sleep(1.1)  # moto tells times in seconds
    write_text(file, LINES.decode() * 2)
    assert open_source(f"{store}/pairs.jsonl").rows == 6


def test_a_folder_of_files_of_one_split(store):
    for name in ("train.jsonl", "test.jsonl"):
        write_text(location(store) / name, LINES.decode())
    source = open_source(store)
    assert (source.rows, source.split) == (3, "train")
    write_text(location(store) / "inner/train.jsonl", LINES.decode())
    with pytest.raises(SepoError, match=r"holds data files and folders of others: test\.jsonl, train\.jsonl, inner/"):
        open_source(store)


def test_a_pattern_fetches_what_fits(store, tmp_path):
    for name in ("a.jsonl", "b.jsonl", "b.csv", "notes.txt", "deep/er/c.jsonl"):
        write_text(location(store) / name, LINES.decode())
    source = open_source(f"{store}/*.jsonl")
    assert (source.name, source.rows) == (f"{store}/*.jsonl", 6)
    assert [row.detail for row in source.slice(2, 4)] == ["a.jsonl line 3", "b.jsonl line 1"]
    copies = {file.name for file in (tmp_path / "cache").rglob("*") if file.is_file()}
    assert copies == {"a.jsonl", "b.jsonl"}
    assert open_source(f"{store}/**/c.jsonl").rows == 3
    with pytest.raises(SepoError, match=r"no data file fits .*/\*\.tsv"):
        open_source(f"{store}/*.tsv")


def test_only_the_split_asked_for_is_fetched(store, tmp_path):
    for name in ("README.md", "weights.bin", "data/train-0.jsonl", "data/train-1.jsonl", "data/test-0.jsonl"):
        write_text(location(store) / name, LINES.decode())
    source = open_source(store, split="test")
    assert (source.rows, source.split) == (3, "test")
    assert [file.name for file in (tmp_path / "cache").rglob("*") if file.is_file()] == ["test-0.jsonl"]


def test_a_saved_dataset_in_a_store(store, tmp_path):
    datasets = pytest.importorskip("datasets")
    rows = [{"prompt": "q", "chosen": "a", "rejected": "b"}]
    datasets.DatasetDict(train=datasets.Dataset.from_list(rows)).save_to_disk(tmp_path / "saved")
    for file in (tmp_path / "saved").rglob("*"):
        if file.is_file():
            (location(store) / file.relative_to(tmp_path / "saved").as_posix()).write_bytes(file.read_bytes())
    source = open_source(store)
    assert ([row.value for row in source], source.split) == (rows, "train")


def test_a_name_that_leads_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("SEPO_CACHE", str(tmp_path / "cache"))
    store, _ = filesystem(location("memory://evil/folder"))
    store.pipe("/evil/folder/a.jsonl", LINES)
    listed = store.find("/evil/folder", detail=True)
    listed = {"x": next(iter(listed.values())) | {"name": "/evil/folder/../../../../out.jsonl"}}
    monkeypatch.setattr(type(store), "find", lambda *_, **__: listed)
    with pytest.raises(SepoError, match="would be written elsewhere"):
        fetched(location("memory://evil/folder"), recursive=True)
    assert not list(tmp_path.rglob("out.jsonl"))


# The web.


@pytest.fixture
def web(tmp_path, monkeypatch):
    """The address of a server on this machine, and the folder it serves."""
    pytest.importorskip("aiohttp", reason="aiohttp is not installed")
    monkeypatch.setenv("SEPO_CACHE", str(tmp_path / "cache"))
    (tmp_path / "web").mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(QuietHandler, directory=tmp_path / "web")) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", tmp_path / "web"
        server.shutdown()


class QuietHandler(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def test_a_file_on_the_web(web, tmp_path):
    url, folder = web
    (folder / "pairs.jsonl.gz").write_bytes(gzip.compress(LINES))
    source = open_source(f"{url}/pairs.jsonl.gz?signature=secret")
    assert source.name == f"{url}/pairs.jsonl.gz"
    assert [row.detail for row in source] == [f"pairs.jsonl.gz line {n}" for n in (1, 2, 3)]
    assert source.fingerprint == open_source(str(folder / "pairs.jsonl.gz")).fingerprint
    assert not [file for file in (tmp_path / "cache").rglob("*") if "secret" in str(file)]
    (folder / "pairs.jsonl.gz").write_bytes(gzip.compress(LINES.replace(b"q", b"Q")))
    os.utime(folder / "pairs.jsonl.gz", (1, 1))  # HTTP tells times in seconds
    assert next(iter(open_source(f"{url}/pairs.jsonl.gz"))).value["prompt"] == "Q", "another version is fetched"


@pytest.mark.parametrize("name", ["nothing.jsonl", "pairs.txt"])
def test_errors_about_the_web_hold_no_secret(web, name):
    with pytest.raises(SepoError) as caught:
        open_source(f"{web[0]}/{name}?signature=secret")
    assert name in str(caught.value)
    assert "secret" not in f"{caught.value}{caught.value.hint}"


def test_nothing_there(store):
    with pytest.raises(SepoError, match=r"pairs\.jsonl does not exist"):
        open_source(f"{store}/pairs.jsonl")
    with pytest.raises(SepoError, match="does not exist"):
        scan(f"{store}/rewards")


# Names.


def test_locations(tmp_path):
    assert location("a/b") == Path("a/b")
    assert location(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    assert not is_remote(location(str(tmp_path)))
    assert is_remote(location("memory://a/b"))
    assert str(location("memory:/a/b")) == str(location("memory://a/b")), "as pathlib leaves it"
    assert location(tmp_path) is tmp_path


def test_a_file_url_is_a_local_name(tmp_path, tables):
    (tmp_path / "pairs.jsonl").write_bytes(LINES)
    assert open_source(f"file://{tmp_path}/pairs.jsonl").rows == 3
    write(location(f"file://{tmp_path}/out"), tables)
    assert scan(f"file://{tmp_path}/out").collect().height == 6


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("https://me:secret@host/a.jsonl?X-Amz-Signature=secret#x", "https://host/a.jsonl"),
        ("s3://bucket/a", "s3://bucket/a"),
        ("a/b?c", "a/b?c"),
    ],
)
def test_names_without_secrets(url, public):
    assert public_name(url) == public


def test_what_is_not_installed_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(SepoError, match="gs:// needs a package") as caught:
        location("gs://bucket/x")
    assert caught.value.hint == "pip install universal_pathlib gcsfs"
    with pytest.raises(SepoError, match="nosuch://x"):
        location("nosuch://x")
