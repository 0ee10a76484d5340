"""The world of path-star graphs: a new graph in every prompt, and the path from its source to the goal.

Shape letters: N documents, T tokens, E edges.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from worldbench.core import streams
from worldbench.core.sampling import distinct_prompts
from worldbench.core.text import counted
from worldbench.core.world import Documents
from worldbench.envs.path_star.config import PathStarConfig
from worldbench.envs.path_star.graphs import BLANK, END, FIRST_NODE, PAD, Graphs, Source, exchanged, read, written
from worldbench.envs.path_star.states import PathStarStates

BLOCK = 8192
"""Graphs drawn together, to limit memory. Results do not depend on it."""


_EVERY_ARM = "the rule allows every arm, and its end; the goal alone says which arm is right"
_LATER = "a pair of different graphs is told apart without the goal"
EXCEPTIONS = {
    "next_token.top1_legal wrong_goal": _EVERY_ARM,
    "next_token.top1_legal blind": _EVERY_ARM,
    "split_merge.split random-legal": _LATER,
    "split_merge.split blind": _LATER,
    "retelling.jensen_shannon wrong_goal": "with two arms, every wrong goal is the same goal in both tellings",
    "retelling.identical wrong_goal": "with two arms, every wrong goal is the same goal in both tellings",
}
"""Statements of metrics that do not hold here (`World.exceptions`)."""


class PathStarWorld(PathStarStates):
    """Path-star graphs (Bachmann & Nagarajan 2024, arXiv 2403.06963; setting of Teoh et al. 2025, arXiv 2511.05963).

    `arms` arms leave a source. A prompt lists the edges in random order, then the source and the goal, which is the
    last node of one arm. The nodes of the path follow, then the end. After the source, only one of the arms is right,
    and nothing but the goal at its far end says which. Every later node follows from the edge list. A model that is
    trained on the next token can learn the later nodes and guess the arm: it arrives with probability 1 / arms.

    State: the graph, the goal, the arm, the number of tokens. Ground truth: the exact law, which is certain. Whole
    graphs are held out, by a hash: the same graph with another goal is never in training.

    Controls (`env.form`): in `reversed` paths no step has to be planned; in `teacherless` documents the model reads no
    node of the path, so that it cannot learn to copy the edge list first.

    Two documents with two arms of three nodes, the source included:
        3 7 | 3 0 | 7 5 | 0 9 / 3 9 = 3 0 9 end
        2 1 | 4 6 | 8 2 | 8 4 / 8 1 = 8 2 1 end
    """

    name = "path-star"
    version = 2

    def __init__(self, config: PathStarConfig | None = None) -> None:
        super().__init__(config or PathStarConfig())
        c = self.config
        nothing_to_plan = {"decisions.accuracy random-legal": "in a reversed path, every step follows from the edges"}
        self.exceptions = EXCEPTIONS | (nothing_to_plan if c.form == "reversed" else {})
        self.source = Source(self.arms, self.nodes_of_arm, self.labels, c.held_out_share)

    # Documents

    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        edges = self.config.edges
        parts = []
        for low in range(start, start + max(count, 1), BLOCK):
            size = min(BLOCK, start + count - low)
            graphs = self.source.draw(seed, split, low, size)
            parts.append(self._documents(graphs, streams.uniform(low, size, edges, "path-star order", seed, split)))
        return Documents.concat(parts)

    def _documents(self, graphs: Graphs, order: np.ndarray) -> Documents:
        n, answers = len(graphs), self.answers(graphs) + FIRST_NODE
        tokens = np.full((n, self.context), PAD, np.int32)
        tokens[:, : self.prompt_length] = written(graphs, order)
        lengths = np.full(n, self.prompt_length, np.int32)
        if not self.blanks:
            tokens[:, self.prompt_length : -1], tokens[:, -1] = answers, END
            return Documents(tokens, np.full(n, self.context, np.int32), lengths)
        tokens[:, self.prompt_length :] = BLANK
        labels = np.full((n, self.context), -1, np.int32)
        labels[:, self.prompt_length - 1 :] = answers
        return Documents(tokens, np.full(n, self.context, np.int32), lengths, labels)

    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The distinct prompts of the test documents of `seed`. A graph in another order of edges is not a new one."""
        size = self.prompt_length

        def asked(prompts: np.ndarray) -> np.ndarray:
            graphs = self._read(prompts, np.full(len(prompts), size))
            return np.concatenate([graphs.same_graph(), graphs.goal[:, None]], axis=1)

        return distinct_prompts(lambda start, n: self.sample(seed, "test", start, n).tokens[:, :size], count, asked)

    # Other tellings, and changed graphs

    def _read(self, prompts: np.ndarray, lengths: np.ndarray) -> Graphs:
        return read(prompts, lengths, self.arms, self.nodes_of_arm, self.labels)

    def retold(self, documents: Documents, seed: int) -> Documents:
        """The same documents, with the edges of each prompt in another random order."""
        graphs = self._read(documents.tokens, documents.prompt_length)
        order = streams.uniform(0, len(documents), self.config.edges, "path-star retold", seed)
        tokens = documents.tokens.copy()
        tokens[graphs.good, : self.prompt_length] = written(graphs, order)[graphs.good]
        return dataclasses.replace(documents, tokens=tokens)

    def minimal_pairs(self, prompts: np.ndarray, lengths: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Two edges of two arms exchange their ends, in their places in the list, so that the goal lies in another
        arm."""
        graphs = self._read(prompts, lengths)
        changed, done = exchanged(graphs, streams.uniform(0, len(prompts), 2, "path-star exchanged", seed))
        e = self.config.edges
        tokens = np.asarray(prompts, np.int32).copy()
        listed = tokens[:, : 3 * e].reshape(len(tokens), e, 3)
        after = changed.edges().reshape(-1, e, 2)
        # Every node but the source begins at most one edge: the end of that edge after the exchange.
        end_from, rows = np.zeros((len(tokens), self.labels), np.int64), np.arange(len(tokens))[:, None]
        end_from[rows, after[:, :, 0]] = after[:, :, 1]
        begins = listed[:, :, 0].astype(np.int64) - FIRST_NODE
        inner = begins != graphs.source[:, None]
        new = np.where(inner, end_from[rows, np.clip(begins, 0, self.labels - 1)] + FIRST_NODE, listed[:, :, 1])
        listed[:, :, 1] = np.where(done[:, None], new, listed[:, :, 1])
        return tokens, np.where(done, lengths, 0).astype(np.int32)

    # Identity, and texts for people

    def identity(self) -> dict[str, Any]:
        return {"world": self.name, "version": self.version, **dataclasses.asdict(self.config)}

    def summary(self, documents: int) -> str:
        c = self.config
        forms = {"path": "", "reversed": ", paths from the goal to the source", "teacherless": ", teacherless"}
        text = (
            f"path-star graphs with {c.arms} arms of {counted(c.length, 'node')}, {c.labels} labels{forms[c.form]}; "
            f"documents of {counted(self.context, 'token')}"
        )
        return text + (f"; {counted(documents, 'graph')} for training" if documents else "")

    def card(self, documents: int) -> dict[str, Any]:
        c = self.config
        return {
            "graph": f"G({c.arms},{c.length})",
            "arms": c.arms,
            "length": c.length,
            "labels": c.labels,
            "form": c.form,
            "nodes": c.nodes,
            "chance": 1 / c.arms,
            "tokens": self.context,
            "vocabulary": len(self.vocabulary),
            "held_out": f"{c.held_out_share:.3g} of the graphs, with all their goals, by a salted hash",
            "graphs": documents,
        }
