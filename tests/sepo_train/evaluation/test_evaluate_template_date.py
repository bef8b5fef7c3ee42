"""An evaluation gives chat templates the date of the training of its model, or one that it records."""

import json

from sepo_data.preferences.reading import Reading
from sepo_data.tokenization import template_date
from sepo_train.engine.generate import Generation
from sepo_train.evaluation import model_outputs
from sepo_train.evaluation.evaluate import evaluate
from tests.conftest import CHATML

DATED = "Today: {{ strftime_now('%d %b %Y') }}\n" + CHATML


def test_one_date_for_all_that_is_rendered(save_tiny, examples, on_day, tmp_path, monkeypatch):
    on_day("2024-02-29")
    asked = []
    answer = model_outputs.answer_prompts

    def answer_prompts(model, tokenizer, prompts, *further, **options):
        asked.append(template_date.template_date(tokenizer))
        return answer(model, tokenizer, prompts, *further, **options)

    monkeypatch.setattr(model_outputs, "answer_prompts", answer_prompts)
    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(json.dumps({"instruction": "Tea?"}) + "\n", encoding="utf-8")
    dated, plain = save_tiny(tmp_path / "dated", template=DATED), save_tiny(tmp_path / "plain")
    options = {"generate_from": str(prompts), "generation": Generation(max_new_tokens=2)}
    reading = Reading(str(examples), limit=2)
    found = evaluate(str(dated), reading, out=tmp_path / "a", **options)
    given = evaluate(str(dated), reading, out=tmp_path / "b", template_date="2020-01-01", **options)
    other = evaluate(str(plain), reading, out=tmp_path / "c", **options)
    assert [each.get("template_date") for each in (found, given, other)] == ["2024-02-29", "2020-01-01", None]
    assert asked == ["2024-02-29", "2020-01-01", None]
