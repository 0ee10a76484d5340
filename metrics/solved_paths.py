"""Solved paths: does the model find the path that a prompt asks for: exactly, legally, with the fewest moves? (Nolte et
al. 2024, arXiv 2412.05117.)

Shape letters: N prompts, L tokens of a continuation, A actions.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import Able, HasDistance, HasDrawings, HasLaw, HasTellings
from worldbench.core.metric import Damage, Direction, Expectation, Metric, Report, Score
from worldbench.core.sampling import continuations
from worldbench.core.states import Replay
from worldbench.core.text import counted
from worldbench.core.world import ARRIVED, OPEN, Automaton
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.rollout import Rides, moves_of


def true_paths(
    world: Able, prompts: np.ndarray, lengths: np.ndarray, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A continuation of each prompt, drawn from the exact law: tokens int32 [N, L], padded; the number of tokens [N],
    with the end; and the number of forks [N]. A fork is a token at which another token was legal too; the end, and the
    way back, count as no other token."""
    n, limit, v = len(prompts), world.longest, world.vocabulary
    tokens, length = continuations(
        world, prompts, lengths, streams.uniform(0, n, limit, "evaluation", seed, "true paths")
    )
    column, fresh, forks = v.action_of_token, np.ones((n, len(v.actions)), bool), np.zeros(n, np.int64)
    for t, rows, here in Replay(world, world.start(prompts, lengths), tokens, 0, length):
        taken = tokens[rows, t]
        forks[rows] += ((world.legal(here) & fresh[rows]).sum(axis=1) > 1) & ~v.closes(taken)
        fresh[rows, column[taken]] = False
    return tokens, length, forks


def likely(world: Able, rides: Rides) -> np.ndarray:
    """bool [N, L]: does the exact law allow each token of a ride, after legal tokens alone?"""
    column = world.vocabulary.action_of_token
    out = np.zeros(rides.tokens.shape, bool)
    walking = Replay(world, world.start(rides.prompts, rides.prompt_lengths), rides.tokens, 0, rides.length)
    for t, rows, here in walking:
        going = np.asarray(world.outcome(here)) == OPEN
        walking.stop(rows[~going])
        rows, here = rows[going], here.take(going)
        token = rides.tokens[rows, t]
        law = world.law(here)
        out[rows, t] = (column[token] >= 0) & (law[np.arange(len(rows)), np.maximum(column[token], 0)] > 0)
    return out


def split_by(name: str, by: np.ndarray, hits: dict[str, np.ndarray]) -> dict[str, list[Any]]:
    """For each value of `by` [N]: the number of rows, and the share of each kind of hit [N]."""
    n = np.bincount(by)
    at = np.flatnonzero(n)
    return {
        name: at.tolist(),
        "n": n[at].tolist(),
        **{k: (np.bincount(by, hit)[at] / n[at]).tolist() for k, hit in hits.items()},
    }


class SolvedPaths(Metric):
    """Share of distinct held-out prompts whose decoded continuation is the path of the document, token by token
    (`exact`), is legal and ends at the target (`reaches`), and does so with the fewest moves (`optimal`).

    Where several paths are shortest, `exact` takes one of them, drawn as the data draw it. Answers are decoded greedily
    (`exact_greedy`, which the literature reports) and by sampling. The greedy answers are also split by the moves of
    the path, and by its forks (cells with another way on).

    Sees: whether the maze of the prompt is solved, and how the share falls as more must be planned. Cannot see: how. A
    model may fail at the first fork and know every passage (minimal_pairs and retelling look at that).
    """

    name, version, direction = "solved_paths", 1, "higher"
    primary = "exact_greedy"
    directions: ClassVar[dict[str, Direction]] = {"exact_*": "higher", "optimal_*": "higher", "reaches_*": "higher"}
    needs = (Automaton, HasTellings, HasLaw)
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (
            *(
                Expectation(f"{what}_{choice}", 1, 1)
                for what in ("reaches", "optimal")
                for choice in ("greedy", "sampled")
            ),
            Expectation("exact_greedy", 0.2, 1),
        ),
        "random-legal": (Expectation("exact_greedy", 0, 0.5), Expectation("optimal_sampled", 0, 0.5)),
        "uniform": (Expectation("exact_greedy", 0, 0), Expectation("reaches_greedy", 0, 0)),
    }
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage("optimal_greedy", worse=("deleted", "added", "rewired"), unchanged=("noise",), monotone=True),
        Damage("exact_greedy", worse=("deleted", "added", "rewired")),
        *(
            Damage(score, worse=("wrong_goal", "blind", "late", "forgets"), unchanged=("leak", "temperature"))
            for score in ("optimal_greedy", "exact_greedy")
        ),
        Damage(
            "reaches_sampled",
            worse=("added", "rewired", "wrong_goal", "blind", "late", "forgets", "leak"),
            unchanged=("noise", "temperature"),
            tolerance=0.005,
        ),
    )

    def measure(self, evaluation: Evaluation) -> Report:
        world: Automaton = evaluation.world
        report = Report({})
        prompts, lengths = evaluation.prompts(evaluation.settings.trials)
        truth, length, forks = true_paths(world, prompts, lengths, evaluation.seed)
        report.arrays |= {"true_tokens": truth, "true_length": length, "forks": forks}
        if isinstance(world, HasDrawings):
            report.arrays |= world.drawing(prompts, lengths)
        for choice in ("sampled", "greedy"):
            rides = evaluation.rides(choice, evaluation.settings.trials)
            reaches = rides.outcome == ARRIVED
            hits = {"exact": (rides.tokens == truth).all(axis=1), "reaches": reaches}
            if isinstance(world, HasDistance):
                hits["optimal"] = reaches & (moves_of(world, rides) == rides.distance)
            report.scores |= {f"{name}_{choice}": Score.rate(hit, "prompts") for name, hit in hits.items()}
            report.arrays |= {
                f"{choice}_tokens": rides.tokens,
                f"{choice}_length": rides.length,
                f"{choice}_outcome": rides.outcome,
            }
            report.arrays[f"{choice}_likely"] = likely(world, rides)
            if choice == "greedy":
                report.series["by_moves"] = split_by("moves", np.maximum(length - 2, 0), hits)
                report.series["by_forks"] = split_by("forks", forks, hits)
        if len(prompts) < evaluation.settings.trials:
            report.notes.append(
                f"{counted(len(prompts), 'trial', commas=False)}: there are no more held-out prompts "
                f"(asked: {evaluation.settings.trials})"
            )
        return report


METRIC = SolvedPaths()
