"""Sequence distinction (Vafa et al. 2024): does a model tell two states apart, by the suffixes that truly tell them
apart?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from worldbench.core.abilities import HasHistories, HasLaw
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
    sample_suffixes,
    true_boundary,
)
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.options import SuffixOptions
from worldbench.metrics.suffixes import score_suffixes

RELEASED_SUFFIXES = 5


def recalled(model: SequenceModel, pairs: Pairs, boundary: Boundary, eps: float) -> np.ndarray:
    """bool [M]: does the model accept each boundary suffix after the first prefix, and not after the second?"""
    inside = np.arange(boundary.tokens.shape[1])[None, :] < boundary.length[:, None]
    accepted = []
    for prefixes in (pairs.first, pairs.second):
        log_p = score_suffixes(model, prefixes, boundary.owner, boundary.tokens, boundary.length)
        accepted.append(((log_p > np.log(eps)) | ~inside).all(axis=1))
    return accepted[0] & ~accepted[1]


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
    """Length in tokens of the longest boundary suffix that counts for recall."""

    def __post_init__(self) -> None:
        require_at_least(self, "eval", 1, "recall_depth")


class SequenceDistinction(Metric):
    """Precision and recall of the suffixes by which the model tells two states apart (the Myhill-Nerode boundary), with
    one history of each state.

    Precision: suffixes are sampled after prefix 1, and each is cut at its first token that is not accepted after prefix
    2. Precision is the share of these suffixes that truly tell the states apart. A trial without such suffixes counts
    as 1. Recall: the share of the true boundary suffixes of up to 5 tokens that the model accepts after prefix 1 and
    not after prefix 2, over trials with such suffixes. `empty_boundary` is the share of the other trials. (Vafa et al.
    count these as 1, which a model that accepts everything would gain from.) Truth is the map (legal tokens, with
    `end`; Vafa et al.) or the law
    (probability above eps).

    Sees: states that are confused. Cannot see: histories of one state that are split apart (compression sees that). A
    model that accepts everything has precision 1 and recall 0: read neither alone. Variants of the released code:
    recall without `end`, precision of 5 suffixes.
    """

    name, version, direction = "sequence_distinction", 1, "higher"
    primary = "recall_map"
    needs = (Automaton, HasHistories)
    floor = "uniform"
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (
            Expectation("precision_law", 1, 1),
            Expectation("recall_law", 1, 1),
            Expectation("precision_map", 0.7, 1),
        ),
        "random-legal": (Expectation("precision_map", 1, 1), Expectation("recall_map", 1, 1)),
        "uniform": (
            Expectation("precision_map", 1, 1),
            Expectation("recall_map", 0, 0),
            Expectation("recall_law", 0, 0),
        ),
    }
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage("recall_map", worse=("deleted", "rewired"), monotone=True),
        Damage("recall_law", worse=("deleted", "rewired", "noise"), monotone=True),
        Damage("precision_law", worse=("rewired",)),
    )

    def measure(self, evaluation: Evaluation) -> Report:
        world: Automaton = evaluation.world
        model, c = evaluation.model, evaluation.settings
        pairs = draw_pairs(world, evaluation.seed, c.structure_trials, "distinction", same=False)
        if not len(pairs):
            return pairs.empty_report(self.primary)
        first, second = world.after(pairs.first), world.after(pairs.second)
        s = sample_suffixes(world, model, pairs, evaluation.seed, "distinction", c.suffixes, c.eps)
        trial, suffix = np.nonzero(s.rejected)
        tokens, length = s.tokens[trial, suffix], s.length[trial, suffix]
        report = Report({})
        truths = {"map": by_map(world)} | ({"law": by_law(world, c.eps)} if isinstance(world, HasLaw) else {})
        for kind, accept in truths.items():
            after = [
                accepted_by(world, accept, states.take(trial), tokens, length).all(axis=1) for states in (first, second)
            ]
            apart = np.asarray(after[0] & ~after[1])
            precision, own = per_trial(trial, apart, len(pairs))
            boundary = true_boundary(world, accept, first, second, c.recall_depth)
            hit = recalled(model, pairs, boundary, c.eps)
            recall, there = per_trial(boundary.owner, hit, len(pairs))
            report.scores[f"precision_{kind}"] = Score.mean(np.where(own > 0, precision, 1.0))
            report.scores[f"recall_{kind}"] = Score.mean(recall[there > 0])
            report.scores[f"empty_boundary_{kind}"] = Score.rate(there == 0)
            report.arrays |= {f"precision_{kind}": precision, f"recall_{kind}": recall, f"boundary_{kind}": there}
            if kind == "map":
                few = suffix < RELEASED_SUFFIXES
                precision, own = per_trial(trial[few], apart[few], len(pairs))
                report.scores["precision_map_released"] = Score.mean(np.where(own > 0, precision, 1.0))
                last = boundary.tokens[np.arange(len(boundary.length)), boundary.length - 1]
                moves = ~world.vocabulary.closes(last)
                recall, there = per_trial(boundary.owner[moves], hit[moves], len(pairs))
                report.scores["recall_map_released"] = Score.mean(recall[there > 0])
        report.scores["no_boundary_of_its_own"] = Score.rate(np.asarray(~s.rejected.any(axis=1)))
        report.scores["redrawn"] = Score.mean(pairs.redrawn)
        report.notes.append(
            "precision is printed beside recall: a model that accepts everything has precision 1 and recall 0"
        )
        report.notes += pairs.dropped_notes(c.structure_trials)
        return report


METRIC = SequenceDistinction()
