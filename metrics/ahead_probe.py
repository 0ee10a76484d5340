"""Ahead probe: which tokens, 1 to 20 ahead, can be read linearly from the hidden state?

Shape letters: N documents, T tokens, M positions, D width, K distances, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from worldbench.core.abilities import Able
from worldbench.core.metric import Direction, Expectation, Metric, Report, Score
from worldbench.core.model import HasHidden, SequenceModel
from worldbench.core.options import LATER, require_at_least, small
from worldbench.core.world import Automaton, Documents, World
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.hidden_states import hidden_at
from worldbench.metrics.probe_scores import Part, refitted, single
from worldbench.metrics.softmax_probe import Coordinates, chosen, fitted

SHOWN = (1, 2, 5, 10, 20)
"""Distances that have scores of their own. The accuracy of every distance is in the series."""
PLACES = 32
"""Most positions of a document, evenly spread."""

RIDGES = 10.0 ** np.arange(-6, 3)
"""Ridge penalties to choose from, as multiples of the mean variance along a direction."""


@dataclass(frozen=True, kw_only=True)
class AheadOptions:
    """How far ahead is asked, and on how many documents."""

    ahead: int = field(default=20, metadata=LATER)
    """Largest distance, in tokens, at which ahead_probe predicts a token; at most half of a document."""
    ahead_documents: int = field(default=400, metadata={**LATER, **small(200)})
    """Number of held-out documents for ahead_probe. Each half of them is scored by probes that are fitted on the other
    half."""

    def __post_init__(self) -> None:
        require_at_least(self, "eval", 1, "ahead")
        require_at_least(self, "eval", 4, "ahead_documents")


def farthest(world: World, ahead: int) -> int:
    """The largest distance that is asked for in a world."""
    return min(ahead, world.context // 2)


def places(documents: Documents, most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions that have `most` tokens after them, at most PLACES in a document, in order: the document int [M], the
    tokens seen int [M], and the tokens that follow int [M, most]. The same positions serve every distance."""
    first = np.maximum(documents.prompt_length, 1).astype(np.int64)
    count = np.maximum(0, documents.length.astype(np.int64) - most - first + 1)
    kept = np.minimum(count, PLACES)
    row = np.repeat(np.arange(len(documents)), kept)
    rank = np.arange(len(row)) - np.repeat(np.cumsum(kept) - kept, kept)
    seen = first[row] + rank * count[row] // np.maximum(kept[row], 1)
    return row, seen, documents.tokens[row[:, None], seen[:, None] + np.arange(most)].astype(np.int64)


def read(x: np.ndarray, tokens: np.ndarray, scored: np.ndarray) -> np.ndarray:
    """What the probes read from hidden states `scored` [S, D]: tokens int [S, K]. The probes are fitted on hidden
    states x [M, D] and the tokens int [M, K] that follow.

    One probe for each distance: least squares of the one-hot code of the token, whose largest value is read. The ridge
    penalty is the one in RIDGES with the smallest generalized cross-validation error (Golub, Heath & Wahba 1979). With
    a large penalty the probe reads the most frequent token. The products of all rows are computed once for all
    distances.
    """
    from scipy.sparse import csr_array

    m, center = len(x), x.mean(axis=0)
    a = x - center
    size, direction = np.linalg.eigh(a.T @ a)
    size = np.maximum(size, 0)
    shrunk = 1 / (size + RIDGES[:, None] * max(float(size.mean()), 1e-30))
    left = 1 - (1 + (size * shrunk).sum(axis=1)) / m
    out, along = np.empty((len(scored), tokens.shape[1]), np.int64), ((scored - center) @ direction).astype(np.float32)
    for k, column in enumerate(tokens.T):
        classes, label, count = np.unique(column, return_inverse=True, return_counts=True)
        member = csr_array((np.ones(m), (label, np.arange(m))), shape=(len(classes), m))
        moment, share = (member @ a) @ direction, count / m
        explained = (2 * shrunk - size * shrunk**2) @ (moment**2).sum(axis=0)
        missed = np.maximum(m * (1 - share @ share) - explained, 0)
        error = np.where(left > 0, missed / np.maximum(left, 1e-9) ** 2, np.inf)
        weight = moment * shrunk[len(error) - 1 - error[::-1].argmin()]
        value = along @ weight.T.astype(np.float32) + share.astype(np.float32)
        out[:, k] = classes[value.argmax(axis=1)]
    return out


