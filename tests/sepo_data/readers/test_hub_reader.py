"""Hub datasets by revision, as a stream and as hf:// files, from a double of the Hub on this machine."""

import json
import os
import subprocess
import sys

import datasets
import pytest

from sepo_data.readers.source import open_source

READ = """
import json
import pickle
import datasets
from sepo_data.errors import SepoError
from sepo_data.readers.source import open_source

ID = "tester/pairs"
rows = [{"prompt": f"q{n}", "turns": [{"role": "user", "content": "x"}]} for n in range(1500)]
test = datasets.Dataset.from_list(rows[:3])
first = datasets.DatasetDict(train=datasets.Dataset.from_list(rows), test=test).push_to_hub(ID).oid
datasets.DatasetDict(train=datasets.Dataset.from_list(rows[5:]), test=test).push_to_hub(ID)

def opened(dataset, **options):
    try:
        source = open_source(dataset, **options)
    except SepoError as error:
        return [type(error).__name__, str(error), error.hint]
    whole = list(pickle.loads(pickle.dumps(source)))
    assert len(whole) == source.rows
    return [source.split, source.fingerprint, source.rows, whole[0].value, whole[-1].value["prompt"]]

print(json.dumps({
    "files": opened(ID),
    "stream": opened(ID, streaming=True),
    "limit": opened(ID, streaming=True, limit=10),
    "test": opened(ID, streaming=True, split="test"),
    "no split": opened(ID, streaming=True, split="tst"),
    "first": opened(ID, revision=first),
    "first stream": opened(ID, revision=first, streaming=True),
    "no revision": opened(ID, revision="nope", streaming=True),
    "folder": opened(f"hf://datasets/{ID}"),
    "pattern": opened(f"hf://datasets/{ID}/data/t*.parquet", split="test"),
    "nothing": opened("hf://datasets/tester/pears"),
    "script": opened("tester/scripted"),
    "script's stream": opened("tester/scripted", streaming=True),
}))
"""


@pytest.mark.slow
def test_hub(hub_double, tmp_path):
    canary = tmp_path / "canary"
    with hub_double.HubDouble() as hub:
        scripted = hub.repos["datasets", "tester/scripted"] = hub_double.Repo(private=False)
        scripted.commit({"scripted.py": f"open({str(canary)!r}, 'w')".encode(), "data.jsonl": b'{"prompt": "q"}\n'})
        environment = os.environ | {
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": hub_double.TOKEN,
            "HF_HOME": str(tmp_path / "hf"),
            "SEPO_CACHE": str(tmp_path / "cache"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "USE_TORCH": "0",  # else `datasets` imports torch for a stream: half of the time of this test
        }
        done = subprocess.run(
            [sys.executable, "-c", READ],
            env=environment,
            input="y\n" * 100,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert done.returncode == 0, done.stderr
    assert hub_double.TOKEN not in done.stdout
    assert not canary.exists()
    found = json.loads(done.stdout)

    value = {"prompt": "q5", "turns": [{"role": "user", "content": "x"}]}
    assert found["files"][0] == "train"
    assert found["files"][2:] == [1495, value, "q1499"]
    assert found["stream"] == found["files"], "the same rows, and the same fingerprint"
    assert found["limit"] == [*found["files"][:2], 1000, value, "q1004"]
    assert [found["test"][0], found["test"][2]] == ["test", 3]
    assert found["no split"] == ["SepoError", "tester/pairs has no split tst, only train, test", "did you mean test?"]
    assert [found["first"][2], found["first"][3]["prompt"]] == [1500, "q0"]
    assert found["first"][1] != found["files"][1]
    assert found["first stream"] == found["first"]
    assert "Revision 'nope' doesn't exist" in found["no revision"][1]
    assert found["no revision"][2] == "a revision is a branch, a tag or a commit"
    assert found["folder"][2:] == found["files"][2:]
    assert [found["pattern"][0], found["pattern"][2]] == ["test", 3]
    assert found["nothing"][1] == "hf://datasets/tester/pears does not exist"
    script = "the Hub dataset tester/scripted is a Python script, which is never run"
    assert found["script"] == [
        "SepoError",
        script,
        "the Hub may have its rows as files: --revision refs/convert/parquet",
    ]
    assert found["script's stream"] == found["script"]


def test_files_that_a_saved_dataset_names_are_not_fetched(tmp_path):
    """Images and sounds are left as they are, also in lists."""
    away = {"bytes": None, "path": "http://127.0.0.1:9/away"}
    row = {"prompt": "q", "image": away, "images": [away], "turns": [{"sound": away}]}
    file = {"bytes": datasets.Value("binary"), "path": datasets.Value("string")}
    plain = {"prompt": datasets.Value("string"), "image": file, "images": [file], "turns": [{"sound": file}]}
    datasets.Dataset.from_list([row], features=datasets.Features(plain)).save_to_disk(tmp_path)
    info = json.loads((tmp_path / "dataset_info.json").read_text("utf-8"))
    media = {kind: {"_type": kind.title()} for kind in ("image", "audio")}
    info["features"] |= {
        "image": media["image"],
        "images": {"feature": media["image"], "_type": "List"},
        "turns": {"feature": {"sound": media["audio"]}, "_type": "List"},
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps(info), encoding="utf-8")
    [found] = open_source(str(tmp_path))
    assert found.value == row
