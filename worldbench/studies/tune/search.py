"""The settings that are tuned, their bounds, and the settings of each trial. All objectives use the same random
draws."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.settings.job import Job

SHARED = {"train.learning_rate": 8.0, "train.weight_decay": 32.0}
"""Settings that every objective has, and a factor: values are drawn from value / factor to value x factor."""
MUON = {"train.muon_rate": 8.0}
"""The same for a setting that is also shared where `train.optimizer` is muon."""
LAMBDA = "lambda"
"""Options of a model whose names start with this word are weights of loss terms."""
LAMBDA_FACTOR = 10.0
COORDINATES = 32
"""Dimensions of the Sobol sequence that all objectives use. The first ones are the shared settings. The weights of
an objective follow, in the order of its fields."""
DIGITS = 3
NARROWER = 0.5
"""The ranges of further trials have this share of the width of the first ones, on the logarithmic scale."""


@dataclass(frozen=True)
class Range:
    """A setting `group.field`, drawn log-uniformly between two bounds.

    start: the value in trial 0. coordinate: the dimension of the sequence.
    """

    option: str
    start: float
    low: float
    high: float
    coordinate: int

    def at(self, uniform: float) -> float:
        """The value at a uniform number in [0, 1], to three significant digits."""
        return float(f"{self.low * (self.high / self.low) ** uniform:.{DIGITS}g}")


def space(job: Job) -> list[Range]:
    """The tuned settings of a job: learning rates, weight decay and loss weights. A setting of value 0 is not tuned."""
    shared = SHARED | (MUON if job.value("train.optimizer") == "muon" else {})
    options = {option: (factor, i) for i, (option, factor) in enumerate(shared.items())}
    own = weights(type(job.groups["model"])) if "model" in job.groups else []
    if len(own) > COORDINATES - len(shared):
        raise InputError(
            f"{job.model} has {len(own)} weights to tune; at most {COORDINATES - len(shared)} can be tuned"
        )
    options |= {f"model.{name}": (LAMBDA_FACTOR, i) for i, name in enumerate(own, start=len(shared))}
    starts = {option: float(job.value(option)) for option in options}
    return [
        Range(o, starts[o], starts[o] / factor, starts[o] * factor, i)
        for o, (factor, i) in options.items()
        if starts[o] > 0
    ]


def weights(config: type) -> list[str]:
    """The options of a model that are weights of loss terms: floats whose name starts with `lambda`."""
    hints = typing.get_type_hints(config)
    return [f.name for f in dataclasses.fields(config) if f.name.startswith(LAMBDA) and hints[f.name] is float]


def draws(ranges: list[Range], trials: int) -> list[dict[str, float]]:
    """The settings of each trial, by option. Trial 0 has the settings of the job. With more trials, the first trials
    stay.

    The other trials are points of one scrambled Sobol sequence (Sobol 1967; Owen, J. Complexity 1998). So trial t
    has the same learning rate and weight decay for all objectives whose presets agree.
    """
    return [{r.option: r.start for r in ranges}, *_points(ranges, trials - 1, "settings")]


def around(ranges: list[Range], best: dict[str, float]) -> list[Range]:
    """The ranges of further trials, with the settings `best` in the middle. They are narrower than the first ranges,
    but go beyond them where the best value lies near an end."""
    found = []
    for r in ranges:
        start, factor = best[r.option], (r.high / r.start) ** NARROWER
        found.append(Range(r.option, start, start / factor, start * factor, r.coordinate))
    return found


def more_draws(ranges: list[Range], trials: int) -> list[dict[str, float]]:
    """The settings of further trials: the same points of one sequence for all objectives, each in its own ranges. With
    more trials, the first ones stay."""
    return _points(ranges, trials, "further")


def _points(ranges: list[Range], n: int, name: str) -> list[dict[str, float]]:
    """The first n points of a scrambled Sobol sequence, in the ranges."""
    import numpy as np
    from scipy.stats import qmc

    # scipy spawns generators from this one, so it cannot be made from a Philox key. scipy 1.15 renamed the argument to
    # rng and still accepts seed.
    rng = np.random.default_rng(streams.integer("tune", name))
    sequence = qmc.Sobol(COORDINATES, scramble=True, seed=rng)  # type: ignore[call-arg]
    points = sequence.random_base2(max(n - 1, 0).bit_length())
    return [{r.option: r.at(p[r.coordinate]) for r in ranges} for p in points[:n]]
