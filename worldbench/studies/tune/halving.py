"""Successive halving with one cut (Jamieson and Talwalkar, AISTATS 2016): many short trainings first, then few full
ones.

Every trial is trained with a part of the steps, on one seed. The preset and the best other trials are then trained in
full, on all seeds. So 24 trials of 2 seeds cost 12 full trainings with `--halving 6`, in place of 48.
"""

from __future__ import annotations

from worldbench.core.errors import InputError
from worldbench.settings.job import Job
from worldbench.studies.tune.criterion import Criterion


def finalists_of(trials: int, halving: int) -> int:
    """The number of trials that are trained in full, the preset included."""
    return trials // halving


def check(trials: int, halving: int) -> None:
    """Raises InputError if halving leaves no trial beside the preset."""
    if halving < 1:
        raise InputError(f"--halving must be at least 1, not {halving}; 1 trains every trial in full")
    if finalists_of(trials, halving) < 2:
        raise InputError(
            f"--halving {halving} leaves {finalists_of(trials, halving)} of {trials} trials, and the preset is one of "
            f"them; it must leave 2 or more: choose --halving {max(1, trials // 2)} or less, or more --trials"
        )


def short_job(job: Job, halving: int) -> Job:
    """A job with 1 / halving of the steps. The warm-up, which is a number of steps, is shortened in the same way.

    Raises InputError if less than one step is left.
    """
    steps, warmup = job.value("train.steps"), job.value("train.warmup")
    if steps < halving:
        raise InputError(f"--halving {halving} leaves less than one step of --train.steps {steps}; choose less")
    return job.changed({"train.steps": round(steps / halving), "train.warmup": round(warmup / halving)})


def finalists(values: list[float | None], criterion: Criterion, halving: int) -> list[int]:
    """The trials that are trained in full, in increasing order: trial 0, and the best others by their short training.

    values: of the short trainings, by trial. The number of finalists does not depend on the values, so every model has
    the same budget: where too few trials have a finite value, the first of the others fill the places.
    """
    left, chosen = dict(enumerate(values)), [0]
    while len(chosen) < finalists_of(len(values), halving):
        left = {number: value for number, value in left.items() if number not in chosen}
        best = criterion.best(list(left.values()))
        chosen.append(list(left)[0 if best is None else best])
    return sorted(chosen)
