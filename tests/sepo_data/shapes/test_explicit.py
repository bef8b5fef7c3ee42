"""Explicit shapes whose makers document more than their columns show: null prompts, and where a response begins."""

import pytest

from sepo_data.shapes.detect import detect_shape
from sepo_data.shapes.skip_reasons import SkipRow
from tests.fixtures.turns import assistant, user

TOOL = {"role": "tool", "content": "7"}
CALL = {"role": "tool_call", "content": '{"name": "dice", "arguments": {}}'}
CHOSEN, REJECTED = [user("q"), assistant("yes")], [user("q"), assistant("no")]


def parts(good, row):
    """Prompt and responses of a row of a dataset whose other rows are like `good`."""
    [pair] = detect_shape(list(good), [good, good, row]).to_pairs(0, row, ())
    return pair.prompt, pair.chosen, pair.rejected


@pytest.mark.parametrize("column", ["prompt", "question", "instruction"])
@pytest.mark.parametrize("asked", ["q", [user("q")]])
@pytest.mark.parametrize("nothing", [None, "", " "])
def test_whole_dialogues_need_no_prompt_beside_them(column, asked, nothing):
    """orpo-dpo-mix has the prompt of each row in one of two columns, or in none."""
    if column != "prompt" and not isinstance(asked, str):
        return
    if not isinstance(asked, str) and nothing is not None:
        return
    good = {column: asked, "chosen": CHOSEN, "rejected": REJECTED}
    expected = ([user("q")], [assistant("yes")], [assistant("no")])
    assert parts(good, {**good, column: nothing}) == parts(good, good) == expected


def test_a_null_prompt_before_answers_alone_is_a_reason():
    good = {"prompt": [user("q")], "chosen": [assistant("yes")], "rejected": [assistant("no")]}
    with pytest.raises(SkipRow, match="null"):
        parts(good, {**good, "prompt": None})
    good = {"prompt": "q", "chosen": CHOSEN, "rejected": REJECTED}
    with pytest.raises(SkipRow, match="prompt_mismatch"):
        parts(good, {**good, "prompt": "another"})


SWIFT = {"messages": CHOSEN, "rejected_response": "no"}
SYSTEM, SURE = {"role": "system", "content": "s"}, assistant("sure")
DIALOGUES = {
    "one answer": (CHOSEN, [user("q")], [assistant("yes")]),
    "earlier turns": ([*CHOSEN, user("r"), SURE], [*CHOSEN, user("r")], [SURE]),
    "two turns of the assistant": ([*CHOSEN, SURE], [user("q")], [assistant("yes"), SURE]),
    "no user at all": ([SYSTEM, SURE], [SYSTEM], [SURE]),
}


@pytest.mark.parametrize(("dialogue", "prompt", "chosen"), DIALOGUES.values(), ids=DIALOGUES)
def test_the_rejected_response_takes_the_place_of_all_after_the_last_user_turn(dialogue, prompt, chosen):
    """ms-swift's reading; both responses follow the same turn."""
    assert parts(SWIFT, {**SWIFT, "messages": dialogue}) == (prompt, chosen, [assistant("no")])


@pytest.mark.parametrize("before", [[user("q")], [*CHOSEN, user("r")]])
def test_a_rejected_response_never_follows_the_answer_of_a_tool_that_it_did_not_ask(before):
    row = {"messages": [*before, CALL, TOOL, assistant("Seven.")], "rejected_response": "I cannot roll dice."}
    with pytest.raises(SkipRow) as caught:
        parts(row, row)
    assert (caught.value.reason, caught.value.detail) == ("other_speaker", "chosen holds a tool turn")
    earlier = {**row, "messages": [*row["messages"], user("Thanks"), assistant("Welcome.")]}
    prompt, chosen, _ = parts(row, earlier)
    assert (prompt[-1], chosen) == (user("Thanks"), [assistant("Welcome.")])
