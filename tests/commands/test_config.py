"""Sources of an option's value: command line, environment, file, default, in this order."""

from __future__ import annotations

import json


def _selected(folder):
    return json.loads((folder / "sepo.json").read_text(encoding="utf-8"))["options"]["chosen"]


def test_precedence(sepo, pipeline, tmp_path):
    rewards = pipeline["score"][0]
    config = tmp_path / "sepo.toml"
    config.write_text("[select]\nchosen = 0.2\nrejected = '20%'\n", encoding="utf-8")
    in_file = {"SEPO_CONFIG": str(config)}
    runs = {
        "30%": ([], [], {}),
        "20%": (["--config", config], [], {}),
        "40%": (["--config", config], [], {"SEPO_SELECT_CHOSEN": "40%"}),
        "50%": (["--config", config], ["--chosen", "50%"], {"SEPO_SELECT_CHOSEN": "40%"}),
    }
    for expected, (before, after, variables) in runs.items():
        out = tmp_path / expected
        assert sepo(*before, "select", rewards, "--out", out, *after, **variables).returncode == 0
        assert _selected(out) == expected
    assert sepo("select", rewards, "--out", tmp_path / "variable", **in_file).returncode == 0
    assert _selected(tmp_path / "variable") == "20%"


def test_the_file_may_be_named_after_the_command(sepo, pipeline, tmp_path):
    rewards = pipeline["score"][0]
    files = {share: tmp_path / f"{share}.toml" for share in ("20%", "40%")}
    for share, file in files.items():
        file.write_text(f"[select]\nchosen = '{share}'\n", encoding="utf-8")
    for name, before, after in (
        ("after", [], ["--config", files["20%"]]),
        ("both", ["40%"], ["--config", files["20%"]]),
    ):
        first = ["--config", files[before[0]]] if before else []
        done = sepo(*first, "select", rewards, "--out", tmp_path / name, *after)
        assert done.returncode == 0, done.stderr
        assert _selected(tmp_path / name) == "20%"
    assert sepo("select", rewards, "--config", tmp_path / "no.toml", "--out", tmp_path / "s").returncode == 1
    done = sepo("config", "--config", files["40%"], "--json", SEPO_CONFIG=str(files["20%"]))
    assert json.loads(done.stdout)["select"]["chosen"] == {"value": "40%", "source": "file"}
    assert "config" not in json.loads(done.stdout)["select"], "an option that has no value of its own"


def test_config_prints_the_source_of_each_value(sepo, tmp_path):
    config = tmp_path / "sepo.toml"
    config.write_text("[score]\nshard-rows = 64\nkeep-columns = ['source', 'topic']\njson = true\n", encoding="utf-8")
    done = sepo("--config", config, "config", "--json", SEPO_SCORE_BETA="0.3")
    score = json.loads(done.stdout)["score"]
    assert score["shard_rows"] == {"value": 64, "source": "file"}
    assert score["keep_columns"] == {"value": "source,topic", "source": "file"}
    assert score["json"] == {"value": True, "source": "file"}
    assert score["beta"] == {"value": "0.3", "source": "environment"}
    assert score["dtype"] == {"value": None, "source": "default"}
    lines = sepo("--config", config, "config", SEPO_SCORE_BETA="0.3").stdout.splitlines()
    assert ["score.beta", '"0.3"', "environment"] in [line.split() for line in lines]


def test_every_unknown_key_is_named_with_a_suggestion(sepo, tmp_path):
    config = tmp_path / "sepo.toml"
    config.write_text("[select]\nchosn = 0.5\n[scor]\nbeta = 1\n[score]\nbeat = 1\n", encoding="utf-8")
    done = sepo("--config", config, "info", ".")
    assert done.returncode == 1
    assert "unknown keys: select.chosn, scor, score.beat" in done.stderr
    for guess in ("did you mean chosen?", "did you mean score", "did you mean beta"):
        assert guess in done.stderr


def test_env_names_versions_and_hardware(sepo):
    found = json.loads(sepo("env", "--json").stdout)
    assert {"python", "sepo", "torch", "platform", "device", "threads", "cache"} <= set(found)


def test_dry_run_counts_loads_no_weights_and_writes_nothing(sepo, pipeline, prefs, tiny_model, tmp_path):
    oracle = tmp_path / "oracle"
    oracle.mkdir()
    for file in tiny_model.iterdir():
        (oracle / file.name).symlink_to(file)
    weights = (oracle / "model.safetensors").read_bytes()
    (oracle / "model.safetensors").unlink()
    header = 8 + int.from_bytes(weights[:8], "little")
    (oracle / "model.safetensors").write_bytes(weights[:header] + b"\xff" * (len(weights) - header))  # all NaN
    out = tmp_path / "rewards"
    done = sepo(
        "score",
        prefs,
        "--oracle",
        oracle,
        "--ref",
        tiny_model,
        "--shard-rows",
        "8",
        "--out",
        out,
        "--dry-run",
        "--json",
    )
    answer = json.loads(done.stdout)
    real = json.loads(pipeline["score"][1].stdout)
    assert not out.exists()
    assert (answer["rows"], answer["tokens"], answer["skipped"]) == (real["rows"], real["tokens"], real["skipped"])
    assert answer["shards"] == 3
    assert answer["estimated_bytes"] > 0
    assert answer["unread"] == ["category", "decisive", "other"]
    assert len(answer["fingerprint"]) == 16

    rewards, selection = pipeline["score"][0], pipeline["select"][0]
    answer = json.loads(sepo("select", rewards, "--out", out, "--dry-run", "--json").stdout)
    assert not out.exists()
    assert answer["fingerprint"] == json.loads((selection / "sepo.json").read_text(encoding="utf-8"))["fingerprint"]
    assert (answer["rows"], answer["shards"], answer["tokens"]) == (22, 12, real["tokens"])
    size = sum(file.stat().st_size for file in selection.glob("*.arrow"))
    assert abs(answer["estimated_bytes"] - size) < 0.3 * size
