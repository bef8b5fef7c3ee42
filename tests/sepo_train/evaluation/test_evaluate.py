"""The whole evaluation of tiny models, each number against the plain way to it."""

import json
import shutil
import weakref
from pathlib import Path

import pytest
import torch

from sepo_data.errors import RefusedError, SepoError
from sepo_data.preferences.reading import Reading
from sepo_train.engine.generate import Generation
from sepo_train.evaluation import model_outputs as measured
from sepo_train.evaluation.evaluate import evaluate
from sepo_train.evaluation.report import evaluation_lines
from sepo_train.models.load import load_model
from sepo_train.models.tokenized_input import open_tokenized

SHORT = Generation(max_new_tokens=5)
STORIES = Path(__file__).resolve().parents[3].parent / "shared" / "models" / "stories260k"


@pytest.fixture(scope="module")
def models(tiny_models):
    return {"model": str(tiny_models["oracle"]), "against": str(tiny_models["ref"])}


@pytest.fixture(scope="module")
def reading(examples):
    return Reading(str(examples), limit=6)


@pytest.fixture
def prompts(tmp_path):
    rows = [{"instruction": "Tea?"}, {"question_id": 5, "turns": ["Tea?", "Why?"]}, {"nothing": 1}]
    file = tmp_path / "prompts.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


@pytest.fixture
def judge(tmp_path):
    file = tmp_path / "judge.py"
    file.write_text(
        "def length(prompt, answer):\n    return len(answer)\n\ndef broken(prompt, answer):\n    return 1 / 0\n"
    )
    return file


@pytest.fixture(scope="module")
def pair_logps(models, reading, plain_tree):
    """Of each model, the log-probabilities of both responses of each pair, one sequence at a time."""
    pairs = open_tokenized(reading, models["model"]).sample()
    trees = [measured.Tree(item.prompt_ids, (item.chosen_ids, item.rejected_ids)) for item in pairs]
    found = {}
    for role, name in models.items():
        model = load_model(name, dtype="float32").double()
        with torch.no_grad():
            found[role] = [plain_tree(model, tree) for tree in trees]
    return found


def mean(values):
    values = list(values)
    return sum(map(float, values)) / len(values)


def test_the_numbers_on_pairs(models, reading, pair_logps):
    found = evaluate(**models, data=reading, kl_samples=4, generation=SHORT)
    assert (found["pairs"], found["data"]["which"], found["non_finite"]) == (6, "all", 0)
    for role, pairs in pair_logps.items():
        margins = [float(chosen.mean() - rejected.mean()) for chosen, rejected in pairs]
        numbers = found["preference"][role]
        assert numbers["margin"]["mean"] == pytest.approx(mean(margins), abs=1e-5)
        assert numbers["accuracy"]["mean"] == pytest.approx(mean(margin > 0 for margin in margins), abs=1e-6)
        assert numbers["rejected_logps"]["mean"] == pytest.approx(mean(r.mean() for _, r in pairs), abs=1e-5)
    ratios = [
        [ours - theirs for ours, theirs in zip(*pair, strict=True)]
        for pair in zip(pair_logps["model"], pair_logps["against"], strict=True)
    ]
    reward = found["implicit_reward"]
    assert reward["summed"]["margin"]["mean"] == pytest.approx(mean(c.sum() - r.sum() for c, r in ratios), abs=1e-4)
    assert reward["per_token"]["margin"]["mean"] == pytest.approx(
        mean(c.mean() - r.mean() for c, r in ratios), abs=1e-5
    )
    assert found["lengths"]["chosen"]["mean"] == pytest.approx(mean(len(c) for c, _ in ratios), abs=0.05)
    assert (found["kl"]["answers"], found["kl"]["tokens"]) == (4, 20)
    assert found["kl"]["per_token"]["mean"] > 0
    json.dumps(found, allow_nan=False)