def most_frequent(tokens: np.ndarray) -> np.ndarray:
    """The most frequent token of each column int [M, K]: int [K]."""
    return np.array([np.bincount(column).argmax() for column in tokens.T], np.int64)


def _ends(scores: list[Score]) -> np.ndarray:
    """The ends of the intervals, float [2, K]; NaN where there is none."""
    return np.array([score.interval or (np.nan, np.nan) for score in scores], float).reshape(-1, 2).T


class Bits:
    """The bits that softmax probes read at some distances, fitted on one half of the documents and scored on the other
    half, in both directions. The penalty of each probe is chosen once: on a quarter of the documents of its fit, by
    probes that are fitted on the other three quarters."""

    def __init__(self, h: np.ndarray, row: np.ndarray, tokens: np.ndarray, size: int) -> None:
        self.tokens, self.size, half = tokens, size, row % 2 == 0
        self.directions = list[tuple[np.ndarray, Coordinates, list[float]]]()
        for fit in (half, ~half):
            at, inner = Coordinates.of(h, fit), fit & ~np.isin(row, np.unique(row[fit])[::4])
            self.directions.append((fit, at, [chosen(at, column, fit, inner, size) for column in tokens.T]))

    def read(self, kept: np.ndarray) -> np.ndarray:
        """The mean over the kept positions (bool [M]), by distance: float [K]; NaN where there is nothing to fit."""
        total = np.zeros(self.tokens.shape[1])
        for fit, at, penalties in self.directions:
            asked = kept & ~fit
            if not (fit & kept).any():
                return np.full(len(total), np.nan)
            for k, (column, penalty) in enumerate(zip(self.tokens.T, penalties)):
                total[k] += fitted(at, column, fit & kept, penalty).bits(at.z_MD[asked], column[asked], self.size).sum()
        return total / kept.sum()


