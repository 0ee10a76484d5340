"""Sequence distinction (Vafa et al. 2024): does a model tell two states apart, by the suffixes that truly tell them
apart?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from worldbench.core.abilities import HasGoals, HasHistories, HasLaw
from worldbench.core.metric import Damage, Expectation, Metric, Report, Score
from worldbench.core.model import SequenceModel
from worldbench.core.options import require_at_least
from worldbench.core.world import Automaton
from worldbench.metrics.acceptance import (
    Boundary,
    Pairs,
    accepted_by,
    by_law,
    by_map,
    draw_pairs,
    room,
    true_boundary,
)
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.goal_pairs import goal_pairs
from worldbench.metrics.options import SuffixOptions
from worldbench.metrics.sampled_suffixes import Sampled, sample_suffixes
from worldbench.metrics.suffixes import accepted

RELEASED_SUFFIXES = 5


def recalled(model: SequenceModel, pairs: Pairs, boundaries: list[Boundary], eps: float) -> list[np.ndarray]:
    """For each boundary bool [M]: does the model accept a suffix after the first prefix, and not after the second?

    The suffixes of all boundaries are scored together, because most of them begin alike, and often they are the same.
    """
    width = max(b.tokens.shape[1] for b in boundaries)
    tokens = np.concatenate([np.pad(b.tokens, ((0, 0), (0, width - b.tokens.shape[1]))) for b in boundaries])
    owner, length = (np.concatenate([getattr(b, name) for b in boundaries]) for name in ("owner", "length"))
    hit = accepted(model, pairs.first, owner, tokens, length, eps)
    first = np.flatnonzero(hit)
    hit[first] = ~accepted(model, pairs.second, owner[first], tokens[first], length[first], eps)
    return np.split(hit, np.cumsum([len(b.owner) for b in boundaries])[:-1])


def per_trial(owner: np.ndarray, hit: np.ndarray, trials: int) -> tuple[np.ndarray, np.ndarray]:
    """The share of hits in each trial [trials], NaN for a trial without any suffix, and the number of suffixes of each
    trial."""
    count = np.bincount(owner, minlength=trials)
    with np.errstate(invalid="ignore"):
        return np.bincount(owner, hit, minlength=trials) / np.where(count, count, np.nan), count


@dataclass(frozen=True, kw_only=True)
class DistinctionOptions(SuffixOptions):
    """How long the boundary suffixes are."""

    recall_depth: int = 5
    """Recall of sequence_distinction counts boundary suffixes of at most this many tokens. A boundary suffix is a
    shortest suffix that is accepted after one prefix and not after the other."""

    def __post_init__(self) -> None:
        require_at_least(self, "eval", 1, "recall_depth")


@dataclass(frozen=True)
class Stratum:
    """What one stratum of pairs measures. For each truth ("map", "law"): precision and recall of each pair [N], NaN
    where a pair has no suffix to count, and the number of true boundary suffixes of each pair [N]."""

    sampled: Sampled
    precision: dict[str, np.ndarray]
    recall: dict[str, np.ndarray]
    boundary: dict[str, np.ndarray]
    released: tuple[np.ndarray, np.ndarray]
    """Precision of the first suffixes, and recall without `end`, by the map."""


def measure_stratum(evaluation: Evaluation, pairs: Pairs, name: str) -> Stratum:
    """Precision and recall for each pair. name: of the stream from which suffixes are sampled."""
    world: Automaton = evaluation.world
    model, c = evaluation.model, evaluation.settings
    first, second, n = world.after(pairs.first), world.after(pairs.second), len(pairs)
    depth = np.minimum(room(world, pairs.first, pairs.second), c.recall_depth)
    s = sample_suffixes(world, model, pairs, evaluation.seed, name, c.suffixes, c.eps)
    trial, suffix = np.nonzero(s.rejected)
    tokens, length = s.tokens[trial, suffix], s.length[trial, suffix]
    precision, recall, boundary = {}, {}, {}
    released = np.full(n, np.nan), np.full(n, np.nan)
    truths = {"map": by_map(world)} | ({"law": by_law(world, c.eps)} if isinstance(world, HasLaw) else {})
    boundaries = [true_boundary(world, accept, first, second, depth) for accept in truths.values()]
    hits = recalled(model, pairs, boundaries, c.eps)
    for (kind, accept), b, hit in zip(truths.items(), boundaries, hits):
        after = [
            accepted_by(world, accept, states.take(trial), tokens, length).all(axis=1) for states in (first, second)
        ]
        apart = np.asarray(after[0] & ~after[1])
        precision[kind], _ = per_trial(trial, apart, n)
        recall[kind], boundary[kind] = per_trial(b.owner, hit, n)
        if kind == "map":
            few = suffix < RELEASED_SUFFIXES
            moves = ~world.vocabulary.closes(b.tokens[np.arange(len(b.length)), b.length - 1])
            released = per_trial(trial[few], apart[few], n)[0], per_trial(b.owner[moves], hit[moves], n)[0]
    return Stratum(s, precision, recall, boundary, released)


def known(values: np.ndarray, reason: str) -> Score:
    """The mean over the pairs that have a value. reason: why none has."""
    values = values[~np.isnan(values)]
    return Score.share(values, over="pairs") if len(values) else Score.missing(reason)


NO_SUFFIX = "the model accepts every suffix that it gives after the first prefix also after the second"
NO_BOUNDARY = "no suffix of up to {} tokens tells the states of a pair apart"


class SequenceDistinction(Metric):
    """Precision and recall of the suffixes by which the model tells two states apart (the Myhill-Nerode boundary), with
    one history of each state.

    Precision: suffixes are sampled after prefix 1, and each is cut at its first token that is not accepted after prefix
    2. Precision is the share of these suffixes that truly tell the states apart, over pairs with such suffixes;
    `no_boundary_of_its_own` is the share of the other pairs. Recall: the share of the true boundary suffixes of up to 5
    tokens that the model accepts after prefix 1 and not after prefix 2, over pairs with such suffixes. `empty_boundary`
    is the share of the other pairs. (Vafa et al. count pairs without suffixes as 1, so a model that accepts everything
    has precision 1. `precision_map_paper` does the same.) Truth is the map (legal tokens, with `end`; Vafa et al.) or
    the law (probability above eps).

    In worlds with goals, the scores `.._same_place_..` use other pairs: a held-out document without its last 1 to 5
    tokens, and the same tokens after a prompt with another goal. Only the goal tells these states apart. The map does
    so only at `end`: by the map, the same moves are legal whatever the goal is, so map-truth cannot see whether a model
    moves toward the goal.

    Sees: states that are confused, and, at the same place, goals that are confused. Cannot see: histories of one state
    that are split apart (compression sees that). Read neither score alone. Variants of the released code of Vafa et
    al.: recall without `end`, precision of 5 suffixes.
    """

    name, version, direction = "sequence_distinction", 2, "higher"
    primary, beside = "recall_map", ("recall_same_place_law",)
    needs = (Automaton, HasHistories)
    floor = "uniform"
    apart = True
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (
            Expectation("precision_law", 1, 1),
            Expectation("recall_law", 1, 1),
            Expectation("precision_map", 0.7, 1),
            Expectation("precision_same_place_law", 1, 1),
            Expectation("recall_same_place_law", 1, 1),
        ),
        "random-legal": (
            Expectation("precision_map", 1, 1),
            Expectation("recall_map", 1, 1),
            Expectation("recall_same_place_map", 1, 1),
        ),
        "uniform": (
            Expectation("precision_map_paper", 1, 1),
            Expectation("recall_map", 0, 0),
            Expectation("recall_law", 0, 0),
            Expectation("recall_same_place_map", 0, 0),
            Expectation("recall_same_place_law", 0, 0),
        ),
    }
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage("recall_map", worse=("deleted", "rewired", "late"), monotone=True),
        Damage(
            "recall_law",
            worse=("deleted", "rewired", "noise", "wrong_goal", "blind", "late", "forgets", "leak"),
            monotone=True,
        ),
        Damage("precision_law", worse=("rewired", "wrong_goal", "late")),
        Damage(
            "recall_same_place_map",
            worse=("deleted", "rewired", "wrong_goal", "blind", "late"),
            monotone=True,
        ),
        Damage(
            "recall_same_place_law",
            worse=("deleted", "added", "rewired", "wrong_goal", "blind", "late", "forgets", "leak"),
            monotone=True,
        ),
        Damage("precision_same_place_law", worse=("rewired", "wrong_goal", "late")),
    )

    def measure(self, evaluation: Evaluation) -> Report:
        world, c = evaluation.world, evaluation.settings
        pairs = draw_pairs(world, evaluation.seed, c.structure_trials, "distinction", same=False)
        if not len(pairs):
            return pairs.empty_report(self.primary)
        found = measure_stratum(evaluation, pairs, "distinction")
        report = Report({})
        for kind in found.precision:
            report.scores |= self._scores(found, kind, "", c.recall_depth)
            report.scores[f"empty_boundary_{kind}"] = Score.rate(found.boundary[kind] == 0, "pairs")
            report.arrays |= {
                f"precision_{kind}": found.precision[kind],
                f"recall_{kind}": found.recall[kind],
                f"boundary_{kind}": found.boundary[kind],
            }
        for name, values in (("paper", found.precision["map"]), ("released", found.released[0])):
            report.scores[f"precision_map_{name}"] = Score.share(np.nan_to_num(values, nan=1.0), over="pairs")
        report.scores["recall_map_released"] = known(found.released[1], NO_BOUNDARY.format(c.recall_depth))
        report.scores["no_boundary_of_its_own"] = Score.rate(np.asarray(~found.sampled.rejected.any(axis=1)), "pairs")
        report.scores["redrawn"] = Score.mean(pairs.redrawn, "pairs")
        self._same_place(evaluation, report)
        report.notes.append("read precision beside recall: a model that accepts everything has recall 0")
        report.notes += pairs.dropped_notes(c.structure_trials)
        return report

    @staticmethod
    def _scores(found: Stratum, kind: str, place: str, depth: int) -> dict[str, Score]:
        return {
            f"precision{place}_{kind}": known(found.precision[kind], NO_SUFFIX),
            f"recall{place}_{kind}": known(found.recall[kind], NO_BOUNDARY.format(depth)),
        }

    def _same_place(self, evaluation: Evaluation, report: Report) -> None:
        """Adds the scores of pairs that differ in the goal alone."""
        world, c = evaluation.world, evaluation.settings
        if not isinstance(world, HasGoals):
            return
        first, second = goal_pairs(world, evaluation.seed, c.structure_trials, "distinction goals", c.recall_depth)
        if not len(first):
            report.notes.append(f"no pairs that differ in the {world.goal} alone: no document could have another")
            return
        pairs = Pairs(first, second, np.zeros(len(first), np.int64), c.structure_trials - len(first))
        found = measure_stratum(evaluation, pairs, "distinction goals")
        for kind in found.precision:
            report.scores |= self._scores(found, kind, "_same_place", c.recall_depth)
            report.arrays[f"precision_same_place_{kind}"] = found.precision[kind]
            report.arrays[f"recall_same_place_{kind}"] = found.recall[kind]
        if pairs.dropped:
            report.notes.append(
                f"{pairs.dropped} of {c.structure_trials} documents could have no other {world.goal} at their place"
            )


METRIC = SequenceDistinction()
