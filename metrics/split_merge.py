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

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import Able, HasHistories, HasLaw
from worldbench.core.metric import Damage, Expectation, Metric, Report, Score
from worldbench.core.model import SequenceModel
from worldbench.core.options import require_at_least, small
from worldbench.core.statistics import Z95
from worldbench.core.text import counted
from worldbench.core.world import Automaton, Documents
from worldbench.metrics.acceptance import draw_pairs
from worldbench.metrics.component_pairs import component_pairs
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.pair_suffixes import suffixes_of
from worldbench.metrics.prefix_pairs import POOL, cut, last_tokens, prefix_pool, within
from worldbench.metrics.suffixes import score_suffixes, take

CLIP = 3.0
FEWEST = 20
LEAST_TRUTH = 1e-12
"""The least mean square difference of the laws, in squared nats. Smaller ones are rounding."""
SAME_LAW = "the exact law is the same after both prefixes of every pair: there is nothing to tell apart"


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
    """For each pair E (D_M - D_W)^2, E D_W^2, E D_M^2, and the number of suffixes: float64 [4, N]."""
    n = len(first)
    s = suffixes_of(world, world.after(first), world.after(second), longest, limit, seed, name)
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

    Pairs for split: prefixes of held-out documents at random (`split`), and *aliased* pairs (`split_aliased`). An
    aliased pair has the same next-token law and the same last two tokens, but two different states, so only a state can
    tell its prefixes apart. Where the world has components (HasComponents), `split_component` is over pairs whose
    beliefs inside every component are nearly the same, and whose probabilities of the components differ.
    Pairs for merge come from backward walks, or, where the world has none, from held-out prefixes that lead to one
    state.

    Sees: whether differences between states show in the distribution of what follows, also where the same tokens are
    possible. Cannot see: what prefixes change beyond the next five tokens.
    """

    name, version, direction = "split_merge", 1, "higher"
    primary = "split"
    needs = (Automaton, HasLaw)
    floor = "uniform"
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (
            Expectation("split", 1 - 1e-6, 1),
            Expectation("merge", 1 - 1e-6, 1),
            Expectation("split_aliased", 1 - 1e-6, 1),
            Expectation("split_component", 1 - 1e-6, 1),
        ),
        "uniform": (
            Expectation("split", 0, 0),
            Expectation("merge", 1, 1),
            Expectation("split_aliased", 0, 0),
            Expectation("split_component", 0, 0),
        ),
        "random-legal": (Expectation("split", -10, 0.999),),
    }
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage("split", worse=("deleted", "added", "rewired", "noise"), monotone=True),
        Damage("merge", worse=("noise",)),
    )

    def measure(self, evaluation: Evaluation) -> Report:
        world, c, seed = evaluation.world, evaluation.settings, evaluation.seed
        report = Report({})

        def errors_of(pairs: tuple[Documents, Documents], name: str) -> np.ndarray:
            return errors(world, evaluation.model, *pairs, c.suffix_tokens, c.suffix_limit, seed, name)

        random = self._random(world, seed, c.pairs)
        if not len(random[0]):
            return Report(
                {"split": Score(float("nan"), 0)},
                notes=[f"all of {c.pairs} pairs of prefixes lead to one state each: nothing to tell apart"],
            )
        split = errors_of(random, "split random")
        report.scores["split"] = _one_minus(split[0], split[1])
        report.arrays |= {"split_error": split[0], "split_truth": split[1], "suffixes": split[3]}
        pool, key, alike = prefix_pool(world, seed)
        found, alike = len(alike), alike[: c.pairs]
        if found >= FEWEST:
            aliased = errors_of((take(pool, alike[:, 0]), take(pool, alike[:, 1])), "split aliased")
            report.scores["split_aliased"] = _one_minus(aliased[0], aliased[1])
            report.arrays |= {"aliased_error": aliased[0], "aliased_truth": aliased[1]}
        else:
            report.notes.append(
                f"no split_aliased: only {counted(found, 'aliased pair', commas=False)} among {POOL:,} prefixes"
            )
        apart = component_pairs(world, pool, seed)
        if apart is not None and len(apart) >= FEWEST:
            chosen = apart[: c.pairs]
            component = errors_of((take(pool, chosen[:, 0]), take(pool, chosen[:, 1])), "split component")
            report.scores["split_component"] = _one_minus(component[0], component[1])
            report.arrays |= {"component_error": component[0], "component_truth": component[1]}
        elif apart is not None:
            pairs = counted(len(apart), "pair of prefixes differs", "pairs of prefixes differ", commas=False)
            report.notes.append(f"no split_component: only {pairs} in the component alone")
        same = self._same(world, seed, c.pairs, pool, key)
        if len(same[0]) >= min(FEWEST, c.pairs):
            if len(same[0]) < c.pairs:
                report.notes.append(
                    f"merge over {len(same[0])} pairs: of {c.pairs} the others lead nowhere twice, or end "
                    "in the same three tokens"
                )
            merged = errors_of(same, "merge")[2]
            value, truth = float(merged.mean()), float(split[1].mean())
            report.scores["merge"] = Score.missing(SAME_LAW, len(merged))
            if truth > LEAST_TRUTH:
                half = Z95 * float(np.std(merged, ddof=1)) / len(merged) ** 0.5 / truth
                report.scores["merge"] = Score(
                    1 - value / truth, len(merged), (1 - value / truth - half, 1 - value / truth + half)
                )
            report.arrays["merge_error"] = merged
        else:
            pairs = counted(len(same[0]), "pair of prefixes leads", "pairs of prefixes lead", commas=False)
            report.notes.append(f"no merge: only {pairs} to one state with different last tokens")
        return report

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
    """1 - mean error / mean truth, with the interval of the ratio by linearization. Missing where the truth is 0."""
    if not truth.mean() > LEAST_TRUTH:
        return Score.missing(SAME_LAW, len(truth))
    r = Score.ratio(error, truth, over="pairs")
    return Score(1 - r.value, r.n, None if r.interval is None else (1 - r.interval[1], 1 - r.interval[0]), r.over)


METRIC = SplitMerge()
