"""Label accuracy: is the label right at every place, also beyond the length of training?

Shape letters: N documents, T tokens.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from worldbench.core.abilities import Able, HasLaw, HasLonger, lacking
from worldbench.core.metric import Damage, Direction, Expectation, Metric, Report, Score
from worldbench.core.model import SequenceModel
from worldbench.core.world import Automaton, Documents
from worldbench.metrics.decisions import by_place
from worldbench.metrics.evaluation import Evaluation, chunks, walk

REACHED = 0.95
"""The least accuracy at every place with which a length counts as reached."""


def right_labels(world: Able, model: SequenceModel, documents: Documents) -> tuple[np.ndarray, np.ndarray]:
    """bool [N, T + 1] each, by tokens seen: is a label asked for there, and does the law allow the likeliest one?"""
    n, width = documents.tokens.shape
    asked, right = np.zeros((n, width + 1), bool), np.zeros((n, width + 1), bool)
    answers, done = np.array(world.vocabulary.answers), 0
    for part in chunks(documents):
        top = model.logits(part.inputs)[:, :, answers].argmax(axis=2)
        for seen, rows, here in walk(world, part):
            asked[rows + done, seen] = True
            right[rows + done, seen] = world.law(here)[np.arange(len(rows)), top[rows, seen - 1]] > 0
        done += len(part)
    return asked, right


class LabelAccuracy(Metric):
    """The share of labels of held-out documents at which the likeliest answer of the model is possible under the exact
    law.

    `within` and `beyond`: the same at the places that training documents have, and at later places. `last`: at the last
    place of each document. `all_right`: the share of documents without a wrong label. `reach`: the largest number of
    tokens after the prompt up to which the accuracy is at least 0.95 at every place; 0 if it is lower at the first.
    (Teoh et al. 2025, arXiv 2511.05963, train on 12 elements of A5 and test to 36.)

    Sees: whether the state is tracked, and how far. Cannot see: what a model computes in place of the state where both
    give the same label.
    """

    name, version, direction = "label_accuracy", 1, "higher"
    primary = "accuracy"
    beside = ("reach",)
    directions: ClassVar[dict[str, Direction]] = dict.fromkeys(
        ("within", "beyond", "last", "all_right", "reach"), "higher"
    )
    needs = (Automaton, HasLaw)
    serves_labels, serves_tokens = True, False
    floor = "uniform"
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": tuple(Expectation(name, 1, 1) for name in ("accuracy", "within", "beyond", "last", "all_right")),
        "uniform": (Expectation("accuracy", 0, 0.9), Expectation("all_right", 0, 0.5)),
    }
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage("accuracy", worse=("late", "forgets"), unchanged=("leak", "temperature")),
        Damage("all_right", worse=("late", "forgets"), unchanged=("leak", "temperature")),
    )

    def measure(self, evaluation: Evaluation) -> Report:
        world, documents = evaluation.world, evaluation.documents
        asked, right = right_labels(world, evaluation.model, documents)
        row, last = np.arange(len(asked)), asked.shape[1] - 1 - asked[:, ::-1].argmax(axis=1)
        scores = {
            "accuracy": Score.share(right.sum(axis=1), asked.sum(axis=1), "documents"),
            "last": Score.rate(right[row, last], "documents"),
            "all_right": Score.rate(np.asarray((right | ~asked).all(axis=1)), "documents"),
        }
        seen = np.arange(asked.shape[1])
        place = np.broadcast_to(seen, asked.shape) - documents.prompt_length[:, None]
        if (reason := lacking((HasLonger,), world)) is None:
            for name, inside in {"within": seen <= world.trained_length, "beyond": seen > world.trained_length}.items():
                scores[name] = Score.share((right & inside).sum(axis=1), (asked & inside).sum(axis=1), "documents")
        else:
            scores |= dict.fromkeys(("within", "beyond"), Score.missing(reason))
        curve = by_place(place, asked, {"right": right})
        lost = np.flatnonzero(curve["right"] < REACHED)
        reach = int(curve["position"][-1] if not len(lost) else curve["position"][lost[0]] - 1)
        scores["reach"] = Score(float(reach), len(documents))
        arrays = {"right": right.sum(axis=1), "asked": asked.sum(axis=1)} | {f"by_{k}": x for k, x in curve.items()}
        arrays["trained_length"] = np.array(max(getattr(world, "trained_length", 0) - world.prompt_length, 0))
        return Report(scores, {"by_position": {name: x.tolist() for name, x in curve.items()}}, arrays)


METRIC = LabelAccuracy()
