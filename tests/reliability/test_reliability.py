"""A short version of the reliability runs, with fixed seeds: `make reliability` runs the long one."""

from __future__ import annotations

from random import Random

import pytest

from tests.reliability.damaged_inputs import read_damaged as read_damaged_input
from tests.reliability.damaged_stages import read_damaged, repair
from tests.reliability.full_disks import fill
from tests.reliability.harness import SCORE, SELECT, STAGES
from tests.reliability.kills import kill
from tests.reliability.tally import Tally
from tests.reliability.two_writers import write_twice
from tests.reliability.workshop import Workshop

pytestmark = pytest.mark.slow

STAGE = {stage.name: stage for stage in STAGES}


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    made = Workshop(tmp_path_factory.mktemp("reliability"))
    yield made
    made.stop()


@pytest.mark.parametrize(
    ("disturb", "subject"),
    [
        *((kill, STAGE[name]) for name in ("score", "select --grid", "oracle --lora-r", "train", "evaluate", "query")),
        (write_twice, SELECT),
        (write_twice, STAGE["evaluate"]),
        (fill, SCORE),
        (fill, STAGE["train"]),
        (repair, SCORE),
        (read_damaged, SELECT),
        (read_damaged_input, "stream.arrow"),
    ],
    ids=lambda part: getattr(part, "name", getattr(part, "__name__", str(part))),
)
def test_nothing_is_lost_and_nothing_is_wrong(workshop, disturb, subject):
    tally = Tally(disturb.__name__, str(subject))
    disturb(workshop, subject, Random(0), tally)  # noqa: S311 - faults are no secret
    assert not tally.problems, "\n".join(tally.problems)
    assert tally.runs
