"""Whatever happens to a scoring run, what was scored is kept, and the same command makes the same bytes of the rest."""

import json
import re
import shutil
import signal
from dataclasses import replace

import pytest
import torch

from sepo_data.errors import RefusedError
from sepo_data.readers.arrow_stream import map_stream
from sepo_train.engine import logps
from sepo_train.models.load import load_model
from sepo_train.scoring import pair_scorer
from sepo_train.scoring.options import ScoringOptions
from sepo_train.scoring.score import score

pytestmark = pytest.mark.slow

# A kill at a moment that is named by the file that is written: before, during or after it.
KILL = """
import os, signal
from contextlib import contextmanager
import sepo_data.storage.atomic, sepo_data.stages.folder_files, sepo_data.stages.writer

moment, name, log = {moment!r}, {name!r}, open({log!r}, "a", buffering=1)
write, drop = sepo_data.storage.atomic.atomic_write, sepo_data.stages.writer.drop_records

def reach(here, file):
    log.write(f"{{here}} {{file}}\\n")
    if (here, file) == (moment, name):
        os.kill(os.getpid(), signal.SIGKILL)

@contextmanager
def watched(path):
    reach("before", path.name)
    with write(path) as file:
        yield file
        file.flush()
        reach("during", path.name)
    reach("after", path.name)

def dropping(path):
    reach("before", ".sepo")
    drop(path)

sepo_data.storage.atomic.atomic_write = sepo_data.stages.writer.atomic_write = watched
sepo_data.stages.folder_files.atomic_write = watched
sepo_data.stages.writer.drop_records = dropping
"""


def data(shard):
    return f"data-{shard:05d}-of-00006.arrow"


BEGINNING = [
    ("during", "sepo.json", []),
    ("after", "sepo.json", []),
    ("during", "tokenizer.json", []),
    ("before", data(0), [0]),
    ("during", data(0), [0]),
    ("after", data(0), [0]),
    ("during", "00000.json", [0]),
    ("after", "00000.json", [0]),
    ("after", "00001.json", [1]),
    ("during", data(2), [2]),
    ("after", "00002.json", [2]),
    ("after", "00003.json", [3]),
    ("after", data(5), [4, 5]),
    ("after", "00005.json", [5]),
]
"""Kills one after the other in one directory: when, at which file, and the shards that are worked on until then."""
END = [
    ("before", "skipped.jsonl", []),
    ("after", "skipped.jsonl", []),
    ("during", "sepo.json", []),
    ("after", "sepo.json", []),
    ("during", "dataset_info.json", []),
    ("after", "dataset_info.json", []),
    ("during", "state.json", []),
    ("before", ".sepo", []),
]


def test_a_kill_at_any_moment_loses_at_most_the_shard_at_hand(sepo_server, score_six, six_shards, everything, tmp_path):
    out, log = tmp_path / "rewards", tmp_path / "log"
    safe = {}
    for moment, name, expected in [*BEGINNING, *END]:
        log.write_text("")
        code, answer, talk = sepo_server.run(
            *score_six, "--out", out, before=KILL.format(moment=moment, name=name, log=str(log))
        )
        assert (code, answer) == (-signal.SIGKILL, ""), (moment, name, talk)
        worked_on = re.findall(r"before data-(\d+)", log.read_text())
        assert list(map(int, worked_on)) == expected, (moment, name)
        recorded = {data(int(record.stem)) for record in (out / ".sepo").glob("*.json")}
        times = {file: (out / file).stat().st_mtime_ns for file in recorded}
        assert times.items() >= safe.items(), "a shard with a record is never written again"
        safe = times
    assert len(safe) == 6
    before = {file: file.stat().st_mtime_ns for file in out.glob("[!.]*.*")}
    code, answer, talk = sepo_server.run(*score_six, "--out", out)
    assert (code, answer) == (0, f"{out}\n")
    assert "is complete (6 of 6 shards); nothing to do" in talk
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert everything(out) == everything(six_shards), "what only an incomplete directory needs is gone, too"


@pytest.mark.parametrize("moment", [("during", data(3), 3), ("during", "state.json", 6)])
def test_after_one_kill_the_same_command_does_the_rest(
    sepo_server, score_six, six_shards, everything, *, tmp_path, moment
):
    *where, done = moment
    kill = KILL.format(moment=where[0], name=where[1], log=str(tmp_path / "log"))
    sepo_server.run(*score_six, "--out", tmp_path / "rewards", before=kill)
    code, _, talk = sepo_server.run(*score_six, "--out", tmp_path / "rewards")
    assert code == 0
    assert f"resuming: {done} of 6 shards done" in talk
    assert [int(shard) for shard in re.findall(r"shard (\d)", talk)] == list(range(done, 6))
    assert everything(tmp_path / "rewards") == everything(six_shards)


def rows(folder):
    return [entry for file in sorted(folder.glob("*.arrow")) for entry in map_stream(file).to_pylist()]


