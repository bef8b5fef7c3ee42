"""A policy on the Hub: a double of it on this machine."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from sepo_data.schemas.manifest import InputRecord, Manifest, ModelRecord
from sepo_data.schemas.stages import Stage
from sepo_data.storage.atomic import write_text
from sepo_train.publishing.model_card import card_of, write_model_card
from sepo_train.publishing.push import published_files

pytestmark = pytest.mark.slow

PUSH = """
import json, os, sys
from pathlib import Path

from huggingface_hub import HfApi, constants
from sepo_data.errors import SepoError
from sepo_data.publishing.upload import check_upload
from sepo_train.publishing.push import push

folder = Path(sys.argv[1])
told = {}

def tell(name, call, *arguments, **options):
    try:
        told[name] = call(*arguments, **options)
    except SepoError as error:
        told[name] = [type(error).__name__, error.exit_code, str(error), error.hint, error.__suppress_context__]

tell("whole", push, folder / "policy", "tester/policy")
tell("again", push, folder / "policy", "policy")
tell("adapter", push, folder / "adapter", "tester/policy")
tell("incomplete", push, folder / "incomplete", "tester/incomplete")
tell("name", push, folder / "policy", "a//b")
api = HfApi()
api.create_repo("tester/public", private=False)
tell("public", push, folder / "policy", "tester/public")
tell("publicly", push, folder / "policy", "tester/public", private=False)
api.create_repo("tester/other", private=True)
api.upload_file(path_or_fileobj=b"{}", path_in_repo="config.json", repo_id="tester/other")
tell("other", push, folder / "policy", "tester/other")
tell("elsewhere", push, folder / "policy", "somebody/policy")
tell("check", check_upload, "tester/policy")
token = os.environ.pop("HF_TOKEN")
tell("no token", check_upload, "tester/policy")
os.environ["HF_TOKEN"] = "hf_wrong"
tell("wrong token", check_upload, "tester/policy")
os.environ["HF_TOKEN"] = "hf_read"
tell("reading token", check_upload, "tester/policy")
os.environ["HF_TOKEN"] = token
constants.HF_HUB_OFFLINE = True
tell("offline", check_upload, "tester/policy")
constants.HF_HUB_OFFLINE = False
constants.ENDPOINT = "http://127.0.0.1:9"
tell("no network", check_upload, "tester/policy")
print(json.dumps(told))
"""


def policy_in(folder, model, *, complete=True, parent=None):
    """A directory as `sepo train` leaves it; one that is not `complete` has the manifest of a run in progress."""
    shutil.copytree(model, folder)
    manifest = Manifest(
        stage=Stage.POLICY,
        input=InputRecord(name=str(folder.parent / "selection"), fingerprint="f", rows=3),
        models={"policy": ModelRecord(name=str(model), weights="w" * 64, parameters=7)},
        options={"loss": "sepo"},
        parent=parent,
        complete=complete,
        results={"pairs": 3},
    )
    write_text(folder / "metrics.jsonl", '{"step": 1, "loss": 0.5}\n')
    write_text(folder / "curve.png", "picture")
    write_model_card(folder, manifest)
    write_text(folder / "sepo.json", manifest.to_json())
    return manifest


@pytest.fixture(scope="module")
def folder(tiny_model, tmp_path_factory):
    """A complete policy among things that are nobody's business, an adapter, and an incomplete policy."""
    folder = tmp_path_factory.mktemp("publish")
    policy_in(folder / "policy", tiny_model)
    for name in (
        "checkpoints/checkpoint-5/model.safetensors",
        "x.sepo-tmp",
        "pytorch_model.bin",
        ".env",
        "skipped.jsonl",
    ):
        (folder / "policy" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "policy" / name).write_text("x", encoding="utf-8")
    policy_in(folder / "adapter", tiny_model)
    (folder / "adapter" / "model.safetensors").rename(folder / "adapter" / "adapter_model.safetensors")
    (folder / "adapter" / "README.md").write_text(f"peft was here: {tiny_model}", encoding="utf-8")
    settings = {"base_model_name_or_path": str(tiny_model), "r": 4}
    (folder / "adapter" / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    policy_in(folder / "incomplete", tiny_model, complete=False)
    return folder


def refuse(handler):
    """What the Hub answers to somebody who may not write."""
    return handler.send(403, {"error": "You don't have the rights to create a model under the namespace somebody"})


@pytest.fixture(scope="module")
def pushed(folder, hub_double, tmp_path_factory):
    """What `PUSH` told, and the double after it."""
    with hub_double.HubDouble() as hub:
        handler = hub.server.RequestHandlerClass
        create, whoami = handler.create, handler.whoami
        handler.create = lambda self: refuse(self) if b'"somebody"' in self.body else create(self)
        reading = {"name": "tester", "auth": {"accessToken": {"role": "read"}}}
        handler.whoami = lambda self: (
            self.send(200, reading) if self.headers["authorization"] == "Bearer hf_read" else whoami(self)
        )
        environment = os.environ | {
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": hub_double.TOKEN,
            "HF_HOME": str(tmp_path_factory.mktemp("hf")),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        environment.pop("HF_HUB_OFFLINE", None)
        done = subprocess.run(
            [sys.executable, "-c", PUSH, folder], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        for token in (hub_double.TOKEN, "hf_wrong", "hf_read"):
            assert token not in done.stdout + done.stderr
        yield json.loads(done.stdout), hub


WHOLE = {
    *("model.safetensors", "config.json", "generation_config.json"),
    *("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"),
    *("README.md", "sepo.json", "metrics.jsonl", "curve.png"),
}


def test_what_is_uploaded(pushed, folder):
    told, hub = pushed
    assert told["whole"] == f"{hub.url}/tester/policy"
    assert told["again"] == told["whole"], "a name alone is the user's"
    repo = hub.repos["models", "tester/policy"]
    assert repo.private
    first = list(repo.commits.values())[1]
    assert set(first) == WHOLE
    for name in WHOLE - {"README.md", "sepo.json"}:
        assert first[name] == (folder / "policy" / name).read_bytes()


def test_nothing_uploaded_names_a_folder_or_the_token(pushed, folder, hub_double, tiny_model):
    _, hub = pushed
    for repo in hub.repos.values():
        for files in repo.commits.values():
            for data in files.values():
                assert str(folder).encode() not in data
                assert str(tiny_model.parent).encode() not in data
                assert hub_double.TOKEN.encode() not in data
    published = list(hub.repos["models", "tester/policy"].commits.values())[1]
    manifest = Manifest.from_json(published["sepo.json"].decode())
    assert manifest.fingerprint == Manifest.from_json((folder / "policy" / "sepo.json").read_text("utf-8")).fingerprint
    assert [manifest.input.name, manifest.models["policy"].name] == ["selection", tiny_model.name]
    assert b'from_pretrained("tester/policy")' in published["README.md"]


def test_an_adapter_takes_the_place_of_a_whole_model(pushed, tiny_model):
    _, hub = pushed
    repo = hub.repos["models", "tester/policy"]
    files = repo.commits[repo.head]
    assert set(files) == (WHOLE - {"model.safetensors"}) | {"adapter_model.safetensors", "adapter_config.json"}
    assert json.loads(files["adapter_config.json"]) == {"base_model_name_or_path": tiny_model.name, "r": 4}
    assert b"PeftModel" in files["README.md"], "the card of peft's is not the one"


CODES = {"SepoError": 1, "RefusedError": 3, "HubError": 4}


@pytest.mark.parametrize(
    ("name", "kind", "message", "hint"),
    [
        ("incomplete", "SepoError", "is incomplete", "run the same `sepo train` again"),
        ("name", "SepoError", "'a//b' is no name of a repository", "USER/NAME"),
        ("public", "RefusedError", "tester/public is on the Hub already, and public", "publicly"),
        ("other", "RefusedError", "holds something that sepo did not write", "another name"),
        ("elsewhere", "HubError", "may not write to somebody/policy: You don't have the rights", "another name"),
        ("no token", "HubError", "there is no token", "hf auth login"),
        ("wrong token", "HubError", "rejected the token", "HF_TOKEN"),
        ("reading token", "HubError", "the token of tester may only read", "may write"),
        ("offline", "HubError", "HF_HUB_OFFLINE", "unset"),
        ("no network", "HubError", "the Hub cannot be reached", "connection"),
    ],
)
def test_refusals(pushed, name, kind, message, hint):
    found = pushed[0][name]
    assert found[:2] == [kind, CODES[kind]]
    assert message in found[2]
    assert hint in found[3]


def test_no_cause_that_could_quote_the_token(pushed):
    told, _ = pushed
    assert all(told[name][4] for name in ("elsewhere", "no token", "wrong token", "offline", "no network"))


def test_nothing_is_made_where_it_is_refused(pushed):
    told, hub = pushed
    assert {repo for _, repo in hub.repos} == {"tester/policy", "tester/public", "tester/other"}
    assert told["check"] is None
    assert told["publicly"] == f"{hub.url}/tester/public"
    assert not hub.repos["models", "tester/public"].private


def test_a_card_that_somebody_wrote_is_left_alone(folder, tiny_model, tmp_path):
    manifest = policy_in(tmp_path / "policy", tiny_model)
    card = card_of(tmp_path / "policy", manifest, name="policy").replace("# policy", "# My policy")
    (tmp_path / "policy" / "README.md").write_text(card, encoding="utf-8")
    assert published_files(tmp_path / "policy", manifest, "me/policy")["README.md"] == card.encode()
    (tmp_path / "policy" / "README.md").unlink()
    again = published_files(tmp_path / "policy", manifest, "me/policy")["README.md"]
    assert again == card_of(tmp_path / "policy", manifest, name="me/policy").encode()


def test_the_way_to_a_base_model_is_not_published(tiny_model, tmp_path):
    manifest = policy_in(tmp_path / "policy", tiny_model)
    write_text(tmp_path / "policy" / "adapter_config.json", '{"base_model_name_or_path": "../../home/me/base"}')
    files = published_files(tmp_path / "policy", manifest, "tester/policy")
    assert json.loads(files["adapter_config.json"]) == {"base_model_name_or_path": "base"}


def test_several_chat_templates_go_with_the_tokenizer(tiny_model, tmp_path):
    manifest = policy_in(tmp_path / "policy", tiny_model)
    write_text_in(tmp_path / "policy" / "additional_chat_templates" / "tool_use.jinja", "{{ messages }}")
    files = published_files(tmp_path / "policy", manifest, "me/policy")
    assert files["additional_chat_templates/tool_use.jinja"].read_text(encoding="utf-8") == "{{ messages }}"
    assert set(files) == WHOLE | {"additional_chat_templates/tool_use.jinja"}


def write_text_in(file, text):
    file.parent.mkdir()
    file.write_text(text, encoding="utf-8")
