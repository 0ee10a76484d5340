"""Which settings are tuned, between which bounds, and the settings of each trial: the same draws for every
objective."""

from __future__ import annotations

import dataclasses
import typing
from dataclasses import dataclass

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.settings.job import Job

SHARED = {"train.learning_rate": 8.0, "train.weight_decay": 32.0}
"""What every objective has, and how far from the preset it is drawn: value / factor .. value x factor."""
LAMBDA = "lambda"
"""Fields of a model's options whose name starts so are the weights of its objective's terms."""
LAMBDA_FACTOR = 10.0
COORDINATES = 32
"""Of the one sequence that all objectives read: the shared settings first, then each its own weights, in the order of
its fields."""
DIGITS = 3


@dataclass(frozen=True)
class Range:
    """A setting `group.field`, log-uniform between two bounds about the value that it has in trial 0. coordinate: of
    the sequence."""

    option: str
    start: float
    low: float
    high: float
    coordinate: int

    def at(self, uniform: float) -> float:
        """The value at 0 <= uniform <= 1, to three significant digits."""
        return float(f"{self.low * (self.high / self.low) ** uniform:.{DIGITS}g}")


def space(job: Job) -> list[Range]:
    """The settings of a job that are tuned: learning rate, weight decay and its objective's weights. What is 0 is
    switched off, and stays so."""
    options = {option: (factor, i) for i, (option, factor) in enumerate(SHARED.items())}
    own = weights(type(job.groups["model"])) if "model" in job.groups else []
    if len(own) > COORDINATES - len(SHARED):
        raise InputError(f"{job.model} has {len(own)} weights to tune; there are draws for {COORDINATES - len(SHARED)}")
    options |= {f"model.{name}": (LAMBDA_FACTOR, i) for i, name in enumerate(own, start=len(SHARED))}
    starts = {option: float(job.value(option)) for option in options}
    return [
        Range(o, starts[o], starts[o] / factor, starts[o] * factor, i)
        for o, (factor, i) in options.items()
        if starts[o] > 0
    ]


def weights(config: type) -> list[str]:
    """The fields of a model's options that are weights of its objective's terms: floats whose name starts with
    `lambda`."""
    hints = typing.get_type_hints(config)
    return [f.name for f in dataclasses.fields(config) if f.name.startswith(LAMBDA) and hints[f.name] is float]


def draws(ranges: list[Range], trials: int) -> list[dict[str, float]]:
    """The settings of each trial, by option. Trial 0 is the job as it stands. More trials begin with the same ones.

    The others are points of one scrambled Sobol sequence (Sobol 1967; Owen, J. Complexity 1998), so that trial t has
    the same learning rate and weight decay for every objective whose presets agree in them.
    """
    import numpy as np
    from scipy.stats import qmc

    # scipy spawns from the generator that it is given, which one made from a key cannot do. Its name is rng from 1.15
    # on, and seed goes on to be taken.
    rng = np.random.default_rng(streams.integer("tune", "settings"))
    sequence = qmc.Sobol(COORDINATES, scramble=True, seed=rng)  # type: ignore[call-arg]
    points = sequence.random_base2(max(trials - 2, 0).bit_length())
    return [
        {r.option: r.start for r in ranges},
        *({r.option: r.at(p[r.coordinate]) for r in ranges} for p in points[: trials - 1]),
    ]
