"""Pairs that an evaluation measures on."""

import json
import shutil

import pyarrow as pa
import pytest

from sepo_data import scan
from sepo_data.console.progress import SILENT
from sepo_data.errors import SepoError
from sepo_data.preferences.reading import Reading
from sepo_data.schemas.stages import Stage
from sepo_data.selection.rules.top import top
from sepo_data.selection.select import select
from sepo_data.selection.selection import Selection
from sepo_data.stages.directory import read_stage
from sepo_data.stages.seen_pairs import SEEN
from sepo_data.stages.shards import read_shards
from sepo_train.evaluation.holdout_pairs import read_holdout_pairs
from sepo_train.scoring.score import score
from sepo_train.training.oracle import train_oracle
from sepo_train.training.policy import train
from sepo_train.training.selected_pairs import SelectedPairs
from sepo_train.training.settings import Training

pytestmark = pytest.mark.slow


def held_out(reading, *models, **options):
    given = {"max_length": None, "truncate": None, "chat_template": None} | options
    reading = reading if isinstance(reading, Reading) else Reading(str(reading))
    return read_holdout_pairs(reading, models, progress=SILENT, **given)


@pytest.fixture(scope="module")
def models(tiny_models):
    return {role: str(folder) for role, folder in tiny_models.items()}


@pytest.fixture(scope="module")
def scored(tmp_path_factory, examples, models):
    """16 pairs, some of which are held out; and the selection of them."""
    folder = tmp_path_factory.mktemp("held out")
    score(Reading(str(examples), limit=16, holdout=5), folder / "rewards", **models)
    select(folder / "rewards", folder / "selection")
    return folder


def ids(tree):
    return list(tree.prompt_ids), *map(list, tree.responses)


def test_all_pairs_of_a_dataset(examples, models):
    found = held_out(Reading(str(examples), limit=8), models["ref"])
    assert (len(found.trees), found.which, found.skipped) == (8, "all", {})
    assert found.name == str(examples)


def test_holdout_measures_on_what_training_leaves_out(examples, models, scored):
    found = held_out(Reading(str(examples), limit=16, holdout=5), models["ref"])
    assert len(found.trees) == 5
    assert "--holdout" in found.which
    for stage in ("rewards", "selection"):
        stored = held_out(scored / stage, models["ref"])
        assert sorted(map(ids, stored.trees)) == sorted(map(ids, found.trees))
        assert stored.which == "those whose column split says holdout"
    assert len(held_out(Reading(str(scored / "rewards"), limit=2), models["ref"]).trees) == 2


def test_rows_that_cannot_be_used_are_counted(twelve_pairs, models):
    assert held_out(twelve_pairs, models["ref"]).skipped == {"null": 1}
    found = held_out(twelve_pairs, models["ref"], max_length=40)
    assert found.skipped["too_long"] > 0
    assert len(found.trees) + sum(found.skipped.values()) == 12


def test_pairs_of_a_directory_that_are_too_long(scored, models):
    longest = max(
        len(tree.prompt_ids) + max(map(len, tree.responses))
        for tree in held_out(scored / "rewards", models["ref"]).trees
    )
    found = held_out(scored / "rewards", models["ref"], max_length=longest - 1)
    assert (len(found.trees), found.skipped) == (4, {"too_long": 1})


def test_what_the_oracle_has_seen_is_left_out(tmp_path, examples, models, hub_cache):
    reading = Reading(str(examples), limit=12)
    training = Training(lr=1e-3, batch_size=4, micro_batch_size=4)
    train_oracle(reading, tmp_path / "oracle", ref=models["ref"], fraction="50%", training=training)
    oracle = str(tmp_path / "oracle")
    found = held_out(reading, oracle, models["ref"])
    assert (len(found.trees), found.which) == (6, "those that the oracle has not seen")
    score(reading, tmp_path / "rewards", oracle=oracle, ref=models["ref"])
    stored = held_out(tmp_path / "rewards", oracle)
    assert list(map(ids, stored.trees)) == list(map(ids, found.trees))
    unseen = scan(tmp_path / "rewards").select("oracle_seen").collect()["oracle_seen"]
    assert (~unseen).sum() == 6
    on_hub = held_out(reading, hub_cache(tmp_path / "oracle", "user/oracle"))
    assert list(map(ids, on_hub.trees)) == list(map(ids, found.trees))
    lines = examples.read_text(encoding="utf-8").splitlines()
    seen = [json.loads(line)["source_row"] for line in (tmp_path / "oracle" / SEEN).read_text("utf-8").splitlines()]
    (tmp_path / "seen.jsonl").write_text("".join(lines[row] + "\n" for row in seen), encoding="utf-8")
    with pytest.raises(SepoError, match=r"no pair of .* is left to measure on"):
        held_out(tmp_path / "seen.jsonl", oracle)