def test_out_of_memory_halves_the_batches_of_this_shard_and_of_all_that_follow(
    new_progress, six_shards, twelve_pairs, tiny_models, tmp_path, *, monkeypatch
):
    sizes, armed = [], []
    real, choose = logps.token_logps, pair_scorer.choose_layout_policy

    def chosen(*arguments, **options):
        engine = choose(*arguments, **options)
        armed.append(True)
        return engine

    def scarce(model, layout, before=None):
        if armed:
            sizes.append(layout.input_ids.numel())
            if len(sizes) == 3:
                raise torch.OutOfMemoryError("CUDA out of memory")
        return real(model, layout, before)

    monkeypatch.setattr("sepo_train.scoring.pair_scorer.choose_layout_policy", chosen)
    monkeypatch.setattr(logps, "token_logps", scarce)
    monkeypatch.setattr(pair_scorer, "recheck_longest", lambda *_given, **_more: 0)  # its passes are others
    told, models = new_progress(), {role: str(folder) for role, folder in tiny_models.items()}
    score(str(twelve_pairs), tmp_path / "rewards", **models, options=ScoringOptions(shard_rows=2), progress=told)
    half = sizes[2] // 2
    assert max(sizes[:2]) > half
    assert max(sizes[3:]) <= half
    assert [note for note in told if "memory" in note] == [f"out of memory: {half} tokens a batch from now on"]
    for ours, undisturbed in zip(rows(tmp_path / "rewards"), rows(six_shards), strict=True):
        assert ours["pair_id"] == undisturbed["pair_id"]
        for side in ("chosen", "rejected"):
            for kind in ("oracle_logps", "ref_logps", "rewards"):
                assert ours[f"{side}_{kind}"] == pytest.approx(undisturbed[f"{side}_{kind}"], abs=1e-5)


def test_more_rows_set_aside_than_allowed_is_told_before_scoring_and_of_a_complete_dataset_with_all_kept(
    sepo_server, score_six, six_shards, everything, tmp_path
):
    command = [part for part in score_six if not part.startswith("--max-skipped")]
    out = tmp_path / "rewards"
    code, answer, talk = sepo_server.run(*command, "--out", out)
    assert (code, answer) == (1, "")
    assert "Error: 1 of 12 rows were skipped, --max-skipped allows 0" in talk
    assert "nothing was scored (1 null); accept it with --max-skipped 1" in talk
    assert not out.exists()
    assert sepo_server.run(*score_six, "--out", out)[0] == 0
    assert everything(out) == everything(six_shards)
    code, answer, talk = sepo_server.run(*command, "--out", out)
    assert (code, answer) == (1, "")
    assert "11 pairs scored, 1 rows skipped: 1 null" in talk
    assert "Error: 1 of 12 rows were skipped, --max-skipped allows 0" in talk
    assert f"{out} is complete, and {out}/skipped.jsonl lists the reasons; accept it with --max-skipped 1" in talk
    for limit, accepted in (("8%", 1), ("8.34%", 0), ("20%", 0), ("0", 1), ("1", 0), ("100%", 0)):
        code, answer, talk = sepo_server.run(*command, "--out", out, "--max-skipped", limit)
        assert (code, answer) == (accepted, "" if accepted else f"{out}\n"), limit
        assert "is complete (6 of 6 shards); nothing to do" in talk
    assert everything(out) == everything(six_shards)


@pytest.mark.parametrize("limit", ["-1", "some", "101%", "1e3"])
def test_a_limit_that_is_none(sepo_server, score_six, tmp_path, limit):
    code, answer, talk = sepo_server.run(*score_six, "--out", tmp_path / "rewards", f"--max-skipped={limit}")
    assert (code, answer) == (2, "")
    assert "--max-skipped" in talk
    assert not (tmp_path / "rewards").exists()


def change_weights(folder):
    model = load_model(str(folder), dtype="float32")
    model.model.norm.weight.data += 1e-3
    model.save_pretrained(folder)


@pytest.mark.parametrize(
    ("changed", "keys"),
    [
        ("weights", ["models.oracle.weights"]),
        ("template", ["tokenizer.chat_template"]),
        ("dtype", ["options.dtype"]),
        ("data", ["input.fingerprint"]),
        ("longer", ["input.fingerprint", "input.rows"]),
        ("batches", ["options.batch_tokens", "options.shard_rows"]),
    ],
)
def test_another_plan_under_the_same_names(six_shards, twelve_pairs, tiny_models, tmp_path, *, changed, keys):
    dataset, out = shutil.copy(twelve_pairs, tmp_path), shutil.copytree(six_shards, tmp_path / "rewards")
    models = {role: str(shutil.copytree(folder, tmp_path / role)) for role, folder in tiny_models.items()}
    options = ScoringOptions(shard_rows=2)
    before = {file: file.read_bytes() for file in out.rglob("*") if file.is_file()}
    assert score(dataset, out, **models, options=options).complete, "nothing has changed yet"
    lines = twelve_pairs.read_text(encoding="utf-8")
    if changed == "weights":
        change_weights(tmp_path / "oracle")
    elif changed == "template":
        (tmp_path / "other.jinja").write_text("{{ messages[0].content }}")
        options = replace(options, chat_template=tmp_path / "other.jinja")
    elif changed == "dtype":
        options = replace(options, dtype="bfloat16")
    elif changed == "data":
        (tmp_path / twelve_pairs.name).write_text(lines.replace("juice", "cider"), encoding="utf-8")
    elif changed == "longer":
        (tmp_path / twelve_pairs.name).write_text(lines + lines.splitlines()[0] + "\n", encoding="utf-8")
    else:
        options = replace(options, batch_tokens=64, shard_rows=3)
    with pytest.raises(RefusedError) as refused:
        score(dataset, out, **models, options=options)
    assert refused.value.exit_code == 3
    assert re.findall(r"^  ([\w.]+): ", str(refused.value), flags=re.MULTILINE) == keys
    assert {file: file.read_bytes() for file in out.rglob("*") if file.is_file()} == before


