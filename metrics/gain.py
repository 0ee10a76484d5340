"""Shares of a gain: how much of a difference of divergences a model gains. Where there is nothing to gain, the share
says nothing, and is missing, with the reason.

Shape letters: n units (documents, pairs), M places, A answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldbench.core.metric import Score
from worldbench.core.statistics import Z95, gain_interval

LEAST = 1e-6
"""The least gain, in nats a unit. Smaller ones are rounding: logits are float32."""


def single_law_kl(law: np.ndarray) -> np.ndarray:
    """KL(law || mean of all laws) of each row, float64 [M], in nats. law: [M, A]. The mean is the best that a model can
    predict if it gives one law at every place, whatever the prefix."""
    mean = law.mean(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(law > 0, law * np.log(law / mean), 0.0).sum(axis=1)


@dataclass(frozen=True)
class Gain:
    """What a model gains by its own hidden state, in sums of KL over each unit: float [n] each.

    own: the KL read off the hidden state of the prefix itself. other: read off the hidden state of another prefix.
    single: the KL of one law at every place (`single_law_kl`). over: the units, a plural noun.
    """

    own: np.ndarray
    other: np.ndarray
    single: np.ndarray
    over: str

    def take(self, units: np.ndarray) -> Gain:
        """The gain over some of the units (indices)."""
        return Gain(self.own[units], self.other[units], self.single[units], self.over)

    @property
    def absent(self) -> str | None:
        """Why there is no gain of which anything could have a share. None if there is one.

        Two conditions, each by a 95% interval over the units. The model must know more than one law for all prefixes.
        An untrained network does not, even if its predictions happen to fit a prefix better than another. And its
        own hidden state must predict better than the state of another prefix: this is the denominator of the share.
        """
        if len(self.own) < 2:
            return f"there are too few {self.over} to tell whether the hidden states of the model predict anything"
        if not _above_zero(self.single - self.own):
            share = float(self.own.sum() / self.single.sum()) if self.single.sum() > 0 else np.inf
            return (
                "the hidden states of the model predict no better than one law for all prefixes "
                f"({share:.2g} times its divergence): there is nothing to take a share of"
            )
        if not _above_zero(self.other - self.own):
            return (
                "the hidden states of the model predict no better than those of another prefix: there is nothing to "
                "take a share of"
            )
        return None

    def share(self, reached: np.ndarray) -> Score:
        """(other - reached) / (other - own), summed over units, with an interval that has the variance of both.

        reached: sums of KL over each unit, [n]. 1: as good as the own hidden state. 0: no better than the state of
        another prefix. Cut off at 1: what predicts better than the own hidden state has all of the gain. Missing, with
        the reason, where there is no gain (`absent`).
        """
        return self._share(self.other, reached)

    def kept(self, reached: np.ndarray) -> Score:
        """(single - reached) / (single - own): `share` with another zero. 0: no better than one law for all prefixes.
        Below 0, what was reached misleads more than knowing nothing. A law that is sure of the wrong token does so, and
        still has a high `share` if the states of other prefixes are as sure."""
        return self._share(self.single, reached)

    def _share(self, zero: np.ndarray, reached: np.ndarray) -> Score:
        if (reason := self.absent) is not None:
            return Score.missing(reason, len(self.own))
        found = gain_interval(zero - reached, zero - self.own)
        assert found.interval is not None  # the interval of the denominator does not contain 0
        low, high = found.interval
        return Score(min(found.value, 1.0), found.n, (min(low, 1.0), min(high, 1.0)), self.over)


def _above_zero(values: np.ndarray) -> bool:
    """Does the normal 95% interval of the mean of values [n >= 2] lie above 0, by more than rounding? (Where it does,
    the interval of a share of this gain is bounded: `gain_interval`.)"""
    mean = float(np.mean(values))
    return bool(np.isfinite(mean)) and mean - Z95 * float(np.std(values, ddof=1)) / len(values) ** 0.5 > LEAST
