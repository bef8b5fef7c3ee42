"""A warning where the oracle prefers the rejected responses, and none where that may be an accident."""

import pyarrow as pa
import pytest

from sepo_train.scoring.direction import Direction


@pytest.mark.parametrize(
    ("above", "below", "equal", "warned"),
    [(92, 8, 0, False), (8, 92, 0, True), (40, 60, 0, False), (0, 25, 0, False), (0, 26, 0, True), (0, 0, 9, False)],
)
def test_the_direction(new_progress, above, below, equal, warned):
    told, direction = new_progress(), Direction()
    for margins in ([0.5] * above, [-0.5] * below, [0.0] * equal, []):
        direction.count(pa.table({"margin": pa.array(margins, pa.float32())}))
    direction.note(told)
    assert len(told) == warned
    assert all(f"in {below} of {above + below} pairs" in note for note in told)