class AheadProbe(Metric):
    """What linear probes of the hidden state say about the tokens k = 1 .. 20 ahead (NextLat, Teoh et al. 2025, arXiv
    2511.05963, on TinyStories).

    The hidden state after t tokens is the one from which the model predicts token t + 1, the token 1 ahead. `bits_1` ..
    `bits_20`: how many bits of the token a softmax probe reads, beyond the frequencies of tokens. `ahead_1` ..
    `ahead_20`: the share of tokens that a least-squares probe predicts. `mean` (primary): this share over all
    distances. Controls: `mean_untrained` and `bits_*_untrained`, the probes of an untrained network; `mean_constant`,
    always the most frequent token. Probes are fitted on one half of the held-out documents and scored on the other, in
    both directions; intervals are over documents, with new fits.

    Sees: what the hidden state says linearly about the near future. Cannot see: what is there in another form, and
    whether the model uses it. A token that the present token makes likely counts too, so compare with the controls.
    Far ahead, every probe predicts the most frequent token. So the shares see nothing there, and the bits see more.
    """

    name, version, direction = "ahead_probe", 1, "higher"
    primary = "mean"
    beside = ("mean_untrained", "bits_1", "bits_10", "bits_10_untrained")
    directions: ClassVar[dict[str, Direction]] = {
        "mean_untrained": "none",
        "mean_constant": "none",
        "ahead_*": "higher",
        "bits_*_untrained": "none",
        "bits_*": "higher",
    }
    needs_of_model = (HasHidden,)
    floor = ceiling = None
    apart = True
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "untrained": (Expectation("mean", 0, 0.9), Expectation("mean_constant", 0, 0.9)),
    }
    blind = "it asks only worlds without states, which have no exact model that could be damaged"

    def applies(self, world: Able, model: SequenceModel) -> str | None:
        if isinstance(world, Automaton):
            return f"the states of the world {world.name!r} are known: state_probe asks for the state itself"
        return None

    def measure(self, evaluation: Evaluation) -> Report:
        world, model, c = evaluation.world, evaluation.model, evaluation.settings
        n, most = c.ahead_documents, farthest(world, c.ahead)
        documents = world.sample(evaluation.seed, "test", 0, n)
        row, seen, tokens = places(documents, most)
        shown, size = [k for k in SHOWN if k <= most], len(world.vocabulary)
        half = row % 2 == 0
        if min(len(np.unique(row[half])), len(np.unique(row[~half]))) < 2:
            reason = f"too few of the {n} documents have {most} tokens after a position"
            return Report({name: Score.missing(reason) for name in ("mean", "mean_constant", "mean_untrained")})

        def right(x: np.ndarray | None, part: Part) -> np.ndarray:
            """By distance, the share of tokens that the probes of hidden states x read, or the most frequent ones; NaN
            where the part has nothing to fit."""
            kept, hits = part.kept(n, 2)[row], np.zeros(most)
            if not ((half & kept).any() and (~half & kept).any()):
                return np.full(most, np.nan)
            for fit in (half & kept, ~half & kept):
                asked = kept & ~fit
                said = most_frequent(tokens[fit]) if x is None else read(x[fit], tokens[fit], x[asked])
                hits += (said == tokens[asked]).sum(axis=0)
            return hits / kept.sum()

        def bits_of(x: np.ndarray) -> Bits:
            return Bits(x, row, tokens[:, [k - 1 for k in shown]], size)

        h = hidden_at(model, documents, row, seen)
        bits = bits_of(h)

        def values(part: Part) -> dict[str, float]:
            by_distance, read_bits = right(h, part), bits.read(part.kept(n, 2)[row])
            out = {"mean": float(by_distance.mean())} | {f"{k + 1}": float(v) for k, v in enumerate(by_distance)}
            return out | {f"bits_{k}": float(v) for k, v in zip(shown, read_bits)}

        found = refitted(values, n, lambda name: (-np.inf, np.inf) if name.startswith("bits") else (0.0, 1.0))
        every = [found[f"{k}"] for k in range(1, most + 1)]
        constant = right(None, Part())
        curve = {
            "distance": np.arange(1, most + 1),
            "accuracy": np.array([score.value for score in every]),
            "constant": constant,
            **dict(zip(("low", "high"), _ends(every))),
        }
        scores = {"mean": found["mean"], "mean_constant": single(float(constant.mean()), n)}
        scores |= {f"ahead_{k}": found[f"{k}"] for k in shown} | {f"bits_{k}": found[f"bits_{k}"] for k in shown}
        by_bits = {
            "distance": np.array(shown),
            "bits": np.array([found[f"bits_{k}"].value for k in shown]),
            **dict(zip(("low", "high"), _ends([found[f"bits_{k}"] for k in shown]))),
        }
        report = Report(scores)
        if (untrained := model.untrained(evaluation.seed)) is not None:
            x = hidden_at(untrained, documents, row, seen)
            curve["untrained"] = right(x, Part())
            scores["mean_untrained"] = single(float(curve["untrained"].mean()), n)
            by_shown = bits_of(x).read(np.ones(len(row), bool))
            scores |= {f"bits_{k}_untrained": single(float(v), n) for k, v in zip(shown, by_shown)}
            by_bits["untrained"] = by_shown
        else:
            report.notes.append(f"no untrained control: {model.name!r} has no untrained twin")
        if most < c.ahead:
            report.notes.append(f"the largest distance is {most}, half of a document of {world.context} tokens")
        report.series["by_distance"] = {name: x.tolist() for name, x in curve.items()}
        report.series["by_bits"] = {name: x.tolist() for name, x in by_bits.items()}
        report.arrays = {f"by_{k}": x for k, x in curve.items()} | {f"bits_{k}": x for k, x in by_bits.items()}
        return report


METRIC = AheadProbe()
