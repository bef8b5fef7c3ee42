"""The lowest share at which a token is taken, against the masks of the package."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sepo_data.report.first_shares import SHARES, first_shares, selected_by_chance
from sepo_data.selection.quota import Quota
from sepo_data.selection.ragged import Ragged
from sepo_data.selection.top_k import top_k_mask

RESPONSES = st.lists(st.lists(st.sampled_from([-1.5, -0.0, 0.0, 0.25, 2.0]), max_size=130), min_size=1, max_size=4)


def as_ragged(responses):
    values = np.array([value for response in responses for value in response], np.float32)
    return Ragged(values, np.cumsum([0, *map(len, responses)]))


@given(responses=RESPONSES)
def test_every_share_takes_what_the_rule_takes(responses):
    rewards = as_ragged(responses)
    counts = [Quota(basis_points=int(share) * 100).k_of(rewards.lengths) for share in SHARES]
    for highest, sign in ((True, 1), (False, -1)):
        first = first_shares(rewards, highest=highest)
        masks = top_k_mask(rewards.with_values(sign * rewards.values), counts)
        for share, mask in zip(SHARES, masks, strict=True):
            assert ((first <= share) == mask).all()


def test_a_response_by_hand():
    # From the highest: 2.0, the first 1.0, the second 1.0, 0.0; the token at place r from r + 1 quarters on
    rewards = as_ragged([[1.0, 2.0, 0.0, 1.0], [5.0]])
    assert first_shares(rewards, highest=True).tolist() == [50, 1, 100, 75, 1]
    assert first_shares(rewards, highest=False).tolist() == [50, 100, 1, 75, 1]


def test_tokens_in_common_by_chance():
    # of 4 tokens k = 1 below 50%, 2 below 75%, 3 below 100%: k^2/4; of 1 token always 1
    expected = selected_by_chance(np.array([4, 1, 4, 0]))
    assert expected[[0, 48, 49, 73, 74, 98, 99]].tolist() == [1.5, 1.5, 3.0, 3.0, 5.5, 5.5, 9.0]
