"""Every pair finds its responses again, and nothing is computed twice."""

from hypothesis import given
from hypothesis import strategies as st

from sepo_data.shapes.pairs import Pair
from sepo_data.tokenization.tokenize import TokenizedPair
from sepo_train.scoring.prompt_groups import prompt_groups


def pair(prompt, chosen, rejected):
    return TokenizedPair(Pair(0, "p", "c", "r"), prompt, chosen, rejected)


ids = st.lists(st.integers(0, 2), min_size=1, max_size=3)


@given(st.lists(st.builds(pair, ids, ids, ids), max_size=12), st.integers(1, 12))
def test_every_response_is_in_one_row(pairs, max_tokens):
    trees, places = prompt_groups(pairs, max_tokens)
    for item, sides in zip(pairs, places, strict=True):
        for (tree, branch), wanted in zip(sides, (item.chosen_ids, item.rejected_ids), strict=True):
            assert trees[tree].prompt_ids == item.prompt_ids
            assert trees[tree].responses[branch] == wanted
    made = [(tuple(tree.prompt_ids), tuple(response)) for tree in trees for response in tree.responses]
    assert len(made) == len(set(made)), "a response that stands in several pairs is scored once"
    for tree in trees:
        length = len(tree.prompt_ids) + sum(map(len, tree.responses))
        assert length <= max_tokens or len(tree.responses) == 1


def test_ranked_answers_share_one_row():
    answers = [[10], [11], [12], [13]]
    pairs = [pair([1, 2], better, worse) for place, better in enumerate(answers) for worse in answers[place + 1 :]]
    [tree], places = prompt_groups(pairs, 100)
    assert tree.responses == tuple(answers)
    assert places[0] == ((0, 0), (0, 1))
    assert places[-1] == ((0, 2), (0, 3))


def test_a_row_that_would_be_too_long_goes_on_in_another():
    pairs = [pair([1, 2], [3, 3], [4, 4]), pair([1, 2], [3, 3], [5, 5])]
    trees, places = prompt_groups(pairs, 6)
    assert [tree.responses for tree in trees] == [([3, 3], [4, 4]), ([5, 5],)]
    assert places == [((0, 0), (0, 1)), ((0, 0), (1, 0))]
