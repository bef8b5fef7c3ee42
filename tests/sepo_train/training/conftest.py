"""Tests of training: what is tested elsewhere and takes most of the time of a tiny run is made short."""

import pytest


@pytest.fixture(scope="module", autouse=True)
def _short_runs(request):
    """Draw no curve (publishing/test_curve.py does) and sample few short answers, except where drift is the subject."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sepo_train.training.checkpoint.draw_curve", lambda _metrics, _picture: True)
        if not request.module.__name__.endswith("test_drift"):
            patch.setattr("sepo_train.training.drift.MAX_PROMPTS", 3)
            patch.setattr("sepo_train.training.drift.MAX_ANSWER_TOKENS", 6)
        yield
