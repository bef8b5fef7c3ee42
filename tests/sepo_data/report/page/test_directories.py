"""Cards of directories: hostile names are text, and paths of a machine stay on it."""

import pytest

from sepo_data.report.page.directories import directory_html
from sepo_data.report.source import Source
from sepo_data.schemas.manifest import InputRecord, Manifest, ModelRecord, ShardRecord, TokenizerRecord
from sepo_data.schemas.stages import Stage

HOSTILE = "</dd><script>alert(1)</script>\u202e\"'"


def card(tmp_path, *, name="rewards", made_from="data.jsonl", complete=True, **fields) -> str:
    shard = ShardRecord(
        file="x",
        rows=1234,
        bytes=1,
        sha256="",
        tokens={"chosen": 5000, "other": 1, "prompt": 9},
        skipped={"too_long": 7, "<b>": 1},
    )
    manifest = Manifest(
        stage=Stage.REWARDS,
        input=InputRecord(name=made_from, fingerprint="f", rows=2000, split="<train>"),
        options={"beta": 0.1},
        shards=[shard],
        **fields,
    )
    return directory_html(Source(name, tmp_path, manifest, [], complete))


def test_a_card_says_what_made_the_directory(tmp_path):
    models = {
        "oracle": ModelRecord(name="/home/me/oracle", weights="w", parameters=135_000_000),
        "ref": ModelRecord(name="org/model", revision="main", weights="w", parameters=1),
    }
    tokenizer = TokenizerRecord(name="org/model", tokenizer="t", chat_template=None, vocabulary=49152)
    made = card(tmp_path, models=models, tokenizer=tokenizer)
    for fact in (
        "<dt>oracle</dt><dd>oracle, 135,000,000 parameters</dd>",
        "<dt>reference model</dt><dd>org/model, 1 parameters</dd>",
        "<dt>tokenizer</dt><dd>org/model, 49,152 tokens</dd>",
        "<dt>beta</dt><dd>0.1</dd>",
        "<dt>pairs</dt><dd>1,234</dd>",
        "<dt>tokens</dt><dd>prompt 9, chosen 5,000, other 1</dd>",
        "<dt>skipped</dt><dd>&lt;b&gt; 1, too long 7</dd>",
        "<dt>made from</dt><dd>data.jsonl, split &lt;train&gt;</dd>",
    ):
        assert fact in made
    assert "warning" not in made


def test_hostile_names_are_text(tmp_path):
    models = {HOSTILE: ModelRecord(name=HOSTILE, weights="w", parameters=1)}
    made = card(tmp_path, name=HOSTILE, made_from=HOSTILE, models=models)
    assert "<script" not in made
    assert "\u202e" not in made
    assert "\\u202e" in made


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("/home/me/secret/data.jsonl", "data.jsonl"),
        ("../data/", "data"),
        ("C:\\users\\me\\data.csv", "data.csv"),
        ("owner/name", "owner/name"),
        ("https://me:password@example.org/a/b.csv?key=1", "https://example.org/a/b.csv"),
    ],
)
def test_folders_and_passwords_stay_here(tmp_path, name, shown):
    assert f"<dt>made from</dt><dd>{shown}, split" in card(tmp_path, made_from=name)


def test_an_unfinished_directory_says_so_and_how_to_go_on(tmp_path):
    made = card(tmp_path, complete=False)
    assert "Unfinished: 1,234 pairs so far. The same <code>sepo score</code> resumes it." in made
