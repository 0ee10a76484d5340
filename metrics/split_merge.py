"""Split fidelity and merge: does the model's distribution over the next few tokens differ between two prefixes as the
law of the world does, and agree where the law agrees?

For prefixes p, q and suffixes x of a few tokens, weighted half by law(x | p) and half by law(x | q):

    D_W(x) = clip(log law(x | p) - log law(x | q), -3, 3);      D_M(x) is the same for the model
    split  = 1 - E (D_M - D_W)^2 / E D_W^2         over pairs in different states
    merge  = 1 - E_same D_M^2 / E_different D_W^2  E_same: over pairs in one state whose last three tokens differ

The exact law has split 1 and merge 1. A model that ignores its context has split 0 and merge 1, so merge alone says
nothing.

Shape letters: N pairs, M suffixes, K tokens, A actions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import Able, HasComponents, HasGoals, HasHistories, HasLaw, lacking
from worldbench.core.metric import Damage, Direction, Expectation, Metric, Report, Score
from worldbench.core.model import SequenceModel
from worldbench.core.options import require_at_least, small
from worldbench.core.statistics import skewed_bounds
from worldbench.core.text import counted
from worldbench.core.world import Automaton, Documents
from worldbench.metrics.acceptance import draw_pairs, room
from worldbench.metrics.component_pairs import component_pairs
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.goal_pairs import goal_pairs
from worldbench.metrics.pair_suffixes import suffixes_of
from worldbench.metrics.prefix_pairs import POOL, cut, last_tokens, prefix_pool, within
from worldbench.metrics.suffixes import score_suffixes, take

CLIP = 3.0
FEWEST = 20
LEAST_TRUTH = 1e-12
"""The least mean square difference of the laws, in squared nats. Smaller ones are rounding."""
SAME_LAW = "the exact law is the same after both prefixes of every pair: there is nothing to tell apart"
PAIR_WORDS = {
    "split_aliased": ("aliased pair", "aliased pairs"),
    "split_component": ("pair that differs in the component alone", "pairs that differ in the component alone"),
}
STRICTEST = ("split_same_place", "split_aliased", "split_component", "split")
"""The strata of pairs, from the pairs that look most alike to the pairs that look least alike."""


def _difference(log_p: np.ndarray) -> np.ndarray:
    """clip(log p - log q) from float64 [2, M]; 0 where both are impossible."""
    with np.errstate(invalid="ignore"):
        d = log_p[0] - log_p[1]
    return np.clip(np.where(np.isnan(d), 0.0, d), -CLIP, CLIP)


def errors(
    world: Able,
    model: SequenceModel,
    first: Documents,
    second: Documents,
    longest: int,
    limit: int,
    seed: int,
    name: str,
) -> np.ndarray:
    """For each pair E (D_M - D_W)^2, E D_W^2, E D_M^2, and the number of suffixes: float64 [4, N]. longest: of the
    suffixes, in tokens; fewer where the context has no room for more."""
    n = len(first)
    fits = np.minimum(room(world, first, second), longest)
    s = suffixes_of(world, world.after(first), world.after(second), fits, limit, seed, name)
    d_world = _difference(s.log_law)
    d_model = _difference(
        np.stack([score_suffixes(model, d, s.owner, s.tokens, s.length).sum(axis=1) for d in (first, second)])
    )
    squares = ((d_model - d_world) ** 2, d_world**2, d_model**2)
    return np.stack(
        [*(np.bincount(s.owner, s.weight * x, minlength=n) for x in squares), np.bincount(s.owner, minlength=n)]
    )


@dataclass(frozen=True, kw_only=True)
class PairOptions:
    """Pairs of prefixes, and the suffixes that they are compared on."""

    pairs: int = field(default=500, metadata=small(100))
    """Number of pairs of prefixes in each stratum of split_merge."""
    suffix_tokens: int = 5
    """Length in tokens of the longest suffix on which the two prefixes of a pair are compared."""
    suffix_limit: int = 1024
    """Largest number of suffixes for each pair. If a pair has more suffixes, a sample of this size is drawn."""

    def __post_init__(self) -> None:
        require_at_least(self, "eval", 1, "pairs", "suffix_tokens", "suffix_limit")


class SplitMerge(Metric):
    """Split fidelity and merge; the module defines both.

    Pairs for split: prefixes of held-out documents at random (`split`); *aliased* pairs (`split_aliased`), which have
    the same next-token law and the same last two tokens, but two different states; and, in worlds with goals, pairs at
    the *same place* (`split_same_place`): a prefix, and the same tokens after a prompt with another goal. Where the
    world has components (HasComponents), `split_component` is over pairs whose beliefs inside every component are
    nearly the same, and whose probabilities of the components differ. Random pairs differ in the legal tokens, which is
    easy to see. `split_strict` is the split over the pairs that look most alike: the first of same place, aliased,
    component and random of which the world has pairs. A model that ignores the goal has 0 at the same place. Pairs for
    merge come from backward walks, or, where the world has none, from held-out prefixes that lead to one state.

    Sees: whether differences between states show in the distribution of what follows, also where the same tokens are
    possible. Cannot see: what prefixes change beyond the next five tokens, or beyond the context. Noise hardly shows in
    `split` and `merge` where a law rarely leaves a choice.
    """

    name, version, direction = "split_merge", 2, "higher"
    primary = "split_strict"
    directions: ClassVar[dict[str, Direction]] = {"split*": "higher"}
    needs = (Automaton, HasLaw)
    floor = "uniform"
    apart = True
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (
            Expectation("split_strict", 1 - 1e-6, 1),
            Expectation("split", 1 - 1e-6, 1),
            Expectation("merge", 1 - 1e-6, 1),
            Expectation("split_aliased", 1 - 1e-6, 1),
            Expectation("split_same_place", 1 - 1e-6, 1),
            Expectation("split_component", 1 - 1e-6, 1),
        ),
        "uniform": (
            Expectation("split_strict", 0, 0),
            Expectation("split", 0, 0),
            Expectation("merge", 1, 1),
            Expectation("split_aliased", 0, 0),
            Expectation("split_same_place", 0, 0),
            Expectation("split_component", 0, 0),
        ),
        "random-legal": (
            Expectation("split_strict", -10, 0.999),
            Expectation("split", -10, 0.9999),
            Expectation("split_same_place", -10, 0.99),
        ),
    }
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage("split_strict", worse=("deleted", "rewired", "noise", "wrong_goal", "blind"), monotone=True),
        Damage("split_strict", worse=("late", "forgets", "temperature")),
        Damage("split", worse=("deleted", "rewired", "wrong_goal", "blind"), monotone=True),
        Damage("split", worse=("late", "forgets")),
        Damage("split_same_place", worse=("deleted", "rewired", "wrong_goal", "blind"), monotone=True),
        Damage("split_same_place", worse=("late", "forgets")),
        Damage("merge", worse=("deleted", "rewired", "wrong_goal"), unchanged=("leak", "temperature")),
    )

    def measure(self, evaluation: Evaluation) -> Report:
        world, c, seed = evaluation.world, evaluation.settings, evaluation.seed
        report = Report({})

        def errors_of(pairs: tuple[Documents, Documents], name: str) -> np.ndarray:
            return errors(world, evaluation.model, *pairs, c.suffix_tokens, c.suffix_limit, seed, name)

        def split(name: str, pairs: tuple[Documents, Documents], stream: str) -> np.ndarray:
            found = errors_of(pairs, stream)
            report.scores[name] = _one_minus(found[0], found[1])
            report.arrays |= {f"{name}_error": found[0], f"{name}_truth": found[1]}
            return found

        random = self._random(world, seed, c.pairs)
        if not len(random[0]):
            return Report({self.primary: Score.missing(f"each of {c.pairs} pairs of prefixes leads to one state")})
        found = split("split", random, "split random")
        truth, report.arrays["suffixes"] = found[1], found[3]
        pool, key, alike = prefix_pool(world, seed)
        of_pool = {"split_aliased": alike, "split_component": component_pairs(world, pool, seed)}
        for name, pairs in of_pool.items():
            if pairs is not None and len(pairs) >= FEWEST:
                chosen = pairs[: c.pairs]
                split(name, (take(pool, chosen[:, 0]), take(pool, chosen[:, 1])), name.replace("_", " "))
            elif pairs is not None:
                number = counted(len(pairs), *PAIR_WORDS[name], commas=False)
                report.scores[name] = Score.missing(f"only {number} among {POOL:,} prefixes", len(pairs))
            else:
                single = f"the world {world.name!r} has a single component"
                report.scores[name] = Score.missing(lacking((HasComponents,), world) or single)
        reason = lacking((HasGoals,), world)
        if reason is None:
            goals = goal_pairs(world, seed, c.pairs, "split goals")
            if len(goals[0]):
                split("split_same_place", goals, "split goals drawn")
            else:
                reason = f"no document could have another {world.goal} at its place"
        if reason is not None:
            report.scores["split_same_place"] = Score.missing(reason)
        strictest = next((x for x in STRICTEST if x in report.scores and not report.scores[x].reason), "split")
        report.scores["split_strict"] = report.scores[strictest]
        report.notes.append(f"split_strict is {strictest} here")
        self._merge(world, seed, c.pairs, pool, key, truth, errors_of, report)
        return report

    def _merge(
        self,
        world: Able,
        seed: int,
        count: int,
        pool: Documents,
        key: np.ndarray,
        truth: np.ndarray,
        errors_of: Callable[[tuple[Documents, Documents], str], np.ndarray],
        report: Report,
    ) -> None:
        """Adds the score of merge. truth: E D_W^2 of each pair in different states."""
        same = self._same(world, seed, count, pool, key)
        if len(same[0]) < min(FEWEST, count):
            pairs = counted(len(same[0]), "pair of prefixes leads", "pairs of prefixes lead", commas=False)
            reason = f"only {pairs} to one state with different last tokens"
            report.scores["merge"] = Score.missing(reason, len(same[0]))
            return
        if len(same[0]) < count:
            report.notes.append(
                f"merge over {len(same[0])} pairs: of {count} the others lead nowhere twice, or end "
                "in the same three tokens"
            )
        merged = errors_of(same, "merge")[2]
        report.scores["merge"] = _one_minus_apart(merged, truth)
        report.arrays["merge_error"] = merged

    @staticmethod
    def _random(world: Able, seed: int, count: int) -> tuple[Documents, Documents]:
        """Pairs of prefixes of held-out documents in different states."""
        uniform = streams.uniform(0, 2 * count, 1, "evaluation", seed, "split random")[:, 0]
        prefixes = cut(world, world.sample(seed, "test", 0, 2 * count), uniform)
        key = world.key(world.after(prefixes))[1]
        apart = np.flatnonzero((key[0::2] != key[1::2]).any(axis=1))
        return take(prefixes, 2 * apart), take(prefixes, 2 * apart + 1)

    @staticmethod
    def _same(world: Able, seed: int, count: int, pool: Documents, key: np.ndarray) -> tuple[Documents, Documents]:
        """Pairs of prefixes in one state whose last three tokens differ."""
        if isinstance(world, HasHistories):
            pairs = draw_pairs(world, seed, count, "merge", same=True)
            first, second = pairs.first, pairs.second
            keep = np.flatnonzero((last_tokens(first, 3) != last_tokens(second, 3)).any(axis=1))
            return take(first, keep), take(second, keep)
        chosen = within(key, streams.generator("evaluation", seed, "merge"))
        last = last_tokens(pool, 3)
        chosen = chosen[(last[chosen[:, 0]] != last[chosen[:, 1]]).any(axis=1)][:count]
        return take(pool, chosen[:, 0]), take(pool, chosen[:, 1])


def _one_minus(error: np.ndarray, truth: np.ndarray) -> Score:
    """1 - mean error / mean truth over the same pairs, with the interval of the ratio by linearization. Missing where
    the truth is 0."""
    if not truth.mean() > LEAST_TRUTH:
        return Score.missing(SAME_LAW, len(truth))
    r = Score.ratio(error, truth, over="pairs")
    return Score(1 - r.value, r.n, None if r.interval is None else (1 - r.interval[1], 1 - r.interval[0]), r.over)


def _one_minus_apart(error: np.ndarray, truth: np.ndarray) -> Score:
    """1 - mean error / mean truth, each over pairs of its own. The interval has the variance and the skewness of both
    means (delta method for two independent samples; degrees of freedom after Welch, Biometrika 1947). Missing where the
    truth is 0."""
    if not truth.mean() > LEAST_TRUTH:
        return Score.missing(SAME_LAW, len(error))
    ratio, fewest = float(error.mean() / truth.mean()), min(len(error), len(truth))
    if fewest < 2:
        return Score(1 - ratio, len(error))
    parts = (error, -ratio * truth)
    variances = [float(np.var(x, ddof=1)) / len(x) for x in parts]
    third = sum(float(np.mean((x - x.mean()) ** 3)) / len(x) ** 2 for x in parts)
    both = sum(variances)
    degrees = both**2 / sum(v**2 / (len(x) - 1) for v, x in zip(variances, parts)) if both > 0 else fewest - 1
    low, high = skewed_bounds(third / both**1.5 if both > 0 else 0.0, degrees)
    unit = math.sqrt(both) / float(truth.mean())
    return Score(1 - ratio, len(error), (1 - ratio + low * unit, 1 - ratio + high * unit), "pairs")


METRIC = SplitMerge()
