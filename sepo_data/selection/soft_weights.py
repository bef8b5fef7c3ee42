"""Soft weights beside a mask: the weight of each selected token. Unselected tokens weigh 0. float32, finite.

With s the reward that is high where a token is good: the reward on chosen, the negated reward on rejected:

- `softmax(temperature)`: w_i = k exp(s_i / temperature) / sum_j exp(s_j / temperature) over the k selected tokens of
  the response, so that their mean is 1. The temperature is in units of the reward; the smaller, the sharper. Our own.
- `tis(low, high)`: w_i = exp(clip(l_i, low, high)) on chosen and exp(-clip(l_i, low, high)) on rejected, with l_i =
  log p_oracle - log p_ref: the importance weight of TIS-DPO (arXiv 2410.04350) with k = 1, mu = 1 and mu = -1, between
  two contrastive models. Not normalised, as there.
- `linear(slope)`: w_i = max(0, 1 + slope s_i): the factor of TGDPO (arXiv 2506.14574), 1 + a beta r on chosen and
  1 - a beta r on rejected; beta is in the rewards already. Not normalised, as there; never below 0, which is ours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sepo_data.errors import SepoError
from sepo_data.selection.arguments import finite_number
from sepo_data.selection.ragged import Ragged, ragged

if TYPE_CHECKING:
    from collections.abc import Callable

    import polars as pl
    from numpy.typing import NDArray

LARGEST_WEIGHT = float(np.finfo(np.float32).max)

LOWEST_TEMPERATURE = 1e-9
"""A float32 divided by it is finite in float64."""

HIGHEST_EXPONENT = 80.0
"""exp(80) is finite in float32."""


@dataclass(frozen=True, slots=True)
class SoftWeights:
    """A formula and its constants; `str` is the text that `parse_weights` reads."""

    name: str
    constants: dict[str, float]
    formula: Callable[..., NDArray[np.float64]]

    def of(self, frame: pl.DataFrame, side: str, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
        """(tokens,) the weights of `side` in rows of a rewards dataset whose selected tokens are `mask`."""
        weights = self.formula(frame, side, mask, **self.constants)
        clipped = np.clip(np.where(mask, weights, 0.0), 0.0, LARGEST_WEIGHT)
        return clipped.astype(np.float32)

    def __str__(self) -> str:
        inside = ", ".join(f"{name}={value}" for name, value in self.constants.items())
        return f"{self.name}({inside})"


def softmax(temperature: str | float = 0.1) -> SoftWeights:
    """Softmax of the signed rewards over the selected tokens, times their number."""
    constants = _constants(temperature=temperature)
    if constants["temperature"] < LOWEST_TEMPERATURE:
        raise SepoError(f"temperature is {temperature}, below {LOWEST_TEMPERATURE}", "write softmax(temperature=0.1)")
    return SoftWeights("softmax", constants, _softmax)


def tis(low: str | float = -0.5, high: str | float = 1.5) -> SoftWeights:
    """The clipped importance weight of TIS-DPO."""
    constants = _constants(low=low, high=high)
    if not -HIGHEST_EXPONENT <= constants["low"] <= constants["high"] <= HIGHEST_EXPONENT:
        raise SepoError(f"low {low} and high {high} are no bounds", "write tis(low=-0.5, high=1.5)")
    return SoftWeights("tis", constants, _tis)


def linear(slope: str | float = 0.5) -> SoftWeights:
    """The factor of TGDPO, linear in the reward."""
    return SoftWeights("linear", _constants(slope=slope), _linear)


WEIGHTS: dict[str, Callable[..., SoftWeights]] = {"softmax": softmax, "tis": tis, "linear": linear}
"""The formulas by the name in `--token-weights`."""


def _signed(frame: pl.DataFrame, side: str) -> Ragged[Any]:
    rewards = ragged(frame[f"{side}_rewards"])
    values = rewards.values.astype(np.float64)
    return rewards.with_values(values if side == "chosen" else -values)


def _softmax(frame: pl.DataFrame, side: str, mask: NDArray[np.bool_], *, temperature: float) -> NDArray[np.float64]:
    scores = _signed(frame, side)
    scaled = np.where(mask, scores.values / temperature, -np.inf)
    filled = scores.lengths > 0
    highest = np.zeros(len(scores.lengths))
    if filled.any():
        highest[filled] = np.maximum.reduceat(scaled, scores.offsets[:-1][filled])
    # exp of the difference to the highest selected one: at most 1, so nothing overflows.
    powers = np.exp(np.where(mask, scaled - scores.per_token(highest), -np.inf))
    share = scores.sums(mask) / np.maximum(scores.sums(powers), np.finfo(np.float64).tiny)
    weights: NDArray[np.float64] = powers * scores.per_token(share)
    return weights


def _tis(frame: pl.DataFrame, side: str, mask: NDArray[np.bool_], *, low: float, high: float) -> NDArray[np.float64]:
    del mask
    oracle, ref = (ragged(frame[f"{side}_{model}_logps"]).values.astype(np.float64) for model in ("oracle", "ref"))
    ratio = np.clip(oracle - ref, low, high)
    return np.exp(ratio if side == "chosen" else -ratio)


def _linear(frame: pl.DataFrame, side: str, mask: NDArray[np.bool_], *, slope: float) -> NDArray[np.float64]:
    del mask
    return np.maximum(0.0, 1.0 + slope * _signed(frame, side).values)


def _constants(**given: str | float) -> dict[str, float]:
    return {name: finite_number(name, text, example=0.5) for name, text in given.items()}