def test_a_model_by_itself(models, reading):
    found = evaluate(models["model"], reading)
    assert "implicit_reward" not in found
    assert "kl" not in found
    assert list(found["preference"]) == ["model"]
    assert "accuracy" in "\n".join(evaluation_lines(found))


def test_a_model_against_itself(models, reading):
    found = evaluate(models["model"], reading, against=models["model"], kl_samples=3, generation=SHORT)
    assert found["implicit_reward"]["summed"]["margin"] == {"mean": 0.0, "se": 0.0}
    assert found["kl"]["per_answer"] == {"mean": 0.0, "se": 0.0}


def test_one_model_in_memory_at_a_time(models, reading, prompts, tmp_path, monkeypatch):
    loaded = []

    def counted(name, **options):
        alive = sum(model() is not None for _, model in loaded)
        model = load_model(name, **options)
        loaded.append((name, weakref.ref(model)))
        assert alive == 0
        return model

    monkeypatch.setattr(measured, "load_model", counted)
    evaluate(**models, data=reading, generate_from=prompts, out=tmp_path / "out", generation=SHORT)
    assert [name for name, _ in loaded] == list(models.values())


def test_answers_and_their_judge(models, reading, prompts, judge, tmp_path):
    out = tmp_path / "out"
    found = evaluate(
        **models, data=reading, generate_from=prompts, judge=f"{judge}:length", out=out, kl_samples=0, generation=SHORT
    )
    assert "kl" not in found
    assert json.loads((out / "evaluation.json").read_text(encoding="utf-8")) == found
    answers = {}
    for role, name in (("model", "oracle"), ("against", "ref")):
        [record] = json.loads((out / "alpaca_eval" / f"{name}.json").read_text(encoding="utf-8"))
        [line] = (out / "mt_bench" / "model_answer" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
        turns = json.loads(line)["choices"][0]["turns"]
        assert (record["generator"], len(turns)) == (name, 2)
        answers[role] = [len(record["output"]), mean(map(len, turns))]
    assert found["answers"]["skipped"] == [
        {"row": 2, "reason": "missing_column", "detail": "neither instruction, turns nor prompt, but nothing"}
    ]
    assert (found["answers"]["prompts"], found["answers"]["turns"]) == (2, 3)
    verdict = found["judge"]
    points = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in zip(*answers.values(), strict=True)]
    assert verdict["win_rate"] == mean(points)
    assert verdict["scores"]["model"]["mean"] == pytest.approx(mean(answers["model"]))
    assert verdict["prompts"] == 2
    text = "\n".join(evaluation_lines(found))
    for words in ("oracle wins", "95% interval", "KL" if "kl" in found else "accuracy", str(out), "1 rows skipped"):
        assert words in text


