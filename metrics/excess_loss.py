"""Excess loss: how far is the model's next-token distribution from the exact law of the data?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from worldbench.core.abilities import Able, HasEntropies, HasLaw
from worldbench.core.metric import Damage, Direction, Expectation, Metric, Report, Score
from worldbench.core.model import SequenceModel, log_softmax
from worldbench.core.world import Automaton, Documents
from worldbench.metrics.evaluation import Evaluation, chunks, truth

CELLS = 1 << 20
"""Log probabilities computed together, to limit memory."""


def divergences(world: Able, model: SequenceModel, documents: Documents) -> tuple[np.ndarray, ...]:
    """At every place where something is asked for: row [M], tokens seen [M], KL(law || model) [M], entropy of the law
    [M], and -log model(answer) [M]; in nats."""
    rows, places, kl, entropy, loss = [], [], [], [], []
    answers = np.array(world.vocabulary.answers)
    done = 0
    for part in chunks(documents, len(world.vocabulary)):
        known = truth(world, part)
        assert known.law is not None
        row, t = np.nonzero(known.scored)
        law = known.law[row, t]
        log_model, log_answer = _log_model(model.logits(part.inputs), row, t - 1, answers, part.answer(row, t))
        with np.errstate(divide="ignore", invalid="ignore"):
            plogp = np.where(law > 0, law * np.log(law), 0.0)
            cross = np.where(law > 0, law * log_model, 0.0)
        rows.append(row + done)
        places.append(t)
        entropy.append(-plogp.sum(axis=1))
        kl.append(plogp.sum(axis=1) - cross.sum(axis=1))
        loss.append(-log_answer)
        done += len(part)
    return tuple(np.concatenate(x) for x in (rows, places, kl, entropy, loss))


def _log_model(
    logits: np.ndarray, row: np.ndarray, at: np.ndarray, answers: np.ndarray, answer: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The log probabilities of all answers [M, A] and of the right one [M], from logits [N, T, V] at (row, at) [M].
    Some places at a time, to limit memory."""
    log_model, log_answer = np.empty((len(row), len(answers))), np.empty(len(row))
    for low in range(0, len(row), step := max(1, CELLS // logits.shape[2])):
        part = slice(low, low + step)
        log_law = log_softmax(logits[row[part], at[part]])
        log_model[part] = log_law[:, answers]
        log_answer[part] = np.take_along_axis(log_law, answer[part, None].astype(np.int64), axis=1)[:, 0]
    return log_model, log_answer


class ExcessLoss(Metric):
    """Mean of KL(law || model) over the predicted positions of held-out documents, in nats. The law is exact.

    `bayes`: the loss of the law itself. `loss`: the loss of the model on the same tokens. The series has the loss by
    position, beside `exact_bayes`, the expectation of `bayes` over all documents, where the world knows it (the myopic
    entropies h_L of a hidden Markov process).

    Sees: every difference between the model's distribution and the law, weighted as documents visit it. Cannot see:
    states that held-out documents do not visit, and why a difference arises.
    """

    name, version, direction = "excess_loss", 1, "lower"
    primary = "kl"
    directions: ClassVar[dict[str, Direction]] = {"loss": "lower"}
    same_for_all = ("bayes", "exact_bayes")
    needs = (Automaton, HasLaw)
    serves_labels = True
    floor = None
    # The oracle's logits are float32.
    # Random-legal may be the exact law (golden mean), or nearly (Z1R): no divergence is negative, and more is not to be
    # had of it in every world.
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (Expectation("kl", -1e-6, 1e-6),),
        "random-legal": (Expectation("kl", -1e-6, np.inf),),
        "uniform": (Expectation("kl", 0.01, np.inf),),
    }
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage(
            "kl",
            worse=(
                *("deleted", "added", "rewired", "noise", "wrong_goal", "blind", "late", "forgets", "leak"),
                "temperature",
            ),
            monotone=True,
            direction="lower",
        ),
    )

    def measure(self, evaluation: Evaluation) -> Report:
        documents = evaluation.documents
        row, t, kl, entropy, loss = divergences(evaluation.world, evaluation.model, documents)
        n = len(documents)
        count = np.bincount(row, minlength=n).astype(float)
        per_document = {"kl": kl, "bayes": entropy, "loss": loss}
        scores = {name: Score.ratio(np.bincount(row, x, minlength=n), count) for name, x in per_document.items()}
        place = t - documents.prompt_length[row]
        n_at = np.bincount(place)
        at = np.flatnonzero(n_at)
        curve = {
            "position": at,
            "n": n_at[at],
            **{name: (np.bincount(place, x) / np.maximum(n_at, 1))[at] for name, x in per_document.items()},
        }
        world = evaluation.world
        exact = world.expected_entropies() if isinstance(world, HasEntropies) else np.full(len(n_at), np.nan)
        if np.isfinite(exact[at]).all():
            curve["exact_bayes"] = exact[at]
            scores["exact_bayes"] = Score(float(n_at[at] @ exact[at] / n_at.sum()), int(n_at.sum()))
        series = {"by_position": {name: x.tolist() for name, x in curve.items()}}
        arrays = {
            "kl_sum": np.bincount(row, kl, minlength=n),
            "positions": count,
            **{f"by_{name}": x for name, x in curve.items()},
        }
        return Report(scores, series, arrays)


METRIC = ExcessLoss()
