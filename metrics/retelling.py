"""Retelling: does the model treat a maze alike when the prompt writes it in another way? This is compression for worlds
whose prompts state a rule of their own.

Shape letters: N documents, T tokens, V vocabulary.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from worldbench.core.abilities import HasTellings
from worldbench.core.metric import Damage, Expectation, Metric, Report, Score
from worldbench.core.model import SequenceModel
from worldbench.core.world import Automaton, Documents
from worldbench.metrics.evaluation import Evaluation, chunks
from worldbench.metrics.rollout import probabilities, roll_out
from worldbench.metrics.sequence_compression import jensen_shannon


def laws(model: SequenceModel, documents: Documents) -> tuple[np.ndarray, np.ndarray]:
    """The next-token law at every predicted position, in order of (document, position): document int [M], law float64
    [M, V]."""
    rows, out, done = [np.empty(0, np.int64)], [], 0
    for part in chunks(documents):
        row, at = np.nonzero(part.targets >= 0)
        out.append(probabilities(model.logits(part.inputs)[row, at]))
        rows.append(row + done)
        done += len(part)
    return np.concatenate(rows), np.concatenate(out)


class Retelling(Metric):
    """Held-out documents, and the same documents with another telling of the maze: entries shuffled, and each entry
    written from a random side.

    `jensen_shannon`: the Jensen-Shannon distance (base 2) of the model's two next-token distributions along the true
    path. `identical`: the share of prompts whose two greedy answers are the same, token by token.

    Sees: whether the telling, which does not change the maze, changes the answer. Cannot see: whether the maze is
    understood. A model that ignores its prompt scores as well as the oracle, so read the scores beside minimal_pairs.
    """

    name, version, direction = "retelling", 2, "lower"
    primary = "jensen_shannon"
    needs = (Automaton, HasTellings)
    floor = "uniform"
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        model: (Expectation("jensen_shannon", 0, 1e-3), Expectation("identical", 1, 1))
        for model in ("oracle", "random-legal", "uniform")
    } | {"untrained": (Expectation("jensen_shannon", 1e-4, 1),)}
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage(
            "jensen_shannon",
            worse=("deleted", "added", "rewired", "noise", "wrong_goal"),
            unchanged=("blind", "forgets", "leak", "temperature"),
            direction="lower",
        ),
        Damage(
            "identical",
            worse=("deleted", "added", "rewired", "wrong_goal"),
            unchanged=("blind", "forgets", "leak", "temperature"),
        ),
    )

    def measure(self, evaluation: Evaluation) -> Report:
        world, model, seed = evaluation.world, evaluation.model, evaluation.seed
        n = evaluation.settings.structure_trials
        documents = world.sample(seed, "test", 0, n)
        (row, first), (_, second) = laws(model, documents), laws(model, world.retold(documents, seed))
        distance = jensen_shannon(first, second)
        prompts, lengths = evaluation.prompts(n)
        again = world.retold(Documents(prompts, lengths, lengths), seed).tokens
        answers = evaluation.rides("greedy", n).tokens, roll_out(world, model, again, lengths, seed, "greedy").tokens
        same = (answers[0] == answers[1]).all(axis=1)
        per_document = np.bincount(row, distance, minlength=n), np.bincount(row, minlength=n).astype(float)
        return Report(
            {"jensen_shannon": Score.share(*per_document, over="documents"), "identical": Score.rate(same, "prompts")},
            arrays={"jensen_shannon": per_document[0], "positions": per_document[1], "identical": same},
        )


METRIC = Retelling()
