"""How often the interval of a score holds the truth, measured over many evaluations of one model.

The truth is the mean of the score over the evaluations. So the random draws of an evaluation (documents, prompts,
histories, tokens, fits) must be what the interval is about.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from worldbench.baselines.blurred import Blurred
from worldbench.baselines.corrupted import Corrupted, CorruptedConfig
from worldbench.baselines.options import GPTConfig
from worldbench.baselines.references import RandomLegal
from worldbench.baselines.untrained import make_untrained
from worldbench.core.eval_config import eval_config
from worldbench.core.metric import Score
from worldbench.core.model import HasHidden
from worldbench.core.registry import metrics, worlds
from worldbench.core.world import Automaton
from worldbench.metrics.evaluation import Evaluation

REQUIRED = 0.90


def least(repeats: int) -> float:
    """The least share of intervals that hold the truth, so that a true share of REQUIRED fails in 5 of 100 tests: the
    share minus 1.64 standard errors of a binomial share."""
    return REQUIRED - 1.64 * (REQUIRED * (1 - REQUIRED) / repeats) ** 0.5


@dataclass(frozen=True)
class Covered:
    """One score over many evaluations. with_interval: evaluations that give an interval; held: of these, how many hold
    the truth. without: evaluations with a finite value and no interval. missing: with no value, or an infinite one."""

    truth: float
    held: int
    with_interval: int
    without: int
    missing: int
    over: str = ""

    @property
    def share(self) -> float:
        return self.held / self.with_interval

    def line(self, name: str) -> str:
        """For tables of measured coverage."""
        return f"{name:45} {self.truth:9.4f} {self.share:6.3f} {self.with_interval:4} {self.over}"


def coverage(scores: Iterable[Score]) -> Covered:
    """Counts over evaluations of one score."""
    scores = list(scores)
    known = [s for s in scores if np.isfinite(s.value)]
    truth = float(np.mean([s.value for s in known])) if known else np.nan
    ends = [s.interval for s in known if s.interval is not None]
    held = sum(low - 1e-9 <= truth <= high + 1e-9 for low, high in ends)
    over = "/".join(sorted({s.over for s in known if s.interval is not None}))
    return Covered(truth, held, len(ends), len(known) - len(ends), len(scores) - len(known), over)


def lonely(world: Any) -> Any:
    """A small untrained network. A twin, the control of probes, would differ in every evaluation."""
    model = make_untrained(world, GPTConfig(layers=1, heads=2, width=16), 1)
    model.untrained = lambda seed: None  # type: ignore[method-assign]
    return model


@dataclass(frozen=True)
class Case:
    """A small world, a cheap wrong model, a blurred one for metrics of hidden states, and the metrics to evaluate.

    damage: of the wrong model. None, for a world without a law: random-legal, or an untrained network (without a twin)
    where the world has no states either.
    """

    world: str
    options: dict[str, Any]
    damage: dict[str, Any] | None
    sizes: dict[str, Any]
    metrics: tuple[str, ...]

    @cache  # noqa: B019 (one for each case, as long as the tests run)
    def built(self) -> tuple[Any, dict[str, Any]]:
        """The world, and by metric the model that it scores."""
        entry = worlds[self.world]
        world = entry.load()(entry.load_config()(**self.options))
        if self.damage is None:
            model: Any = RandomLegal(world) if isinstance(world, Automaton) else lonely(world)
            return world, dict.fromkeys(self.metrics, model)
        wrong, plain, made = (
            Corrupted(world, CorruptedConfig(**self.damage), 1),
            Blurred(world, 1.0, 1),
            Blurred(world, 0.5, 1, made=True),
        )
        models = {}
        for name in self.metrics:
            needs = metrics[name].load().needs_of_model
            models[name] = wrong if not needs else plain if needs == (HasHidden,) else made
        return world, models

    def __hash__(self) -> int:
        return hash((self.world, self.metrics))

    def scores(self, repeats: int, names: Iterable[str] | None = None) -> dict[str, list[Score]]:
        """Every score of every metric in each of `repeats` evaluations, by `metric.score`."""
        world, models = self.built()
        out: dict[str, list[Score]] = defaultdict(list)
        for seed in range(repeats):
            shared: dict[int, Evaluation] = {}
            for name in names or self.metrics:
                model, settings = models[name], eval_config(seed=seed, **self.sizes)
                evaluation = shared.setdefault(id(model), Evaluation(world, model, settings))
                for key, score in metrics[name].load().measure(evaluation).scores.items():
                    out[f"{name}.{key}"].append(score)
        return out


def synthetic(draw: Callable[[], Score], truth: float, repeats: int) -> Covered:
    """The coverage of a score of synthetic data whose truth is known."""
    ends = [score.interval for score in (draw() for _ in range(repeats)) if score.interval is not None]
    assert all(low < high for low, high in ends), "an interval has a width"
    return Covered(truth, sum(low <= truth <= high for low, high in ends), len(ends), repeats - len(ends), 0)
