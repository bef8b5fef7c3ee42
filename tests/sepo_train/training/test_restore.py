"""Repair of a trained model's directory: small files are written again, and lost weights are named."""

import shutil

import pytest

from sepo_data.errors import SepoError
from sepo_data.preferences.reading import Reading
from sepo_data.stages.seen_pairs import SEEN, read_oracle_record
from sepo_train.models.tokenizers import load_tokenizer
from sepo_train.training.oracle import train_oracle
from sepo_train.training.settings import Training

OF_KIND = {
    "weights": ("model.safetensors", "adapter_model.safetensors"),
    "config": ("config.json", "adapter_config.json"),
}


@pytest.fixture(scope="module", params=[0, 4], ids=["full", "lora"])
def trained(request, tiny_model, examples, tmp_path_factory):
    """An oracle, and the call that made it."""
    training = Training(lr=1e-3, batch_size=8, lora_r=request.param)

    def call(out, **more):
        return train_oracle(Reading(str(examples), limit=8), out, ref=str(tiny_model), training=training, **more)

    out = tmp_path_factory.mktemp("trained") / "oracle"
    call(out)
    return out, call


def bytes_of(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_a_complete_model_has_nothing_to_do(trained, new_progress, tmp_path):
    out, call = trained
    before, told = bytes_of(out), new_progress()
    call(out, progress=told)
    assert told[-1] == f"{out} is complete; nothing to do"
    assert bytes_of(out) == before


@pytest.mark.parametrize(
    ("names", "harm"),
    [
        ([SEEN, "skipped.jsonl", "tokenizer.json", "tokenizer_config.json"], "lost"),
        (["tokenizer.json"], "cut"),
        ([SEEN], "cut"),
    ],
)
def test_small_files_are_written_again(trained, new_progress, tmp_path, *, monkeypatch, names, harm):
    out, call = trained
    damaged = shutil.copytree(out, tmp_path / "oracle")
    for name in names:
        content = (damaged / name).read_bytes()
        (damaged / name).unlink()
        if harm == "cut":
            (damaged / name).write_bytes(content[: len(content) // 2])
    monkeypatch.setattr("sepo_train.training.oracle.trainable_model", None)
    told = new_progress()
    call(damaged, progress=told)
    assert bytes_of(damaged) == bytes_of(out)
    assert told[-1].startswith(f"{damaged}: made again: ")
    assert read_oracle_record(str(damaged)).pair_ids
    assert load_tokenizer(str(damaged)).get_vocab() == load_tokenizer(str(out)).get_vocab()


@pytest.mark.parametrize("harm", ["lost", "cut"])
@pytest.mark.parametrize("kind", ["weights", "config"])
def test_what_only_training_makes_again_is_named(trained, tmp_path, *, kind, harm):
    out, call = trained
    damaged = shutil.copytree(out, tmp_path / "oracle")
    [file] = [file for file in damaged.iterdir() if file.name in OF_KIND[kind]]
    if harm == "lost":
        file.unlink()
    else:
        content = file.read_bytes()
        file.write_bytes(content[: len(content) // 2])
    before = bytes_of(damaged)
    with pytest.raises(SepoError, match=f"{damaged} was complete and is damaged: ") as caught:
        call(damaged)
    assert caught.value.hint == "restore the file, or train again with --overwrite"
    assert bytes_of(damaged) == before


def test_what_a_kill_at_the_very_end_left_is_removed(trained, tmp_path):
    out, call = trained
    left = shutil.copytree(out, tmp_path / "oracle")
    for name in (
        ".sepo/1-0123abcd.worker",
        "checkpoints/checkpoint-1/model.safetensors",
        "sepo.json.0123abcd.sepo-tmp",
    ):
        (left / name).parent.mkdir(parents=True, exist_ok=True)
        (left / name).touch()
    call(left)
    assert bytes_of(left) == bytes_of(out)
    assert {file.name for file in left.iterdir()} == {file.name for file in out.iterdir()}
