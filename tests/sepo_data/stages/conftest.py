"""Tables of the tests of stage directories."""

import pytest


@pytest.fixture
def tables(rewards_of):
    return [
        rewards_of([([3.0, 1.0], [0.5]), ([1.0], [-1.0, 2.0])], first=first, messages=True) for first in (0, 10, 20)
    ]