def test_a_directory_takes_no_options_of_reading(scored, models):
    with pytest.raises(SepoError, match="--limit alone"):
        held_out(Reading(str(scored / "rewards"), holdout=3), models["ref"])


def test_another_vocabulary(scored, save_tiny, tmp_path):
    other = save_tiny(tmp_path / "other", vocabulary=300)
    with pytest.raises(SepoError, match="different vocabularies"):
        held_out(scored / "rewards", str(other))


def test_what_is_not_there(tmp_path, models):
    with pytest.raises(SepoError, match="no such file"):
        held_out(tmp_path / "missing.jsonl", models["ref"])


TRAINING = Training(lr=1e-3, batch_size=4, micro_batch_size=4)


@pytest.fixture(scope="module")
def family(tmp_path_factory, examples, models):
    """Two selections of the same rewards; of the first, policies of all pairs, of a part, of a few, and of a policy."""
    folder = tmp_path_factory.mktemp("family")
    score(Reading(str(examples), limit=16), folder / "rewards", **models)
    for name, share in (("selection", "30%"), ("sibling", "50%")):
        select(folder / "rewards", folder / name, Selection(top(share)))
    for name, options in {"whole": {}, "part": {"holdout": "30%"}, "few": {"limit": 5, "holdout": 2}}.items():
        train(folder / "selection", folder / name, policy=models["ref"], training=TRAINING, **options)
    train(folder / "sibling", folder / "child", policy=str(folder / "part"), training=TRAINING, limit=1)
    return folder


@pytest.fixture(params=["selection", "sibling", "rewards", "dataset"])
def relative(request, family, examples):
    """The data of the family tree: the selection itself, a sibling, the rewards, and the rows they were scored from."""
    return Reading(str(examples), limit=16) if request.param == "dataset" else Reading(str(family / request.param))


def test_what_the_policy_kept_out_is_measured_on(family):
    assert held_out(family / "selection", str(family / "whole")).which == "all, and the model was trained on them"
    found = held_out(family / "selection", str(family / "part"))
    assert found.which == "those that --holdout 30% kept out"
    manifest = json.loads((family / "part" / "sepo.json").read_text(encoding="utf-8"))
    assert (len(found.trees), found.trained_on) == (16 - manifest["results"]["pairs"], (0,))
    assert manifest["options"]["holdout"] == "30%"


def test_pairs_of_training_are_known_across_the_family_tree(family, relative):
    """By their ids: whatever directory they are in, and whichever part of it the policy was trained on."""
    whole = held_out(relative, str(family / "whole"))
    assert (len(whole.trees), whole.which) == (16, "all, and the model was trained on them")
    assert whole.trained_on == (16,)
    of_selection = held_out(family / "selection", str(family / "part"))
    part = held_out(relative, str(family / "part"))
    assert sorted(map(ids, part.trees)) == sorted(map(ids, of_selection.trees))
    assert 0 < len(part.trees) < 16
    assert part.trained_on == (0,)
    own = relative.dataset == str(family / "selection")
    assert part.which == f"those that {'--holdout 30% kept out' if own else 'the model was not trained on'}"
    few = held_out(relative, str(family / "few"))
    assert len(few.trees) == 16 - json.loads((family / "few" / "sepo.json").read_text("utf-8"))["results"]["pairs"]
    assert few.which == "those that the model was not trained on"


def test_a_policy_knows_the_pairs_of_the_policy_that_it_began_as(family, relative):
    part, child = (held_out(relative, str(family / name)) for name in ("part", "child"))
    assert len(child.trees) in {len(part.trees), len(part.trees) - 1}
    assert set(map(str, map(ids, child.trees))) <= set(map(str, map(ids, part.trees)))


