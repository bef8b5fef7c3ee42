"""Reward models and functions as judges, and what is wrong with those that are none."""

import json

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from sepo_data.errors import SepoError
from sepo_train.evaluation.judge import open_judge, transcript

USER = {"role": "user", "content": "Tea?"}
ITEMS = [
    ([USER], "Yes."),
    ([USER], "Yes, with milk and sugar, and a biscuit beside it."),
    ([USER, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Why?"}], "Because."),
]


@pytest.fixture(scope="module")
def reward_model(tmp_path_factory, tiny_model):
    """Save a random classifier with so many labels on the tiny tokenizer."""

    def save(labels, **options):
        folder = tmp_path_factory.mktemp("judges") / "judge"
        torch.manual_seed(3)
        base = AutoConfig.from_pretrained(tiny_model).to_dict()
        for name in ("architectures", "dtype", "id2label", "label2id", "model_type"):
            base.pop(name, None)
        config = AutoConfig.for_model("llama", **base | {"num_labels": labels} | options)
        model = AutoModelForSequenceClassification.from_config(config)
        model.score.weight.data.normal_(0, 1)
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(tiny_model).save_pretrained(folder)
        return folder

    return save


def plain_logits(folder, *, template=True):
    """Each conversation alone."""
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = []
    for messages, answer in ITEMS:
        if template:
            spoken = [*messages, {"role": "assistant", "content": answer}]
            ids = tokenizer(tokenizer.apply_chat_template(spoken, tokenize=False), add_special_tokens=False).input_ids
        else:
            ids = tokenizer(transcript(messages) + answer).input_ids
        with torch.no_grad():
            found.append(model(torch.tensor([ids])).logits[0])
    return torch.stack(found)


@pytest.mark.parametrize("options", [{}, {"pad_token_id": None}], ids=["padded", "one by one"])
def test_one_logit_is_the_score(reward_model, options):
    folder = reward_model(1, **options)
    assert open_judge(str(folder))(ITEMS) == pytest.approx(plain_logits(folder)[:, 0].tolist(), abs=1e-5)


def test_of_two_labels_the_lead_of_the_second_is_the_score(reward_model):
    folder = reward_model(2)
    logits = plain_logits(folder)
    assert open_judge(str(folder))(ITEMS) == pytest.approx((logits[:, 1] - logits[:, 0]).tolist(), abs=1e-5)


def test_a_judge_without_a_chat_template_reads_a_pair_of_texts(reward_model):
    folder = reward_model(1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    tokenizer.chat_template = None
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    tokenizer.save_pretrained(folder)
    assert open_judge(str(folder))(ITEMS) == pytest.approx(
        plain_logits(folder, template=False)[:, 0].tolist(), abs=1e-5
    )


def test_what_is_no_reward_model(reward_model, tiny_model, tmp_path):
    with pytest.raises(SepoError, match="has 3 labels") as error:
        open_judge(str(reward_model(3)))
    assert "FILE.py:FUNCTION" in error.value.hint
    with pytest.raises(SepoError, match="no sequence classifier but LlamaForCausalLM"):
        open_judge(str(tiny_model))
    with pytest.raises(SepoError, match=r"missing is neither a local folder nor"):
        open_judge(str(tmp_path / "missing"))


def test_a_language_model_that_calls_itself_a_classifier(tiny_model, tmp_path):
    folder = tmp_path / "judge"
    folder.mkdir()
    for file in tiny_model.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["architectures"] = ["LlamaForSequenceClassification"]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(SepoError, match=r"lacks 1 weights .* score\.weight"):
        open_judge(str(folder))(ITEMS)


def test_a_conversation_that_the_judge_cannot_read(reward_model):
    judge = open_judge(str(reward_model(1, max_position_embeddings=20)))
    with pytest.raises(SepoError, match="reads 20 tokens, but a conversation has"):
        judge(ITEMS)


CODE = """
def length(prompt: str, answer: str) -> float:
    return len(answer)

def told(prompt, answer):
    return prompt.count("Tea?") + 10 * prompt.count("assistant: Yes.")

def broken(prompt, answer):
    raise ZeroDivisionError("of course")

def nothing(prompt, answer):
    return None

def nan(prompt, answer):
    return float("nan")

number = 5
"""


@pytest.fixture
def code(tmp_path):
    file = tmp_path / "my_judge.py"
    file.write_text(CODE, encoding="utf-8")
    return file


def test_a_function_in_a_file(code):
    assert open_judge(f"{code}:length")(ITEMS) == [4.0, 50.0, 8.0]
    assert open_judge(f"{code}:told")(ITEMS) == [1.0, 1.0, 11.0]


def test_a_function_in_a_module():
    # It is of two arguments and returns a number: how many times the answer stands in the prompt.
    assert open_judge("operator:countOf")([([USER], "T"), ([USER], "x")]) == [1.0, 0.0]


def test_a_transcript():
    assert transcript(ITEMS[0][0]) == "Tea?"
    assert transcript(ITEMS[2][0]) == "user: Tea?\n\nassistant: Yes.\n\nuser: Why?"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("broken", "raised ZeroDivisionError for the answer to 'Tea\\?': of course"),
        ("nothing", "raised TypeError"),
        ("nan", "gave nan for the answer to 'Tea\\?'"),
    ],
)
def test_a_function_that_gives_no_number(code, name, message):
    with pytest.raises(SepoError, match=message):
        open_judge(f"{code}:{name}")(ITEMS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("{code}:missing", "has no attribute 'missing'"),
        ("{code}:number", "is a int, not a function"),
        ("{code}x.py:length", "cannot load the judge"),
        ("no_such_module:judge", "No module named 'no_such_module'"),
    ],
)
def test_a_function_that_is_not_there(code, name, message):
    with pytest.raises(SepoError, match=message):
        open_judge(name.format(code=code))
