"""`sepo train` from the command line: merging and uploading."""

import json


def test_merged_adapters_are_pushed(sepo, pipeline, tiny_model, hub_double, tmp_path):
    with hub_double.HubDouble() as hub:
        done = sepo(
            *("train", pipeline["select"][0], "--policy", tiny_model, "--lora-r", "2", "--merge-lora"),
            *("--push", "tester/merged", "--out", tmp_path / "policy"),
            HF_ENDPOINT=hub.url,
            HF_TOKEN=hub_double.TOKEN,
            HF_HUB_DISABLE_XET="1",
            HF_HUB_OFFLINE="0",
        )
    assert done.returncode == 0, done.stderr
    assert hub_double.TOKEN not in done.stdout + done.stderr
    assert f"pushed to {hub.url}/tester/merged" in done.stderr
    [((_, name), repo)] = hub.repos.items()
    files = repo.commits[repo.head]
    assert (name, repo.private) == ("tester/merged", True)
    assert "model.safetensors" in files
    assert not any("adapter" in file for file in files)
    assert json.loads(files["sepo.json"])["options"]["merge_lora"] is True


def test_merging_no_adapters_is_refused(sepo, pipeline, tiny_model, tmp_path):
    done = sepo("train", pipeline["select"][0], "--policy", tiny_model, "--merge-lora", "--out", tmp_path / "policy")
    assert (done.returncode, "give --lora-r 16" in done.stderr) == (1, True)
    assert not (tmp_path / "policy").exists()
