"""Label structure: compression and distinction of states, by the labels that a model gives along suffixes.

This is what sequence compression and distinction (Vafa et al. 2024, arXiv 2406.03689) are for worlds whose documents
ask for labels. Shape letters: N pairs of prefixes, P prefix tokens, K suffix tokens.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import HasHistories, HasLaw, HasLonger, lacking
from worldbench.core.metric import Damage, Direction, Expectation, Metric, Report, Score
from worldbench.core.states import Replay
from worldbench.core.text import counted
from worldbench.core.world import Automaton, Documents
from worldbench.metrics.evaluation import Evaluation

SUFFIX = 4
"""Tokens of a suffix. Shorter where documents are shorter."""


class LabelStructure(Metric):
    """Two different random prefixes of equal or of different states, and the same random suffix after both.

    `compression`: over pairs of prefixes that lead to one state, the share after which the likeliest labels of the
    model are the same at every place of the suffix, the last place of the prefix included. `distinction`: over pairs
    that lead to two states, the share of the places where the two exact labels differ at which the model's differ too.
    Both within the length of training documents; `compression_beyond` and `distinction_beyond`: where the longer of
    both prefixes lies beyond.

    Sees: whether the model treats prefixes of one state alike. Cannot see: whether the labels are right. A model that
    gives one label always has compression 1 and distinction 0: read neither alone.
    """

    name, version, direction = "label_structure", 1, "higher"
    primary = "compression"
    beside = ("distinction",)
    directions: ClassVar[dict[str, Direction]] = {"*_beyond": "higher", "distinction": "higher"}
    needs = (Automaton, HasLaw, HasHistories)
    serves_labels, serves_tokens = True, False
    floor = "untrained"
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": tuple(Expectation(name, 1, 1) for name in ("compression", "distinction", "compression_beyond")),
        "uniform": (Expectation("compression", 1, 1), Expectation("distinction", 0, 0)),
    }
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage("compression", worse=("late",), unchanged=("leak", "temperature")),
        Damage("distinction", worse=("forgets",), unchanged=("leak", "temperature")),
    )

    def measure(self, evaluation: Evaluation) -> Report:
        world, seed, n = evaluation.world, evaluation.seed, evaluation.settings.structure_trials
        report = Report({})
        longest = world.context - world.prompt_length
        within = min(getattr(world, "trained_length", world.context) - world.prompt_length, longest)
        suffix = max(0, min(SUFFIX, within - 2))
        spans = {"": (1, within - suffix)}
        if lacking((HasLonger,), world) is None and within < longest:
            spans["_beyond"] = (max(1, within - suffix + 1), longest - suffix)
        for name, (low, high) in spans.items():
            draws = streams.uniform(0, n, 8 + 2 * world.context + suffix, "evaluation", seed, "label structure", name)
            most = low + (draws[:, 0] * (high - low + 1)).astype(np.int64)
            shorter = 1 + (draws[:, 1] * most).astype(np.int64)
            moves = np.where(draws[:, 2:3] < 0.5, np.stack([most, shorter], 1), np.stack([shorter, most], 1))
            states = [world.draw_states(draws[:, 3:7]), world.draw_states(draws[:, 4:8])]
            histories = draws[:, 8 : 8 + 2 * world.context].reshape(n, 2, world.context)
            for kind, second in (("compression", states[0]), ("distinction", states[1])):
                pair = [world.histories(of, moves[:, i], histories[:, i]) for i, of in enumerate((states[0], second))]
                found = self._labels(evaluation, pair, draws[:, 8 + 2 * world.context :])
                report.scores[kind + name] = self._score(kind, pair, *found)
        if "_beyond" not in spans:
            reason = "held-out documents are as long as those of training"
            report.scores |= dict.fromkeys(("compression_beyond", "distinction_beyond"), Score.missing(reason))
        report.notes.append(f"suffixes of {counted(suffix, 'token')}")
        return report

    @staticmethod
    def _labels(evaluation: Evaluation, pair: list[Documents], uniform: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The likeliest labels of the model and of the exact law at the end of each prefix and along the suffix: int
        [2, N, K + 1] each. Suffixes are drawn among the actions."""
        world, model = evaluation.world, evaluation.model
        actions, answers = np.array(world.vocabulary.actions), np.array(world.vocabulary.answers)
        suffix = actions[(uniform * len(actions)).astype(np.int64)]
        n, k = suffix.shape
        mine, exact = np.zeros((2, n, k + 1), np.int64), np.zeros((2, n, k + 1), np.int64)
        for i, prefix in enumerate(pair):
            length = prefix.length.astype(np.int64)
            width = int(length.max(initial=1)) + k
            tokens = np.full((n, width), world.vocabulary.pad, np.int32)
            tokens[:, : prefix.tokens.shape[1]] = prefix.tokens[:, :width]
            place = length[:, None] + np.arange(k)
            np.put_along_axis(tokens, place, suffix, axis=1)
            at = length[:, None] - 1 + np.arange(k + 1)
            logits = model.logits(tokens)
            mine[i] = logits[np.arange(n)[:, None], at][:, :, answers].argmax(axis=2)
            states = world.start(tokens[:, : world.prompt_length], prefix.prompt_length)
            walking = Replay(world, states, tokens, prefix.prompt_length, length + k, ends=True)
            for t, rows, here in walking:
                inside = t >= length[rows]
                exact[i, rows[inside], (t - length[rows])[inside]] = world.law(here).argmax(axis=1)[inside]
        return mine, exact

    @staticmethod
    def _score(kind: str, pair: list[Documents], mine: np.ndarray, exact: np.ndarray) -> Score:
        usable = (pair[0].length > 0) & (pair[1].length > 0)
        same = mine[0] == mine[1]
        if kind == "compression":
            a, b = (p.tokens for p in pair)
            width = min(a.shape[1], b.shape[1])
            usable &= (pair[0].length != pair[1].length) | (a[:, :width] != b[:, :width]).any(axis=1)
            return Score.rate(same[usable].all(axis=1), "pairs")
        differ = (exact[0] != exact[1]) & usable[:, None]
        return Score.share((~same & differ).sum(axis=1), differ.sum(axis=1), "pairs")


METRIC = LabelStructure()
