"""Path-star graphs: how they are drawn, written in a prompt, and read from a prompt.

A prompt lists the edges in random order, each as `from to |`, with `/` after the last edge; then the source, the goal
and `=`. So a graph with E edges has a prompt of 3 E + 3 tokens (Bachmann & Nagarajan 2024, arXiv 2403.06963; the
layout is that of their numeral tokenizer, which has no token for the comma).

Shape letters: N graphs, A arms, L nodes of an arm without the source, E = A L edges, P prompt tokens.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Self

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.hashing import hashed, share_of
from worldbench.core.world import States, Vocabulary

PAD, END, BAR, SLASH, EQUALS, BLANK = range(6)
WORDS = ("<pad>", "end", "|", "/", "=", "$")
FIRST_NODE = len(WORDS)
MOST_TRIES = 1_000
"""Rounds of drawing after which a split is given up."""


def vocabulary(labels: int, blanks: bool) -> Vocabulary:
    """The words. blanks: a model reads only placeholders after the prompt, and is asked for labels of its own."""
    nodes = tuple(range(FIRST_NODE, FIRST_NODE + labels))
    words = (*WORDS, *(str(k) for k in range(labels)))
    if blanks:
        return Vocabulary(words, pad=PAD, end=None, actions=(BLANK,), labels=nodes)
    return Vocabulary(words, pad=PAD, end=END, actions=(*nodes, END))


@dataclass
class Graphs(States):
    """arms: int64 [N, A, L], the nodes of each arm from the source outwards, arms in ascending order of their first
    node. source, goal: int64 [N]; the goal is the last node of an arm. good: bool [N], False where a prompt describes
    no such graph (the other fields then hold zeros)."""

    arms: np.ndarray
    source: np.ndarray
    goal: np.ndarray
    good: np.ndarray

    @property
    def chosen(self) -> np.ndarray:
        """The arm that leads to the goal, int64 [N]."""
        return (self.arms[:, :, -1] == self.goal[:, None]).argmax(axis=1)

    @property
    def path(self) -> np.ndarray:
        """The nodes from the source to the goal, int64 [N, L + 1]."""
        return np.concatenate([self.source[:, None], self.arms[np.arange(len(self)), self.chosen]], axis=1)

    def edges(self) -> np.ndarray:
        """The edges, arm by arm: int64 [N, A, L, 2], each from the source outwards."""
        source = np.broadcast_to(self.source[:, None, None], (*self.arms.shape[:2], 1))
        before = np.concatenate([source, self.arms[:, :, :-1]], axis=2)
        return np.stack([before, self.arms], axis=3)

    def same_graph(self) -> np.ndarray:
        """int64 [N, A L + 1]: equal rows mean equal graphs."""
        return np.concatenate(
            [self.source[:, None], self.arms.reshape(len(self), int(np.prod(self.arms.shape[1:])))], axis=1
        )

    def with_goal(self, goal: np.ndarray) -> Self:
        return dataclasses.replace(self, goal=np.asarray(goal, np.int64))


def sorted_arms(arms: np.ndarray) -> np.ndarray:
    """The arms [N, A, L] in ascending order of their first node."""
    return np.take_along_axis(arms, np.argsort(arms[:, :, 0], axis=1)[:, :, None], axis=1)


def written(graphs: Graphs, order: np.ndarray) -> np.ndarray:
    """The prompts of graphs, int32 [N, P]. order: numbers [N, E] whose ranks give the order of the edges."""
    n, ranks = len(graphs), np.argsort(order, axis=1)
    edges = np.take_along_axis(graphs.edges().reshape(n, order.shape[1], 2), ranks[:, :, None], axis=1)
    e = edges.shape[1]
    out = np.empty((n, 3 * e + 3), np.int32)
    listed = out[:, : 3 * e].reshape(n, e, 3)
    listed[:, :, :2], listed[:, :, 2] = edges + FIRST_NODE, BAR
    out[:, 3 * e - 1], out[:, -1] = SLASH, EQUALS
    out[:, -3], out[:, -2] = graphs.source + FIRST_NODE, graphs.goal + FIRST_NODE
    return out


def read(prompts: np.ndarray, lengths: np.ndarray, arms: int, length: int, labels: int) -> Graphs:
    """The graphs that prompts int [N, P] of `lengths` [N] tokens describe."""
    n, e = len(prompts), arms * length
    width = 3 * e + 3
    tokens = np.zeros((n, width), np.int64)
    shown = min(width, prompts.shape[1])
    tokens[:, :shown] = prompts[:, :shown]
    marks = np.full(3 * e, -1)
    marks[2::3], marks[-1] = BAR, SLASH
    is_mark = np.concatenate([marks, [-1, -1, EQUALS]])
    node = tokens - FIRST_NODE
    fits = np.where(is_mark >= 0, tokens == is_mark, (node >= 0) & (node < labels)).all(axis=1)
    good = fits & (np.asarray(lengths) == width)
    node = np.where(good[:, None], node, 0)
    edges, source, goal = node[:, : 3 * e].reshape(n, e, 3)[:, :, :2], node[:, -3], node[:, -2]
    rows = np.arange(n)[:, None]
    from_source = edges[:, :, 0] == source[:, None]
    good &= from_source.sum(axis=1) == arms
    following = np.full((n, labels + 1), labels)
    following[rows, np.where(from_source, labels, edges[:, :, 0])] = edges[:, :, 1]
    following[:, labels] = labels
    first = np.argsort(~from_source, axis=1, kind="stable")[:, :arms]
    walk = [np.take_along_axis(edges[:, :, 1], first, axis=1)]
    for _ in range(length - 1):
        walk.append(following[rows, walk[-1]])
    tree = np.stack(walk, axis=2)
    nodes = np.sort(np.concatenate([tree.reshape(n, -1), source[:, None]], axis=1), axis=1)
    good &= (np.diff(nodes, axis=1) > 0).all(axis=1) & (nodes[:, -1] < labels)
    good &= (tree[:, :, -1] == goal[:, None]).any(axis=1)
    return Graphs(
        np.where(good[:, None, None], sorted_arms(tree), 0), np.where(good, source, 0), np.where(good, goal, 0), good
    )


@dataclass(frozen=True)
class Source:
    """Draws graphs G(arms, length + 1) with `labels` labels. A share of all graphs is held out, each with all its
    goals."""

    arms: int
    length: int
    labels: int
    held_out_share: float

    def held_out(self, graphs: Graphs) -> np.ndarray:
        """bool [N]: is the graph held out? Neither its goal nor the seed of a run matters.

        Were graphs held out with one goal alone, a model that remembers a graph with its other goal would answer with
        the wrong arm, and a guess would be right in fewer than 1 / arms of the held-out graphs (LOG, 2026-11-27).
        """
        salt = streams.integer("held-out path-star graphs")
        return share_of(hashed(graphs.same_graph(), salt)) < self.held_out_share

    def draw(self, seed: int, split: str, start: int, count: int) -> Graphs:
        """Graphs start .. start + count - 1 of the split ("train" or "test"): the first draw that belongs to the split.

        Raises InputError for another split, and for a split without graphs.
        """
        if split not in ("train", "test"):
            raise InputError(f"unknown split {split!r}; the splits are 'train' and 'test'")
        drawn, missing = None, np.arange(count)
        for attempt in range(MOST_TRIES):
            tried = self._draw(start + missing, seed, split, attempt)
            taken = self.held_out(tried) == (split == "test")
            if drawn is None:
                drawn = tried
            drawn.put(missing[taken], tried.take(taken))
            missing = missing[~taken]
            if not len(missing):
                return drawn
        raise InputError(
            f"{MOST_TRIES} graphs in a row do not belong to the split {split!r}; env.held_out_share is "
            f"{self.held_out_share:g}: choose a value nearer to 0.5, or more labels"
        )

    def _draw(self, items: np.ndarray, seed: int, split: str, attempt: int) -> Graphs:
        n, e = len(items), self.arms * self.length
        u = streams.uniform_rows(items, self.labels + 1, "path-star", seed, split, attempt)
        nodes = _smallest(u[:, 1:], e + 1)
        tree = sorted_arms(nodes[:, 1:].reshape(n, self.arms, self.length))
        chosen = (u[:, 0] * self.arms).astype(np.int64)
        return Graphs(tree, nodes[:, 0], tree[np.arange(n), chosen, -1], np.ones(n, bool))


def _smallest(u: np.ndarray, k: int) -> np.ndarray:
    """The columns of the k smallest numbers of each row of u [N, M], in ascending order of the numbers: int64 [N, k].
    For independent uniform numbers, a random choice of k different columns in random order."""
    if 4 * k > u.shape[1]:
        return np.argsort(u, axis=1)[:, :k]
    part = np.argpartition(u, k, axis=1)[:, :k]
    return np.take_along_axis(part, np.argsort(np.take_along_axis(u, part, axis=1), axis=1), axis=1)


def exchanged(graphs: Graphs, uniform: np.ndarray) -> tuple[Graphs, np.ndarray]:
    """Graphs in which two edges of two arms exchange their ends, so that the goal lies in another arm; and bool [N],
    False where there are no such edges (arms of one node).

    uniform: random numbers [N, 2]: the other arm, and the depth of the edges.
    """
    n, a, length = graphs.arms.shape
    if length < 2:
        return graphs, np.zeros(n, bool)
    rows, own = np.arange(n), graphs.chosen
    other = (own + 1 + (uniform[:, 0] * (a - 1)).astype(np.int64)) % a
    depth = 1 + (uniform[:, 1] * (length - 1)).astype(np.int64)
    moves = np.arange(length)[None, :] >= depth[:, None]
    arms = graphs.arms.copy()
    arms[rows, own] = np.where(moves, graphs.arms[rows, other], graphs.arms[rows, own])
    arms[rows, other] = np.where(moves, graphs.arms[rows, own], graphs.arms[rows, other])
    return dataclasses.replace(graphs, arms=arms), graphs.good.copy()
