"""Rows on which the layout of a training run is tested, and compared again when the reference is computed."""

import pytest

from sepo_data.errors import SepoError
from sepo_train.engine.layout import Tree
from sepo_train.engine.layout_policy import NO_LIMIT, LayoutPolicy
from sepo_train.training.processes import agree_on_layout, telling_trees
from sepo_train.training.reference_logps import computed_ref_logps
from sepo_train.training.selected_pairs import TrainingPair
from tests.sepo_train.engine.test_choose_lengths import forgetful
from tests.sepo_train.models.test_weight_changes import CHANGES, changing


class Pairs(list):
    """Pairs as `SelectedPairs` has them."""

    @property
    def lengths(self):
        return [pair.tree.shared_length for pair in self]


def pairs_of(trees):
    return Pairs(
        TrainingPair(
            str(n), Tree(tree.prompt_ids, tree.responses, [[True, *[False] * (len(r) - 1)] for r in tree.responses])
        )
        for n, tree in enumerate(trees)
    )


def test_the_longest_and_the_shortest_are_tested_and_the_longest_held_out(random_trees):
    pairs = pairs_of(random_trees(*[(9, 4, 5)] * 150, (40, 30, 30), (3, 4, 4)))
    held_out = pairs_of(random_trees((5, 6, 7), (30, 20, 10)))
    trees = telling_trees(pairs, held_out)
    assert len(trees) == 103
    assert trees[100:102] == [pairs[150].tree, pairs[151].tree]
    assert trees[-1] == Tree(held_out[1].tree.prompt_ids, held_out[1].tree.responses), "with all of its tokens"
    assert telling_trees(pairs[:1] and Pairs(pairs[:1]), Pairs()) == [pairs[0].tree]


def test_a_layout_that_goes_wrong_with_a_held_out_row_is_not_chosen(llama, random_trees):
    trees = telling_trees(pairs_of(random_trees(*[(9, 4, 5)] * 8)), pairs_of(random_trees((20, 37, 30))))
    assert agree_on_layout(forgetful(llama, 60), trees).reason.startswith("a shared prompt ")


def test_the_reference_is_compared_again(llama, random_trees):
    trees, shared = random_trees((4, 4, 5), (20, 37, 30)), LayoutPolicy(NO_LIMIT)
    assert computed_ref_logps(llama, trees, shared).shape == (2, 2)
    with pytest.raises(SepoError, match=r"^pair 1, with 57 tokens"):
        computed_ref_logps(forgetful(llama, 60), trees, shared)


def test_a_reference_that_changes_its_weights_is_refused(llama, random_trees):
    with pytest.raises(SepoError, match="changed its own weights"):
        computed_ref_logps(changing(llama, 3, CHANGES["all of them"]), random_trees((4, 4, 5)), LayoutPolicy(NO_LIMIT))


def test_a_model_that_sees_the_future_is_not_trained(llama_like, random_trees):
    with pytest.raises(SepoError, match="sees the future"):
        agree_on_layout(llama_like(is_causal=False), random_trees((4, 4, 5), (20, 37, 30)))
