"""Pairs of prefixes that differ in the component alone: only what was seen long ago tells them apart.

Shape letters: N prefixes, P pairs, S entries of the belief, C components.
"""

from __future__ import annotations

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import Able, HasBeliefs, HasComponents, lacking
from worldbench.core.world import Documents
from worldbench.metrics.prefix_pairs import within

ALIKE = 0.02
"""The beliefs inside every component agree when rounded to multiples of this."""
APART = 0.05
"""Least difference of the probability of some component."""


def inside(world: Able, belief: np.ndarray) -> np.ndarray:
    """The belief given each component, float64 [N, S]: the entries of a component, divided by its probability; zeros
    for a component that is impossible. belief: float64 [N, S]."""
    of_entry = world.components(belief)[:, world.component_of_entry()]
    possible = np.abs(of_entry) > 1e-12
    return np.where(possible, belief / np.where(possible, of_entry, 1), 0)


def component_pairs(world: Able, pool: Documents, seed: int) -> np.ndarray | None:
    """Pairs of prefixes of the pool, int [P, 2], whose beliefs inside every component are nearly the same, and whose
    probabilities of the components differ. None if the world has no components."""
    if lacking((HasComponents, HasBeliefs), world) or world.component_of_entry().max() == 0:
        return None
    belief = world.beliefs(world.after(pool))
    rng = streams.generator("evaluation", seed, "split component")
    pairs = within(np.floor(inside(world, belief) / ALIKE + 0.381966).astype(np.int64), rng)
    component = world.components(belief)
    return pairs[np.abs(component[pairs[:, 0]] - component[pairs[:, 1]]).max(axis=1) >= APART]
