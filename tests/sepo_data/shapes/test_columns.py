"""Roles that the user gives to columns, and the errors that say what to give them."""

import pytest

from sepo_data.errors import SepoError
from sepo_data.shapes.columns import ALIASES, ROLES
from sepo_data.shapes.detect import detect_shape

STRINGS = {"prompt": "q", "chosen": "yes", "rejected": "no"}
NO_PROMPT = {"chosen": "yes", "rejected": "no"}


def read(row, **said):
    """(name of the shape, prompt) with these roles said."""
    shape = detect_shape(list(row), [row], roles=said)
    [pair] = shape.to_pairs(0, row, ())
    return shape.name, pair.prompt


def error_of(row, **said):
    with pytest.raises(SepoError) as caught:
        detect_shape(list(row), [row], roles=said)
    return caught.value


def test_a_column_is_read_as_if_it_were_called_like_the_role():
    asked = [{"role": "user", "content": "q"}]
    assert read({"a": "q", "b": "yes", "c": "no"}, prompt="a", chosen="b", rejected="c") == ("explicit strings", "q")
    assert read({"a": "q", **NO_PROMPT}, question="a") == ("question", asked)
    assert read(STRINGS, question="prompt")[1] == asked, "the prompt is no prompt any more"
    assert read({**STRINGS, "rules": "s"}, system="rules")[1] == [{"role": "system", "content": "s"}, *asked]
    both = {**NO_PROMPT, "question": "q", "instruction": "i"}
    assert read(both, question="question") == ("question", asked)
    assert read({**STRINGS, "question": "other"}, question="question")[1] == [{"role": "user", "content": "other"}]


def test_names_go_before_aliases():
    row = {**NO_PROMPT, "question": "q", "query": "other", "preferred": "x", "dispreferred": "y"}
    assert read(row) == ("question", [{"role": "user", "content": "q"}])
    assert dict(detect_shape(list(row), [row]).columns) == {
        "question": "question", "chosen": "chosen", "rejected": "rejected",
    }  # fmt: skip


def test_a_name_with_values_of_another_kind_does_not_count():
    row = {"prompt": "q", "chosen": 0, "chosen_response": "yes", "rejected_response": "no"}
    shape = detect_shape(list(row), [row])
    assert (shape.columns["chosen"], shape.columns["rejected"]) == ("chosen_response", "rejected_response")


def test_details_name_the_column_and_not_the_role():
    from sepo_data.shapes.skip_reasons import SkipRow

    row = {"question": "q", "response_j": "yes", "response_k": "no"}
    with pytest.raises(SkipRow) as caught:
        detect_shape(list(row), [row]).to_pairs(0, {**row, "response_k": None}, ())
    assert (caught.value.reason, caught.value.detail) == ("null", "response_k")


def test_a_role_that_does_not_exist():
    error = error_of(STRINGS, chosn="chosen")
    assert "--columns chosn: no column can play that; prompt, question, instruction" in str(error)
    assert error.hint == "did you mean chosen or chosen_ids or choice?"


def test_a_column_that_does_not_exist():
    error = error_of({"prompt": "q", "response_j": "yes", "response_k": "no"}, chosen="response_i")
    assert str(error) == "--columns: the dataset has no column response_i; it has prompt, response_j, response_k"
    assert error.hint == "for response_i, did you mean response_k or response_j?"


def test_a_column_that_cannot_play_the_role():
    error = error_of({**STRINGS, "n": 3}, chosen="n")
    assert str(error) == "--columns chosen=n: the values of n are of kind number"
    assert error.hint == "for chosen, name a column of kind string or turn or turns"


def test_a_role_that_no_shape_has_a_use_for():
    assert "--columns names winner, and no shape has that" in str(error_of({**STRINGS, "who": "a"}, winner="who"))


def test_two_candidates_for_the_prompt():
    error = error_of({**NO_PROMPT, "question": "q", "instruction": "i"})
    assert "more than one shape: the user says question; " in str(error)
    assert " Or: the user says instruction; " in str(error)
    assert error.hint == "choose one: --columns question=question or --columns instruction=instruction"
    assert read({**STRINGS, "instruction": "q", "question": "q"}) == ("explicit strings", "q")


