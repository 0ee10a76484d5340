"""Sequence compression (Vafa et al. 2024): does a model treat two histories of one state alike?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from worldbench.core.abilities import HasHistories
from worldbench.core.metric import Damage, Expectation, Metric, Report, Score
from worldbench.core.world import Automaton
from worldbench.metrics.acceptance import accepted_by, by_map, draw_pairs
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.sampled_suffixes import sample_suffixes


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Jensen-Shannon distance (square root of the divergence, base 2) of laws [N, V], row by row."""
    middle = (p + q) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        half = [np.where(x > 0, x * np.log2(x / middle), 0.0).sum(axis=1) for x in (p, q)]
    return np.sqrt(np.clip((half[0] + half[1]) / 2, 0, 1))


class SequenceCompression(Metric):
    """Share of trials in which all suffixes sampled after one history of a state are accepted (every token has a
    probability above eps) after another history of the same state.

    A trial takes a state, a number k, two different random backward walks of k moves that lead to the state, and 30
    suffixes. The trial is a success if **all** suffixes are accepted. The goal is part of the state, so the prompts of
    both histories hold the same goal.

    Sees: histories that should be one and are not. Cannot see: histories that should differ and do not, and what a
    model does with the goal: a model that does not know the goal, or takes one goal for another after every prompt,
    scores 1. So does a model that accepts everything. Read the score beside the recall of distinction, which has pairs
    at the same place with different goals.

    The score is brittle: small noise on the logits of a perfect map destroys it. So three scores stand beside it:
    `compression_illegal`, where a trial fails only through an illegal token after legal ones; `suffixes_accepted`; and
    the Jensen-Shannon distance of the two next-token distributions. (The released script of NextLat scores suffixes
    again after the history that they came from. That is 1 by construction, and is not measured.)
    """

    name, version, direction = "sequence_compression", 2, "higher"
    primary = "compression"
    needs = (Automaton, HasHistories)
    floor = None
    apart = True
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (
            Expectation("compression", 1, 1),
            Expectation("suffixes_accepted", 1, 1),
            Expectation("jensen_shannon", 0, 1e-3),
        ),
        "random-legal": (Expectation("compression", 1, 1), Expectation("compression_illegal", 1, 1)),
        "uniform": (Expectation("compression", 1, 1),),
    }
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage(
            "compression",
            worse=("deleted", "rewired", "noise", "wrong_goal", "late"),
            unchanged=("added", "blind", "forgets", "leak", "temperature"),
        ),
        Damage(
            "compression_illegal",
            worse=("deleted", "rewired", "wrong_goal", "late"),
            unchanged=("added", "noise", "blind", "forgets", "leak", "temperature"),
        ),
        Damage(
            "jensen_shannon",
            worse=("deleted", "rewired", "noise", "wrong_goal", "late"),
            unchanged=("added", "blind", "forgets", "leak", "temperature"),
            direction="lower",
            tolerance=1e-3,
        ),
    )

    def measure(self, evaluation: Evaluation) -> Report:
        world, settings = evaluation.world, evaluation.settings
        pairs = draw_pairs(world, evaluation.seed, settings.structure_trials, "compression", same=True)
        if not len(pairs):
            return pairs.empty_report(self.primary)
        s = sample_suffixes(
            world, evaluation.model, pairs, evaluation.seed, "compression", settings.suffixes, settings.eps
        )
        trial, suffix = np.nonzero(s.rejected)
        legal = accepted_by(
            world,
            by_map(world),
            world.after(pairs.second).take(trial),
            s.tokens[trial, suffix],
            s.length[trial, suffix],
        )
        illegal, last = np.zeros(s.rejected.shape, bool), s.length[trial, suffix] - 1
        before = (legal | (np.arange(legal.shape[1])[None, :] >= last[:, None])).all(
            axis=1
        )  # what follows an illegal token that both accept is no news
        illegal[trial, suffix] = before & ~legal[np.arange(len(trial)), last]
        distance = jensen_shannon(*s.laws)
        report = Report(
            {
                "compression": Score.rate(np.asarray(~s.rejected.any(axis=1)), "pairs"),
                "compression_illegal": Score.rate(np.asarray(~illegal.any(axis=1)), "pairs"),
                "suffixes_accepted": Score.share((~s.rejected).mean(axis=1), over="pairs"),
                "jensen_shannon": Score.share(distance, over="pairs"),
                "empty": Score.rate((s.length == 0).all(axis=1), "pairs"),
                "redrawn": Score.mean(pairs.redrawn, "pairs"),
            },
            arrays={
                "rejected": s.rejected,
                "illegal": illegal,
                "moves": pairs.first.length - pairs.first.prompt_length,
                "jensen_shannon": distance,
            },
        )
        report.notes += pairs.dropped_notes(settings.structure_trials)
        return report


METRIC = SequenceCompression()