def test_a_judge_that_fails_loses_nothing_else(models, reading, prompts, judge, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(SepoError, match="ZeroDivisionError"):
        evaluate(
            **models,
            data=reading,
            generate_from=prompts,
            judge=f"{judge}:broken",
            out=out,
            kl_samples=0,
            generation=SHORT,
        )
    found = json.loads((out / "evaluation.json").read_text(encoding="utf-8"))
    assert found["pairs"] == 6
    assert len(found["answers"]["written"]) == 4
    assert "judge" not in found


def test_an_output_that_holds_something(models, reading, tmp_path):
    out = tmp_path / "out"
    first = evaluate(models["model"], reading, out=out)
    with pytest.raises(RefusedError, match="holds an evaluation"):
        evaluate(models["model"], reading, out=out)
    (out / "alpaca_eval").mkdir()
    (out / "alpaca_eval" / "old.json").write_text("[]")
    again = evaluate(models["model"], reading, out=out, overwrite=True)
    assert again["preference"] == first["preference"]
    assert [path.name for path in out.iterdir()] == ["evaluation.json"]
    (out / "notes.txt").write_text("mine")
    with pytest.raises(RefusedError, match="no evaluation"):
        evaluate(models["model"], reading, out=out, overwrite=True)
    with pytest.raises(RefusedError, match="no evaluation"):
        evaluate(models["model"], reading, out=out / "notes.txt")


def test_what_cannot_work_fails_before_anything_is_loaded(models, reading, prompts, save_tiny, tmp_path):
    with pytest.raises(SepoError, match="compares the answers of two models"):
        evaluate(models["model"], reading, judge="operator:countOf", generate_from=prompts, out=tmp_path / "out")
    with pytest.raises(SepoError, match="compares the answers of two models"):
        evaluate(**models, data=reading, judge="operator:countOf", out=tmp_path / "out")
    with pytest.raises(SepoError, match="written to files"):
        evaluate(**models, data=reading, generate_from=prompts)
    other = save_tiny(tmp_path / "other", vocabulary=300)
    with pytest.raises(SepoError, match="different vocabularies"):
        evaluate(models["model"], reading, against=str(other))
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_broken(models, reading, tmp_path):
    broken = load_model(models["model"], dtype="float32")
    broken.lm_head.weight.data.fill_(float("nan"))
    broken.save_pretrained(tmp_path / "broken")
    for file in Path(models["model"]).iterdir():
        if "tok" in file.name or file.suffix == ".jinja":
            shutil.copy(file, tmp_path / "broken")
    with pytest.raises(SepoError, match="not finite"):
        evaluate(str(tmp_path / "broken"), reading)


@pytest.mark.slow
@pytest.mark.shared
def test_a_real_model_and_the_exact_divergence_of_another_from_it(tmp_path):
    """A model of stories prefers stories to their words backwards; its samples estimate the exact divergence."""
    if not STORIES.exists():
        pytest.skip("the shared models are not on this machine")
    stories = [
        "Lily went to the park with her mom. She saw a big dog and she was happy.",
        "Tom had a red ball. He liked to play with it every day.",
        "The little bird could not fly. A kind boy wanted to help the bird.",
        "One day, a girl found a shiny box in the garden. She opened it.",
    ]
    rows = [
        {"prompt": f"Day {number}. ", "chosen": text, "rejected": " ".join(reversed(text.split()))}
        for number, text in enumerate(stories * 12)
    ]
    file = tmp_path / "stories.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    other = load_model(str(STORIES), dtype="float32")
    torch.manual_seed(0)
    for parameter in other.parameters():
        parameter.data += 0.1 * parameter.data.std() * torch.randn_like(parameter) if parameter.dim() > 1 else 0.0
    other.save_pretrained(tmp_path / "other")
    for part in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(STORIES / part, tmp_path / "other")
    names = {"model": str(STORIES), "against": str(tmp_path / "other")}
    found = evaluate(**names, data=str(file), kl_samples=48, generation=Generation(max_new_tokens=24))
    assert found["preference"]["model"]["accuracy"]["mean"] == 1.0
    assert found["preference"]["model"]["chosen_logps"]["mean"] > found["preference"]["against"]["chosen_logps"]["mean"]

    prepared = open_tokenized(Reading(str(file)), names["model"])
    prompts = list({tuple(item.prompt_ids): None for item in prepared.sample()})
    ours, theirs = (load_model(name, dtype="float32") for name in names.values())
    ends = measured.end_ids(ours, prepared.tokenizer.eos_token_id)
    samples = measured.generate(ours, prompts * 3, Generation(24, temperature=1.0, seed=9), ends)
    exact = []
    with torch.no_grad():
        for prompt, answer in zip(prompts * 3, samples, strict=True):
            ids = torch.tensor([[*prompt, *answer]])
            own, others = (m(ids).logits[0, len(prompt) - 1 : -1].double().log_softmax(-1) for m in (ours, theirs))
            exact.append((own.exp() * (own - others)).sum(-1))
    kl = found["kl"]
    assert (len(prompts), kl["answers"]) == (48, 48)
    for kind in ("per_token", "k1_per_token"):
        assert abs(kl[kind]["mean"] - float(torch.cat(exact).mean())) < 4 * kl[kind]["se"]
