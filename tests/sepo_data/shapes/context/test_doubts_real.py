"""Datasets as they are published: columns that are no context are listed, and the pairs are those of the others."""

import pytest

from sepo_data.shapes.detect import detect_shape
from tests.sepo_data.shapes.context.test_doubts import (
    ASKED,
    BOTH,
    DIALOGUES,
    MESSAGES,
    OPENED,
    PROMPT,
    QUESTION,
    ROME,
    SAID,
    SHED,
    assistant,
    system,
    user,
)

JUDGED = f"Which one is better? {ASKED} First: {SHED} Second: {ROME} Answer with a number."

REAL = {
    "UltraFeedback, binarized": DIALOGUES
    | {
        "prompt": ASKED,
        "prompt_id": "ab12",
        "messages": DIALOGUES["chosen"],
        "score_chosen": 9.0,
        "score_rejected": 7.0,
    },
    "the same with another answer in messages": DIALOGUES
    | {"prompt": ASKED, "messages": [user(ASKED), assistant("Hm?")]},
    "Argilla's UltraFeedback": {
        "source": "a source of prompts",
        "instruction": ASKED,
        "chosen_response": SHED,
        "rejected_response": ROME,
        "chosen_avg_rating": 5.0,
        "rejected_avg_rating": 1.0,
        "chosen_model": "a model of ours",
    },
    "distilabel's Orca pairs": QUESTION
    | {
        "system": "Be brief.",
        "generations": [SHED, ROME],
        "order": ["chosen", "rejected"],
        "status": "unchanged so far",
    }
    | {
        "labelling_model": "gpt",
        "labelling_prompt": [system("Judge."), user(JUDGED)],
        "raw_labelling_response": "8 and 2 it is",
    }
    | {
        "rating": [8.0, 2.0],
        "rationale": "The first is what it says.",
        "original_chosen": SHED,
        "in_gsm8k_train": False,
    },
    "a judge's prompt under another name": QUESTION | {"eval_messages": [system("Judge these two."), user(JUDGED)]},
    "distilabel's Capybara": DIALOGUES
    | {"source": "Dove", "conversation": [{"input": ASKED, "output": "It is in the shed there."}], "prompt": ASKED}
    | {
        "original_response": "It is in the shed there.",
        "generation_prompt": ["Answer this, please."],
        "new_generations": ["In a house."],
    },
    "Nectar": {
        "prompt": f"\n\nHuman: {ASKED}\n\nAssistant: ",
        "turns": 1,
        "num_responses": 2,
        "source": ["a", "b"],
        "answers": [{"answer": SHED, "model": "a", "rank": 1.0}, {"answer": ROME, "model": "b", "rank": 2.0}],
    },
    "PKU-SafeRLHF": {
        "prompt": ASKED,
        "response_0": SHED,
        "response_1": ROME,
        "prompt_source": "a set of prompts",
        "is_response_0_safe": True,
        "response_0_harm_category": {"Crime": False},
        "better_response_id": 0,
    },
    "SHP": {
        "post_id": "a1",
        "domain": "askotters_train",
        "history": ASKED,
        "human_ref_A": SHED,
        "human_ref_B": ROME,
        "labels": 1,
        "score_A": 5,
        "score_B": 2,
    },
    "HelpSteer3": {
        "domain": "general",
        "language": "english",
        "context": [user(ASKED)],
        "response1": SHED,
        "response2": ROME,
        "overall_preference": -2,
        "individual_preference": [{"score": -2, "reasoning": "One is right and short."}],
    },
    "WebGPT": {
        "question": {"dataset": "eli5", "id": "a", "full_text": ASKED},
        "answer_0": SHED,
        "answer_1": ROME,
        "quotes_0": {"title": ["Otters"], "extract": [SAID]},
        "tokens_0": {"prefix": [1]},
        "score_0": 1.0,
        "score_1": 0.0,
    },
    "StackExchange": {
        "qid": 3,
        "question": ASKED,
        "date": "2012/08/29",
        "metadata": ["https://a.example", "https://b.example/c"],
        "response_j": SHED,
        "response_k": ROME,
    },
    "Chatbot Arena": {
        "question_id": "a",
        "model_a": "x",
        "model_b": "y",
        "winner": "model_a",
        "judge": "one of us",
        "turn": 1,
        "conversation_a": DIALOGUES["chosen"],
        "conversation_b": DIALOGUES["rejected"],
        "language": "English",
        "openai_moderation": {"flagged": False},
        "full_conversation": [{"user": user(ASKED), "a": assistant(SHED)}],
    },
    "Tulu": DIALOGUES | {"id": "a", "source": "a mix of sources", "prompt": "another prompt than that"},
    "Magpie": DIALOGUES
    | {"instruction": ASKED, "knowledge": "To answer, one has to know Max.", "intent": "To find him."},
    "truthy": PROMPT | {"id": "a", "source": "some persona", "system": "You are a river otter."},
    "Math-Step-DPO without steps": PROMPT
    | {"dataset": "gsm", "full_chosen": f"Step 1. {SHED}", "full_rejected": ROME, "answer": "a shed"},
    "orpo-dpo-mix": DIALOGUES | {"source": "x", "prompt": ASKED, "question": "Something that was asked elsewhere."},
    "the prompt in pieces": {"prompt": f"Read: {SAID}\nThen: {ASKED}", "context": SAID, "question": ASKED, **BOTH},
    "the dialogue as text as well": MESSAGES | {"conversation": f"Human: {ASKED}\n\nAssistant: {SHED}"},
    "labels for names of texts": QUESTION | {"context": "biology", "document": "otters.txt", "scenario": "animal life"},
    "numbers for names of texts": QUESTION
    | {"messages": 3, "history": 0, "context": 12.5, "images": 0, "image": False},
    "empty values": QUESTION
    | {"history": [], "images": [], "context": "", "messages": None, "chat_template_kwargs": {}},
    "nulls of Arrow": QUESTION | {"image": {"bytes": None, "path": None}, "images": [None], "system": {"role": None}},
    "strings that begin alike": OPENED
    | {"source": "two words", "rationale": "The first of them is right.", "id": 7, "score": 3.5},
    "token ids": {"prompt_ids": [5, 6], "chosen_ids": [7], "rejected_ids": [8], "context": SAID},
}


@pytest.mark.parametrize("case", REAL)
def test_other_columns_are_only_listed(case):
    row = REAL[case]
    shape = detect_shape(list(row), [row])
    assert shape.to_pairs(0, row, ())
    assert shape.unread == tuple(column for column in row if column not in shape.columns.values())
