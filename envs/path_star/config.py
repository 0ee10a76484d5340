"""The options of the world of path-star graphs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from worldbench.core.errors import InputError, not_among

Form = Literal["path", "reversed", "teacherless"]
MOST_LABELS = 10_000
"""Most labels of nodes."""


@dataclass(frozen=True, kw_only=True)
class PathStarConfig:
    """Path-star graphs G(arms, length), a new one in every prompt."""

    arms: int = 5
    """Number of arms that leave the source. A guess of the arm is right with probability 1 / arms."""
    length: int = 5
    """Number of nodes of an arm, the source included: the number of nodes of the path."""
    labels: int = 100
    """Number of labels. Each graph draws different labels for its nodes."""
    form: Form = "path"
    """path: the path from the source to the goal follows the prompt. reversed: the path from the goal back to the
    source, where no step has to be planned. teacherless: the model reads a placeholder in place of every node of the
    path, and is asked for all nodes at once."""
    held_out_share: float = 0.1
    """Share of all graphs that is held out, with all their goals. A hash of the graph decides. Evaluation uses the
    held-out graphs, training never does."""

    def __post_init__(self) -> None:
        if self.arms < 2:
            raise InputError(f"env.arms must be at least 2, not {self.arms}")
        if self.length < 2:
            raise InputError(f"env.length must be at least 2 (the source and the goal), not {self.length}")
        if not self.nodes <= self.labels <= MOST_LABELS:
            raise InputError(
                f"env.labels must lie between {self.nodes} (the nodes of a graph with {self.arms} arms of length "
                f"{self.length}) and {MOST_LABELS}, not {self.labels}"
            )
        if self.form not in get_args(Form):
            raise not_among("env.form", self.form, get_args(Form))
        if not 0 < self.held_out_share < 1:
            raise InputError(f"env.held_out_share must be above 0 and below 1, not {self.held_out_share}")

    @property
    def nodes(self) -> int:
        """Number of nodes of a graph."""
        return self.arms * (self.length - 1) + 1

    @property
    def edges(self) -> int:
        """Number of edges of a graph."""
        return self.nodes - 1
