"""Minimal pairs: one passage of the maze in a prompt is moved, or the goal. Does the answer change where it must, and
only there?

This is distinction for worlds whose prompts state a rule of their own. Shape letters: N pairs, L tokens of a
continuation.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import Able, HasGoals, HasLaw, HasMinimalPairs, lacking
from worldbench.core.metric import Damage, Expectation, Metric, Report, Score
from worldbench.core.model import SequenceModel
from worldbench.core.states import Replay
from worldbench.core.text import counted
from worldbench.core.world import Automaton
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.rollout import roll_out
from worldbench.metrics.solved_paths import true_paths

SAME, BETWEEN = -1, -2


def first_change(
    world: Able,
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    path: np.ndarray,
    length: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Where does a true path of the first prompts stop being a true path of the second prompts?

    path: int [N, L], of which `length` [N] tokens count. Returns int [N], the place of the first token that the law of
    the second prompt excludes: -1 where there is no such token, -2 where the two laws at that place have another token
    in common. And bool [N]: were the two laws equal at every place before?
    """
    column = world.vocabulary.action_of_token
    a, b = (Replay(world, world.start(*prompts), path, 0, length) for prompts in (first, second))
    place, equal = np.full(len(path), SAME), np.ones(len(path), bool)
    for (t, rows, left), (_, _, right) in zip(a, b):
        token = path[rows, t]
        laws = world.law(left), world.law(right)
        excluded = laws[1][np.arange(len(rows)), column[token]] == 0
        common = ((laws[0] > 0) & (laws[1] > 0)).any(axis=1)
        place[rows[excluded]] = np.where(common, BETWEEN, t)[excluded]
        equal[rows] &= excluded | (np.abs(laws[0] - laws[1]).max(axis=1) < 1e-9)
        a.stop(rows[excluded])
        b.stop(rows[excluded])
    return place, equal


