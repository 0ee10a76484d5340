"""The automaton of path-star: the state after every token, what may follow, and the exact law.

Shape letters: N rows, A arms, L nodes of an arm without the source, P prompt tokens, K actions or labels.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, OPEN, Automaton
from worldbench.envs.path_star.config import PathStarConfig
from worldbench.envs.path_star.graphs import BLANK, END, FIRST_NODE, Graphs, read, vocabulary


@dataclass
class PathStates(Graphs):
    """The graphs that the prompts describe, and the paths so far.

    arm: int64 [N], the arm that the path has entered; -1 before. said: int64 [N], tokens after the prompt. status:
    int64 [N], the outcome.
    """

    arm: np.ndarray
    said: np.ndarray
    status: np.ndarray


class PathStarStates(Automaton[PathStates]):
    """The automaton for graphs of one size. (`world.py` draws documents.)"""

    goal: str = "goal"

    def __init__(self, config: PathStarConfig) -> None:
        self.config = c = config
        self.arms, self.nodes_of_arm, self.labels = c.arms, c.length - 1, c.labels
        self.labelled = self.blanks = c.form == "teacherless"
        self.vocabulary = vocabulary(c.labels, self.blanks)
        self.prompt_length = 3 * c.edges + 3
        # A path and its end; or a placeholder for each node of the path but the first, which the prompt asks for.
        self.longest = c.length - 1 if self.blanks else c.length + 1
        self.context = self.prompt_length + self.longest

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> PathStates:
        graphs = read(tokens, lengths, self.arms, self.nodes_of_arm, self.labels)
        n = len(tokens)
        return PathStates(
            **vars(graphs), arm=np.full(n, -1), said=np.zeros(n, np.int64), status=np.where(graphs.good, OPEN, ILLEGAL)
        )

    def answers(self, graphs: Graphs) -> np.ndarray:
        """The nodes in the order in which a document writes them: int64 [N, L + 1]."""
        return graphs.path[:, ::-1] if self.config.form == "reversed" else graphs.path

    def _next(self, states: PathStates) -> np.ndarray:
        """The node that follows on the present arm, int64 [N]; -1 where the path is complete, or the arm is open."""
        said, row = states.said, np.arange(len(states))
        if self.config.form != "path":
            answers = self.answers(states)
            return np.where(said < self.config.length, answers[row, np.minimum(said, self.config.length - 1)], -1)
        on_arm = states.arms[row, np.maximum(states.arm, 0), np.clip(said - 1, 0, self.nodes_of_arm - 1)]
        after = np.where(said < self.config.length, on_arm, -1)
        return np.where(said == 0, states.source, np.where(states.arm < 0, -1, after))

    def _decides(self, states: PathStates) -> np.ndarray:
        """bool [N]: has the path left the prompt, but not yet the source? Then it may enter any arm."""
        return (states.said == 1) & (self.config.form == "path")

    def step(self, states: PathStates, tokens: np.ndarray) -> PathStates:
        tokens, going = np.asarray(tokens), states.status == OPEN
        if self.blanks:
            right = going & (tokens == BLANK)
            said = states.said + right
            status = np.where(right & (said == self.longest), ARRIVED, np.where(going & ~right, ILLEGAL, states.status))
            return dataclasses.replace(states, said=said, status=status)
        node = tokens - FIRST_NODE
        enters = self._decides(states)[:, None] & (states.arms[:, :, 0] == node[:, None])
        moving = going & ((node >= 0) & (node == self._next(states)) | enters.any(axis=1))
        ending = going & (tokens == END) & self._complete(states)
        ends = np.where(states.arm == states.chosen, ARRIVED, MISPLACED_END)
        if self.config.form == "reversed":
            ends = np.full_like(ends, ARRIVED)
        status = np.where(ending, ends, np.where(going & ~moving, ILLEGAL, states.status))
        return dataclasses.replace(
            states,
            arm=np.where(moving & enters.any(axis=1), enters.argmax(axis=1), states.arm),
            said=states.said + moving,
            status=status,
        )

    def _complete(self, states: PathStates) -> np.ndarray:
        """bool [N]: are all nodes of the path written, so that only the end may follow?"""
        return states.said == self.config.length

    def legal(self, states: PathStates) -> np.ndarray:
        """The node that follows by an edge of the graph; after the source, the first node of every arm; after the last
        node of an arm, the end. So the rule allows every arm, and the goal decides where a path should end."""
        going = states.status == OPEN
        if self.blanks:
            return going[:, None]
        out = np.zeros((len(states), self.labels + 1), bool)
        row, following = np.arange(len(states)), self._next(states)
        out[row[following >= 0], following[following >= 0]] = True
        deciding = self._decides(states)
        out[row[deciding]] = False
        out[row[deciding][:, None], states.arms[deciding, :, 0]] = True
        out[:, -1] = self._complete(states)
        return out & going[:, None]

    def outcome(self, states: PathStates) -> np.ndarray:
        return states.status

    def law(self, states: PathStates) -> np.ndarray:
        """Certain everywhere: the next node of the path to the goal. On another arm, the next node there."""
        n, row = len(states), np.arange(len(states))
        if self.blanks:
            out = np.zeros((n, self.labels))
            good = states.status != ILLEGAL
            out[row, self.answers(states)[row, np.minimum(states.said, self.config.length - 1)]] = 1
            out[~good] = 1 / self.labels
            return out
        law = self.legal(states).astype(float)
        deciding = np.flatnonzero(self._decides(states) & (states.status == OPEN))
        law[deciding] = 0
        law[deciding, states.path[deciding, 1]] = 1
        total = law.sum(axis=1, keepdims=True)
        return np.where(total > 0, law / np.maximum(total, 1), 1 / law.shape[1])

    def distance(self, states: PathStates) -> np.ndarray:
        """Tokens before the end: the nodes (or placeholders) of the path that are left. -1 on an arm that does not lead
        to the goal."""
        wrong = (states.arm >= 0) & (states.arm != states.chosen)
        nodes = self.longest if self.blanks else self.config.length
        return np.where(wrong | (states.status != OPEN), -1, nodes - states.said)

    def expected_entropies(self) -> np.ndarray:
        # With placeholders, the prompt asks for the first node, and each placeholder for one more.
        return np.zeros(self.longest + self.blanks)

    def key(self, states: PathStates) -> tuple[np.ndarray, np.ndarray]:
        """(graph, goal, arm, number of tokens, outcome), for the rule and for the law. The order of the edges in the
        prompt does not matter."""
        rest = np.stack([states.goal, states.arm, states.said, states.status], axis=1)
        both = np.concatenate([states.same_graph(), rest], axis=1)
        return both, both

    def targets(self, states: PathStates) -> dict[str, np.ndarray]:
        """node: the present node of the path (the source before it begins). following: the node that should follow on
        the path to the goal, at its end the goal. goal: the goal. All are labels of nodes."""
        row, last = np.arange(len(states)), self.config.length - 1
        answers = self.answers(states)
        on_arm = np.where(states.said < 2, answers[:, 0], answers[row, np.clip(states.said - 1, 0, last)])
        if self.config.form == "path":
            deep = np.clip(states.said - 2, 0, self.nodes_of_arm - 1)
            on_arm = np.where(states.arm < 0, on_arm, states.arms[row, np.maximum(states.arm, 0), deep])
        following = answers[row, np.minimum(states.said, last)]
        return {"node": on_arm, "following": following, "goal": states.goal}

    def classes(self, target: str) -> int:
        return self.labels if target in ("node", "following", "goal") else super().classes(target)

    # The goal

    def goals(self, states: PathStates) -> np.ndarray:
        return states.goal

    def other_goals(self, states: PathStates, uniform: np.ndarray) -> np.ndarray:
        """While no arm was entered, uniform over the last nodes of the other arms. In an arm, there is no other."""
        chosen = (states.chosen + 1 + (uniform * (self.arms - 1)).astype(np.int64)) % self.arms
        free = (states.status == OPEN) & (states.arm < 0) & ((states.said == 0) | self._decides(states))
        if self.blanks:
            free = states.status != ILLEGAL
        return np.where(free, states.arms[np.arange(len(states)), chosen, -1], -1)

    def with_goals(self, states: PathStates, goals: np.ndarray) -> PathStates:
        """A path that has ended arrives where its arm leads to the new goal, and has a misplaced end elsewhere."""
        states = states.with_goal(goals)
        ended = ((states.status == ARRIVED) | (states.status == MISPLACED_END)) & (self.config.form == "path")
        ends = np.where(states.arm == states.chosen, ARRIVED, MISPLACED_END)
        return dataclasses.replace(states, status=np.where(ended, ends, states.status))

    def prompts_with_goals(self, prompts: np.ndarray, lengths: np.ndarray, goals: np.ndarray) -> np.ndarray:
        out = prompts.copy()
        out[np.arange(len(out)), np.asarray(lengths) - 2] = np.asarray(goals) + FIRST_NODE
        return out

    def blind_law(self, states: PathStates) -> np.ndarray:
        """The law averaged over the arms while no arm was entered. Later, the arm gives the goal away."""
        free = np.flatnonzero(self.other_goals(states, np.zeros(len(states))) >= 0)
        out = self.law(states)
        if len(free):
            part = states.take(free)
            laws = [self.law(self.with_goals(part, part.arms[:, a, -1])) for a in range(self.arms)]
            out[free] = np.mean(laws, axis=0)
        return out
