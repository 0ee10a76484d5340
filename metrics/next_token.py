"""Next-token test (Vafa et al. 2024): is the most likely token legal?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from worldbench.core.metric import Damage, Expectation, Metric, Report, Score
from worldbench.core.world import Automaton
from worldbench.metrics.evaluation import Evaluation, chunks, truth


class NextToken(Metric):
    """Share of teacher-forced positions of held-out documents whose most likely token is legal: a legal move, or `end`
    exactly at the destination.

    Sees: gross failure. Cannot see: anything finer. Every trained model scores about 1, so the score does not
    discriminate. The interval is over documents.
    """

    name, version, direction = "next_token", 2, "higher"
    primary = "top1_legal"
    needs = (Automaton,)
    floor = "uniform"
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (Expectation("top1_legal", 1, 1),),
        "random-legal": (Expectation("top1_legal", 1, 1),),
    }
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage("top1_legal", worse=("added", "rewired", "wrong_goal", "blind"), unchanged=("temperature",)),
    )

    def measure(self, evaluation: Evaluation) -> Report:
        world, hits, tried = evaluation.world, [], []
        column = world.vocabulary.action_of_token
        for part in chunks(evaluation.documents, len(world.vocabulary)):
            known = truth(world, part)
            row, t = np.nonzero(known.scored)
            top = evaluation.model.logits(part.inputs)[row, t - 1].argmax(axis=1)
            hit = (column[top] >= 0) & known.legal[row, t, column[top]]
            hits.append(np.bincount(row, hit, minlength=len(part)))
            tried.append(np.bincount(row, minlength=len(part)))
        return Report({"top1_legal": Score.share(np.concatenate(hits), np.concatenate(tried), "documents")})


METRIC = NextToken()
