"""A run goes on with the template date with which it began; another date is another run."""

import json

import pytest

from sepo_data.errors import RefusedError
from sepo_data.readers.arrow_stream import map_stream
from sepo_data.tokenization.template_date import OPTION
from sepo_train.models.tokenizers import load_tokenizer
from sepo_train.scoring.options import ScoringOptions
from sepo_train.scoring.score import score
from tests.conftest import CHATML

DATED = "Today: {{ strftime_now('%d %b %Y') }}\n" + CHATML


@pytest.fixture(scope="module")
def models(save_tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("dated")
    return {
        role: str(save_tiny(folder / role, template=DATED, seed=seed)) for seed, role in enumerate(("ref", "oracle"))
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same conversations as messages and as strings."""
    folder, found = tmp_path_factory.mktemp("pairs"), {}
    for kind in ("messages", "strings"):
        rows = []
        for number in range(4):
            texts = {"prompt": f"Tea {number}?", "chosen": "Yes, please.", "rejected": "No."}
            roles = {"prompt": "user", "chosen": "assistant", "rejected": "assistant"}
            turns = {part: [{"role": roles[part], "content": text}] for part, text in texts.items()}
            rows.append(json.dumps(turns if kind == "messages" else texts) + "\n")
        found[kind] = folder / f"{kind}.jsonl"
        found[kind].write_text("".join(rows), encoding="utf-8")
    return {kind: str(file) for kind, file in found.items()}


def test_a_run_that_goes_on_another_day(on_day, models, files, tmp_path):
    options = ScoringOptions(shard_rows=2)
    on_day("2024-02-29")
    score(files["messages"], tmp_path / "out", **models, options=options, only_shard=0)
    on_day("2024-03-01")
    manifest = score(files["messages"], tmp_path / "out", **models, options=options)
    assert manifest.complete
    assert manifest.options[OPTION] == "2024-02-29"
    tokenizer = load_tokenizer(models["ref"])
    prompts = [
        tokenizer.decode(ids)
        for file in sorted((tmp_path / "out").glob("*.arrow"))
        for ids in map_stream(file).column("prompt_ids").to_pylist()
    ]
    assert len(prompts) == 4
    assert all(prompt.startswith("Today: 29 Feb 2024\n") for prompt in prompts)
    other = ScoringOptions(shard_rows=2, template_date="2024-03-01")
    with pytest.raises(RefusedError, match=f'{OPTION}: "2024-02-29" -> "2024-03-01"'):
        score(files["messages"], tmp_path / "out", **models, options=other)


def test_strings_have_no_date(on_day, models, files, tmp_path):
    plans = []
    for day in ("2024-02-29", "2024-03-01"):
        on_day(day)
        plans.append(score(files["strings"], tmp_path / "out", **models, dry_run=True).plan())
    assert plans[0] == plans[1]
    assert not any(OPTION in key for key in plans[0])
