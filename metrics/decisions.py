"""Decisions: is the model right where the goal alone says what comes next?

Shape letters: N documents, M places where something is asked, A answers.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from worldbench.core.abilities import HasGoals, HasLaw
from worldbench.core.metric import Damage, Direction, Expectation, Metric, Report, Score
from worldbench.core.text import counted
from worldbench.core.world import Automaton
from worldbench.metrics.evaluation import Evaluation, chunks, walk

SOLVED = 0.95
"""The least accuracy at decisions with which a run counts as solved."""
FEWEST = 20
"""The fewest documents with a decision. With fewer, nothing is measured."""


def blind_chance(law: np.ndarray, blind: np.ndarray) -> np.ndarray:
    """How often the best guess without the goal is right: float64 [M]. law, blind: float64 [M, A]. Of several answers
    that are likeliest to a blind reader, one is guessed at random."""
    best = blind >= blind.max(axis=1, keepdims=True) - 1e-9
    return (best & (law > 0)).sum(axis=1) / best.sum(axis=1)


class Decisions(Metric):
    """A decision is a place in a held-out document where the best guess of a reader who does not see the goal may be
    wrong: the exact law gives probability 0 to an answer that is likeliest without the goal.

    `accuracy`: the share of decisions at which the likeliest answer of the model is possible under the exact law, with
    the true tokens before (teacher forcing). `chance`: the same share for the best guess without the goal; 1 / arms in
    path-star. `elsewhere`: the accuracy at all other places. `all_right`: the share of documents with no wrong answer
    at any place; where the law is certain, the share of exact greedy answers. `solved`: 1 if `accuracy` is at least
    0.95, else 0; its mean over runs is the share of seeds that solve the task (Bachmann & Nagarajan 2024, arXiv
    2403.06963: runs are either near 1 or at chance).

    Sees: planning, apart from following. Cannot see: what happens after a wrong token.
    """

    name, version, direction = "decisions", 1, "higher"
    primary = "accuracy"
    beside = ("chance",)
    directions: ClassVar[dict[str, Direction]] = {"elsewhere": "higher", "all_right": "higher", "solved": "higher"}
    outcomes = ("solved",)
    needs = (Automaton, HasLaw, HasGoals)
    serves_labels = True
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (
            Expectation("accuracy", 1, 1),
            Expectation("elsewhere", 1, 1),
            Expectation("all_right", 1, 1),
            Expectation("solved", 1, 1),
        ),
        "random-legal": (Expectation("accuracy", 0, 0.95),),
        "uniform": (Expectation("accuracy", 0, 0.95), Expectation("all_right", 0, 0.5)),
    }
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage(
            "accuracy",
            worse=("wrong_goal", "blind", "late", "forgets"),
            unchanged=("noise", "leak", "temperature"),
            tolerance=0.005,
        ),
        Damage("all_right", worse=("wrong_goal", "blind", "late", "forgets"), unchanged=("leak", "temperature")),
    )

    def measure(self, evaluation: Evaluation) -> Report:
        world, documents = evaluation.world, evaluation.documents
        answers = np.array(world.vocabulary.answers)
        n, width = documents.tokens.shape
        column, shape = world.vocabulary.answer_of_token, (n, width + 1)
        asked, right, decides, chance = (np.zeros(shape, kind) for kind in (bool, bool, bool, float))
        done = 0
        for part in chunks(documents, len(world.vocabulary)):
            top = answers[evaluation.model.logits(part.inputs)[:, :, answers].argmax(axis=2)]
            for seen, rows, here in walk(world, part):
                law, blind, at = world.law(here), world.blind_law(here), rows + done
                asked[at, seen] = True
                right[at, seen] = law[np.arange(len(rows)), column[top[rows, seen - 1]]] > 0
                chance[at, seen] = blind_chance(law, blind)
                decides[at, seen] = chance[at, seen] < 1
            done += len(part)
        others = asked & ~decides
        scores = {
            "elsewhere": Score.share((right & others).sum(axis=1), others.sum(axis=1), "documents"),
            "all_right": Score.rate(np.asarray((right | ~asked).all(axis=1)), "documents"),
        }
        found = int(decides.any(axis=1).sum())
        if found >= FEWEST:
            share = {"accuracy": right & decides, "chance": chance * decides}
            scores |= {name: Score.share(x.sum(axis=1), decides.sum(axis=1), "documents") for name, x in share.items()}
            scores["solved"] = Score(float(scores["accuracy"].value >= SOLVED), 1)
        else:
            few = f"only {found} of {counted(n, 'document')} hold a decision; at least {FEWEST} are needed"
            scores |= dict.fromkeys(("accuracy", "chance", "solved"), Score.missing(few, found))
        place = np.arange(width + 1)[None, :] - documents.prompt_length[:, None]
        curve = by_place(place, asked, {"right": right, "decisions": decides, "chance": chance})
        arrays = {"right": right.sum(axis=1), "asked": asked.sum(axis=1), "decisions": decides.sum(axis=1)}
        arrays |= {f"by_{name}": x for name, x in curve.items()}
        return Report(scores, {"by_position": {name: x.tolist() for name, x in curve.items()}}, arrays)


def by_place(place: np.ndarray, asked: np.ndarray, values: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """For each number of tokens after the prompt at which something is asked: `position`, the number of places `n`, and
    the mean of each of the values there. place, asked and the values are [N, T]."""
    if not asked.any():
        return {name: np.empty(0) for name in ("position", "n", *values)}
    low = place[asked].min()
    at = place[asked] - low
    n = np.bincount(at)
    found = np.flatnonzero(n)
    means = {name: (np.bincount(at, x[asked]) / np.maximum(n, 1))[found] for name, x in values.items()}
    return {"position": found + low, "n": n[found], **means}


METRIC = Decisions()