class MinimalPairs(Metric):
    """Pairs of prompts that differ in one passage: its entry names another pair of cells, in the same place.

    `recall`, over pairs whose true path changes: at the first step where the path must change, after the same tokens,
    is the likeliest token right under both prompts? `precision`, over pairs whose laws stay equal along the true path:
    is the greedy answer the same, token by token? Pairs in between (several shortest paths, of which some stay) are
    left out and counted. `recall_goal` is the recall over pairs of prompts that differ in the goal alone.

    Sees: whether single passages and the goal are read and reach the plan. Cannot see: what two changes do together. A
    model that ignores its prompt has precision 1 and recall 0: read neither alone. A model that does not know the goal
    has `recall_goal` 0.
    """

    name, version, direction = "minimal_pairs", 2, "higher"
    primary = "recall"
    needs = (Automaton, HasMinimalPairs, HasLaw)
    floor = "uniform"
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (Expectation("recall", 1, 1), Expectation("precision", 1, 1), Expectation("recall_goal", 1, 1)),
        "random-legal": (Expectation("recall", 0, 0.5), Expectation("recall_goal", 0, 0.6)),
        "uniform": (Expectation("recall", 0, 0), Expectation("precision", 1, 1), Expectation("recall_goal", 0, 0)),
        "ngram": (Expectation("recall", 0, 0.3),),
        "untrained": (Expectation("recall", 0, 0.1),),
    }
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage("recall", worse=("deleted", "added", "rewired"), monotone=True),
        Damage("recall", worse=("wrong_goal", "blind", "late", "forgets"), unchanged=("noise", "leak", "temperature")),
        Damage("precision", worse=("added", "wrong_goal", "blind"), unchanged=("leak", "temperature")),
        Damage("recall_goal", worse=("deleted", "added", "rewired", "wrong_goal"), monotone=True),
        Damage("recall_goal", worse=("blind", "late", "forgets"), unchanged=("noise", "leak", "temperature")),
    )

    def measure(self, evaluation: Evaluation) -> Report:
        world, model, seed, n = (
            evaluation.world,
            evaluation.model,
            evaluation.seed,
            evaluation.settings.structure_trials,
        )
        prompts, lengths = evaluation.prompts(n)
        changed, changed_lengths = world.minimal_pairs(prompts, lengths, seed)
        rows = np.flatnonzero(changed_lengths > 0)
        first, second = (prompts[rows], lengths[rows]), (changed[rows], changed_lengths[rows])
        path, length, _ = true_paths(world, *first, seed)
        place, equal = first_change(world, first, second, path, length)
        moved, kept = np.flatnonzero(place >= 0), np.flatnonzero((place == SAME) & equal)
        right = self._right(world, model, [(p[moved], w[moved]) for p, w in (first, second)], path[moved], place[moved])
        answers = (
            [roll_out(world, model, p[kept], w[kept], seed, "greedy").tokens for p, w in (first, second)]
            if len(kept)
            else [np.zeros((0, 1))] * 2
        )
        same = np.asarray((answers[0] == answers[1]).all(axis=1))
        report = Report(
            {"recall": Score.rate(np.asarray(right.all(axis=0)), "pairs"), "precision": Score.rate(same, "pairs")},
            arrays={"place": place, "equal": equal, "right_before": right[0], "right_after": right[1], "same": same},
        )
        changed, between = counted(len(moved), "pair", commas=False), len(rows) - len(moved) - len(kept)
        report.notes.append(f"{changed} whose path changes, {len(kept)} whose path stays, {between} in between")
        if len(rows) < len(prompts):
            report.notes.append(
                f"{len(prompts) - len(rows)} of {len(prompts)} prompts have no passage that could be moved so"
            )
        self._goal(evaluation, prompts, lengths, report)
        return report

    def _goal(self, evaluation: Evaluation, prompts: np.ndarray, lengths: np.ndarray, report: Report) -> None:
        """Adds the recall over pairs that differ in the goal alone."""
        world, seed = evaluation.world, evaluation.seed
        if (reason := lacking((HasGoals,), world)) is not None:
            report.scores["recall_goal"] = Score.missing(reason)
            return
        uniform = streams.uniform(0, len(prompts), 1, "evaluation", seed, "minimal pairs goals")[:, 0]
        goals = world.other_goals(world.start(prompts, lengths), uniform)
        rows = np.flatnonzero(goals >= 0)
        first = prompts[rows], lengths[rows]
        second = world.prompts_with_goals(*first, goals[rows]), lengths[rows]
        path, length, _ = true_paths(world, *first, seed)
        place, _ = first_change(world, first, second, path, length)
        moved = np.flatnonzero(place >= 0)
        ends = [(p[moved], w[moved]) for p, w in (first, second)]
        right = self._right(world, evaluation.model, ends, path[moved], place[moved])
        report.scores["recall_goal"] = Score.rate(np.asarray(right.all(axis=0)), "pairs")
        report.arrays |= {"goal_place": place, "goal_right_before": right[0], "goal_right_after": right[1]}

    @staticmethod
    def _right(
        world: Able,
        model: SequenceModel,
        prompts: list[tuple[np.ndarray, np.ndarray]],
        path: np.ndarray,
        place: np.ndarray,
    ) -> np.ndarray:
        """bool [2, N]: does the law allow the likeliest token after the first `place` tokens of the path?"""
        column, n = world.vocabulary.action_of_token, len(path)
        if not n:
            return np.zeros((2, 0), bool)
        hits = []
        for tokens, lengths in prompts:
            longest = int(place.max())
            prefix = np.pad(tokens, ((0, 0), (0, longest)))
            at = np.arange(longest)[None, :]
            row, step = np.nonzero(at < place[:, None])
            prefix[row, lengths[row] + step] = path[row, step]
            top = model.decoder(prefix, lengths + place).logits.argmax(axis=1)
            law = world.law(Replay(world, world.start(tokens, lengths), path, 0, place).finish())
            hits.append((column[top] >= 0) & (law[np.arange(n), np.maximum(column[top], 0)] > 0))
        return np.stack(hits)


METRIC = MinimalPairs()