@pytest.mark.parametrize(
    ("row", "ways"),
    [
        ({**STRINGS, "question": "other"}, ["prompt=prompt", "question=question"]),
        ({**STRINGS, "instruction": "i"}, ["prompt=prompt", "instruction=instruction"]),
        ({**STRINGS, "input": "i"}, ["prompt=prompt", "instruction=prompt,input=input", "question=input"]),
        (
            {**NO_PROMPT, "question": "q", "input": "i"},
            ["question=question", "instruction=question,input=input", "question=input"],
        ),
    ],
)
def test_a_prompt_beside_another_text(row, ways):
    error = error_of(row)
    assert "they hold different texts" in str(error)
    assert error.hint == "choose one: " + " or ".join(f"--columns {way}" for way in ways)
    for way in ways:
        said = dict(entry.split("=") for entry in way.split(","))
        _, prompt = read(row, **said)
        text = prompt if isinstance(prompt, str) else prompt[0]["content"]
        assert text == "\n\n".join(row[column] for column in said.values())


def test_rivals():
    error = error_of({"question": "q", "preferred": "a", "dispreferred": "b", "better": "c", "worse": "d"})
    assert error.hint == (
        "choose one: --columns chosen=preferred,rejected=dispreferred or --columns chosen=better,rejected=worse"
    )
    error = error_of({"query": "q", "problem": "p", "chosen": "It is so", "rejected": "It is not"})
    assert error.hint == "choose one: --columns question=query or --columns question=problem"
    assert read({"query": "q", "problem": "p", **NO_PROMPT}, question="problem")[0] == "question"
    error = error_of({"what is asked": "q", **NO_PROMPT})
    assert error.hint == "name the column of the user's turn: --columns 'question=what is asked'"


def test_columns_that_fit_nothing():
    error = error_of({"ask": "q", "chosen_text": "a", "bad": "b"})
    assert "fit no preference shape: ask (string), chosen_text (string), bad (string)." in str(error)
    assert error.hint == (
        "name the roles, like --columns question=ASKED,chosen=A,rejected=B; for chosen, did you mean chosen_text?"
    )


def test_answers_that_share_no_prompt_are_not_taken_for_whole_texts():
    error = error_of({"utterance": "q", "topic": "t", **NO_PROMPT})
    assert "the prompt has to be a column of its own" in str(error)
    assert error.hint == "name the column of the user's turn: --columns question=utterance or --columns question=topic"


def test_hints_name_only_columns_of_the_right_kind():
    error = error_of({"prompt": "q", "chosen": ["a"], "rejected": ["b"]})
    assert "did you mean" not in error.hint
    assert "chosen is of kind strings, and has to be string or turn or turns; rejected is of kind" in error.hint
    error = error_of({"prompt": "q", "response": "r", "coherence": 4, "correctness": 3})
    assert "coherence" not in error.hint
    assert "correctness" not in error.hint


def test_turns_are_offered_before_strings():
    row = {"task": "t", "trajectory": [{"from": "user", "value": "q"}], **NO_PROMPT}
    error = error_of(row)
    assert (
        error.hint
        == "name the column of the user's turn: --columns conversations=trajectory or --columns question=task"
    )
    assert read(row, conversations="trajectory") == ("sharegpt", [{"role": "user", "content": "q"}])


def test_messages_that_end_in_the_chosen_response():
    asked = {"role": "user", "content": "q"}
    row = {"messages": [asked, {"role": "assistant", "content": "yes"}], **NO_PROMPT}
    assert error_of(row).hint.endswith("--columns messages=messages")
    assert read(row, messages="messages") == ("swift", [asked])


def test_a_mistyped_key_of_ranked_answers():
    row = {"prompt": "q", "completions": [{"response": "a", "fine-grained_score": 1}]}
    assert "did you mean fine-grained_score?" in error_of(row, score="finegrained_score").hint


def test_one_column_for_two_roles():
    error = error_of(STRINGS, chosen="chosen", rejected="chosen")
    assert str(error) == "--columns gives two roles to chosen"


def test_no_rows_and_no_columns():
    for columns in ([], ["prompt", "chosen", "rejected"]):
        with pytest.raises(SepoError, match="fit no preference shape"):
            detect_shape(columns, [])


def test_aliases_are_of_roles_and_in_step():
    for group in ALIASES:
        for roles, spellings in group.items():
            assert set(roles.split()) <= ROLES.keys()
            assert {len(spelling.split()) for spelling in spellings} == {len(roles.split())}
