"""Repair of selection datasets by the same call of `select`, one or several at once."""

import shutil

import pytest

from sepo_data.errors import SepoError
from sepo_data.selection import select as module
from sepo_data.selection.parse import parse_rule, parse_weights
from sepo_data.selection.select import select_many
from sepo_data.selection.selection import Selection
from tests.fixtures.damage import OF_FILES, OF_SHARDS

PAIRS = [([3.0, 1.0, 4.0, 1.0], [0.0, -2.0]), ([1.0], [1.0, 1.0, 1.0]), ([0.5, 0.25], [2.0])]
SELECTIONS = {
    "top": Selection(parse_rule("top(50%)")),
    "budget": Selection(parse_rule("budget(60%)"), weights=parse_weights("softmax")),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, rewards_of, write_rewards):
    """A folder with rewards in three shards, and two selections of them."""
    folder = tmp_path_factory.mktemp("select")
    write_rewards(folder / "rewards", [rewards_of([pair] * 2, first=2 * number) for number, pair in enumerate(PAIRS)])
    select_many(folder / "rewards", {folder / name: selection for name, selection in SELECTIONS.items()})
    return folder


@pytest.fixture
def computed(monkeypatch):
    """The shards that are computed from now on, and for how many selections."""
    found = []
    write = module._write_shard

    def counted(index, shard, selections, classes):
        found.append((index, len(selections)))
        return write(index, shard, selections, classes)

    monkeypatch.setattr(module, "_write_shard", counted)
    return found


def bytes_of(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@pytest.mark.parametrize("grid", [False, True])
@pytest.mark.parametrize("name", [*OF_SHARDS, *OF_FILES])
def test_only_what_was_lost_is_made_again(whole, computed, tmp_path, new_progress, *, name, grid):
    harm, lost = OF_SHARDS.get(name) or (OF_FILES[name], [])
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    harm(tmp_path / "budget")
    outs = {tmp_path / each: SELECTIONS[each] for each in (SELECTIONS if grid else ("budget",))}
    told, second = new_progress(), new_progress()
    manifests = select_many(tmp_path / "rewards", outs, progress=told)
    assert computed == [(index, 1) for index in ([0, 1, 2] if lost is None else lost)]
    assert bytes_of(tmp_path) == bytes_of(whole)
    assert next(note for note in told if str(tmp_path / "budget") in note).startswith(
        (f"repairing {tmp_path / 'budget'}: ", f"{tmp_path / 'budget'}: made again: tokenizer/tokenizer.json")
    )
    assert select_many(tmp_path / "rewards", outs, progress=second) == manifests
    assert second == [f"{out} is complete; nothing to do" for out in outs]


def test_both_of_a_grid(whole, computed, tmp_path):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    OF_SHARDS["a lost shard"][0](tmp_path / "budget")
    OF_SHARDS["two lost shards"][0](tmp_path / "top")
    select_many(tmp_path / "rewards", {tmp_path / name: selection for name, selection in SELECTIONS.items()})
    assert computed == [(0, 1), (1, 1), (2, 1)]
    assert bytes_of(tmp_path) == bytes_of(whole)


@pytest.mark.parametrize("content", [None, b"", b'{"version": "1.0", '])
def test_a_damaged_tokenizer_of_the_rewards_does_not_spread(whole, tmp_path, content):
    shutil.copytree(whole, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "rewards" / "tokenizer" / "tokenizer.json"
    file.unlink() if content is None else file.write_bytes(content)
    with pytest.raises(SepoError, match="tokenizer") as caught:
        select_many(tmp_path / "rewards", {tmp_path / "top": SELECTIONS["top"]})
    assert "`sepo score`" in caught.value.hint
    assert bytes_of(tmp_path / "top") == bytes_of(whole / "top")