def test_pairs_that_the_other_model_was_trained_on(family, models, relative):
    """They are left out as well, or else named: both models are compared on them."""
    whole, part = (str(family / name) for name in ("whole", "part"))
    found = held_out(relative, models["ref"], part)
    assert found.which == f"those that {part} was not trained on"
    assert found.trained_on == (0, 0)
    assert len(held_out(relative, models["ref"], models["oracle"]).trees) == 16
    found = held_out(relative, part, whole)
    assert found.which.endswith(f"and {whole} was trained on them")
    assert found.trained_on == (0, len(found.trees))
    found = held_out(relative, whole, part)
    assert found.trained_on == (len(found.trees), 0)


def test_a_policy_without_a_record(family, tmp_path):
    """Its pairs are those of its selection, if that is still there; else it is named as unknown."""
    policy = shutil.copytree(family / "part", tmp_path / "policy")
    (policy / SEEN).unlink()
    with_record, without = (held_out(family / "sibling", str(folder)) for folder in (family / "part", policy))
    assert (without.which, len(without.trees)) == (with_record.which, len(with_record.trees))
    manifest = json.loads((policy / "sepo.json").read_text(encoding="utf-8"))
    manifest["input"]["name"] = "gone"
    (policy / "sepo.json").write_text(json.dumps(manifest), encoding="utf-8")
    assert held_out(family / "selection", str(policy)).which == "those that --holdout 30% kept out", "this is the one"
    found = held_out(family / "sibling", str(policy))
    assert found.which == "all, but the model has no record of the pairs that it was trained on"
    assert (len(found.trees), found.trained_on) == (16, (None,))


@pytest.mark.parametrize(
    ("values", "held"),
    [
        (["train"] * 10 + ["holdout"] * 6, 6),
        (["Train "] * 10 + ["Holdout"] * 6, 6),
        (["train"] * 10 + ["validation"] * 2 + ["test"] * 4, 6),
        (["train"] * 16, 0),
        (["math"] * 8 + ["code"] * 8, 0),
    ],
    ids=str,
)
def test_train_and_evaluate_read_the_column_alike(values, held, with_split, models):
    """What training leaves out is what evaluation calls held out, and it measures on nothing else."""
    folder = with_split(values)
    selection = SelectedPairs.open(folder)
    trained, kept_out = selection.by_column()
    assert (len(trained), len(kept_out)) == (16 - held, held)
    found = held_out(folder, models["ref"])
    assert found.which == ("those whose column split says holdout" if held else "all")
    expected = kept_out if held else trained
    assert list(map(ids, found.trees)) == [ids(pair.tree) for pair in expected]


@pytest.mark.parametrize("other", [None, "both", "x"])
def test_a_column_that_leaves_a_side_open_is_refused_by_both(other, with_split, models):
    folder = with_split(["train"] * 9 + ["holdout"] * 6 + [other])
    for read in (lambda: SelectedPairs.open(folder).by_column(), lambda: held_out(folder, models["ref"])):
        with pytest.raises(SepoError, match=f"holds 1 {'null' if other is None else repr(other)} beside"):
            read()


def test_a_column_that_leaves_a_side_open_is_refused_before_anything_is_scored(tmp_path, examples, models):
    rows = [json.loads(line) for line in examples.read_text(encoding="utf-8").splitlines()[:4]]
    file = tmp_path / "pairs.jsonl"
    for values, good in ((["train", "test", "Train", "dev"], True), (["train", "test", None, "test"], False)):
        lines = (json.dumps(row | {"split": value}) + "\n" for row, value in zip(rows, values, strict=True))
        file.write_text("".join(lines), encoding="utf-8")
        reading = Reading(str(file), keep_columns=("split",))
        if good:
            score(reading, tmp_path / "rewards", **models, dry_run=True)
            continue
        with pytest.raises(SepoError, match="the column split of the input holds 1 null beside 'test', 'train'"):
            score(reading, tmp_path / "rewards", **models, dry_run=True)


@pytest.fixture
def with_split(family, tmp_path, write_rewards):
    """A selection of the same 16 pairs with a column `split` of these values."""

    def build(values):
        stored = pa.concat_tables(
            shard.table() for shard in read_shards(family / "rewards", read_stage(family / "rewards", Stage.REWARDS))
        )
        tokenizer = (family / "rewards" / "tokenizer" / "tokenizer.json").read_text(encoding="utf-8")
        table = stored.append_column("split", pa.array(values, pa.string()))
        write_rewards(tmp_path / "rewards", [table], tokenizer=tokenizer)
        select(tmp_path / "rewards", tmp_path / "selection")
        return tmp_path / "selection"

    return build