def ranked(tmp_path, poison=None):
    """Four answers to one prompt, in the order of their quality, as six pairs; another prompt's pair follows."""
    answers = [" Excellent tea, take it.", " Good water.", " So-so soup, warm.", " Bad milk"]
    entries = [
        {"prompt": "What to drink?", "chosen": better, "rejected": worse}
        for place, better in enumerate(answers)
        for worse in answers[place + 1 :]
    ]
    entries.append({"prompt": "And to eat?", "chosen": " Bread.", "rejected": " Nothing."})
    file = tmp_path / "ranked.jsonl"
    file.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    return str(file), answers


def test_each_answer_of_a_ranked_prompt_is_scored_once(tiny_models, tmp_path, monkeypatch):
    dataset, answers = ranked(tmp_path)
    models = {role: str(folder) for role, folder in tiny_models.items()}
    fed, targets, armed = [], [], []
    real, choose = logps.token_logps, pair_scorer.choose_layout_policy

    def counted(model, layout, before=None):
        if armed:
            fed.append(int((layout.segments >= 0).sum()))
            targets.append(len(layout.targets))
        return real(model, layout, before)

    with monkeypatch.context() as patch:
        patch.setattr(logps, "token_logps", counted)
        patch.setattr(pair_scorer, "recheck_longest", lambda *_given, **_more: 0)
        patch.setattr(
            "sepo_train.scoring.pair_scorer.choose_layout_policy",
            lambda *given, **more: (choose(*given, **more), armed.append(1))[0],
        )
        score(dataset, tmp_path / "together", **models)
    found = rows(tmp_path / "together")
    lengths = {entry[side]: entry[f"{side}_tokens"] for entry in found[:6] for side in ("chosen", "rejected")}
    assert set(lengths) == set(answers)
    last = found[6]
    wanted = sum(lengths.values()) + last["chosen_tokens"] + last["rejected_tokens"]
    # The last token of a response is predicted but not fed.
    assert sum(targets) == 2 * wanted
    assert sum(fed) == 2 * (found[0]["prompt_tokens"] + last["prompt_tokens"] + wanted - 6)

    score(dataset, tmp_path / "apart", **models, options=ScoringOptions(shard_rows=1))
    for together, apart in zip(found, rows(tmp_path / "apart"), strict=True):
        assert together["source_row"] == apart["source_row"]
        for side in ("chosen", "rejected"):
            assert together[f"{side}_rewards"] == pytest.approx(apart[f"{side}_rewards"], abs=1e-5)


def test_an_answer_that_gives_nan_takes_no_pair_of_the_others_along(tiny_models, tmp_path):
    dataset, answers = ranked(tmp_path)
    models = {role: str(folder) for role, folder in tiny_models.items()}
    whole = score(dataset, tmp_path / "whole", **models)
    kept = {entry["source_row"]: entry for entry in rows(tmp_path / "whole")}
    ids = {entry[side]: set(entry[f"{side}_ids"]) for entry in kept.values() for side in ("chosen", "rejected")}
    prompts = [set(entry["prompt_ids"]) for entry in kept.values()]
    bad = answers[2]
    others = set().union(*prompts, *(used for answer, used in ids.items() if answer != bad))
    model = load_model(models["oracle"], dtype="float32")
    model.model.embed_tokens.weight.data[min(ids[bad] - others)] = float("nan")
    shutil.copytree(models["oracle"], tmp_path / "oracle")
    model.save_pretrained(tmp_path / "oracle")

    manifest = score(dataset, tmp_path / "rewards", oracle=str(tmp_path / "oracle"), ref=models["ref"])
    lines = [json.loads(line) for line in (tmp_path / "rewards" / "skipped.jsonl").read_text().splitlines()]
    assert [line["row"] for line in lines] == [1, 3, 5], "the three pairs with the third answer"
    assert {line["reason"] for line in lines} == {"non_finite"}
    assert manifest.rows == whole.rows - 3
    for entry in rows(tmp_path / "rewards"):
        assert entry["chosen_rewards"] == pytest.approx(kept[entry["source_row"]]["chosen_rewards"], abs=1e-5)
        assert entry["rejected_rewards"] == pytest.approx(kept[entry["source_row"]]["rejected_rewards"], abs=1e-5)
