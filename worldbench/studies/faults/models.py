"""The wrong models that every metric is tried on: each has one fault, and is deterministic."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from worldbench.core.model import SequenceModel
from worldbench.core.world import World
from worldbench.studies.check.damage import kinds
from worldbench.studies.faults import drivers

Kinds = dict[str, str | None]

EDGES = 8 / 75
"""Damaged edges of the map as a share of all edges."""
EXACT_MOVES = 10
"""Number of tokens after which the model `ten-then-random` guesses."""


@dataclass(frozen=True)
class Fault:
    """A wrong model. line: what is wrong with it. make: builds it for a world. impossible: the reason why the world has
    no such model, or None; its second argument is what `kinds` says of the world."""

    name: str
    line: str
    make: Callable[[World], SequenceModel]
    impossible: Callable[[World, Kinds], str | None]


def _corrupted(**damage: float | Callable[[Any], float]) -> Callable[[World], SequenceModel]:
    """A model `corrupted` with this damage: a size, or a function from the world to the size."""

    def make(world: World) -> SequenceModel:
        from worldbench.baselines.corrupted import Corrupted
        from worldbench.baselines.corrupted_config import CorruptedConfig

        sizes: dict[str, Any] = {k: size(world) if callable(size) else size for k, size in damage.items()}
        return Corrupted(world, CorruptedConfig(**{"rewired": 0, **sizes}))

    return make


def _blurred(made: bool) -> Callable[[World], SequenceModel]:
    def make(world: World) -> SequenceModel:
        from worldbench.baselines.blurred import Blurred

        return Blurred(world, 1.0, made=made)

    return make


def _ngram(world: World) -> SequenceModel:
    from worldbench.baselines.ngram import NGram, NGramConfig

    return NGram(world, NGramConfig(order=5, documents=5000))


def _edges(world: Any) -> int:
    return max(1, round(EDGES * world.damageable()))


def _share_after(world: World) -> float:
    return max(0.0, 1 - EXACT_MOVES / world.longest)


def _long(world: World, allowed: Kinds) -> str | None:
    if _share_after(world) > 0:
        return None
    return f"what a model predicts in the world {world.name!r} has at most {world.longest} tokens"


def _allowed(kind: str) -> Callable[[World, Kinds], str | None]:
    return lambda world, allowed: allowed[kind]


def _always(world: World, allowed: Kinds) -> str | None:
    return None


def _rides(world: World, allowed: Kinds) -> str | None:
    from worldbench.envs.rides.world import RideWorld

    return None if isinstance(world, RideWorld) else f"the documents of the world {world.name!r} are no rides on a map"


def _forgettable(world: World, allowed: Kinds) -> str | None:
    """None if states occur in test documents that the memorizer has not seen, and in which it differs from the law."""
    from worldbench.core.states import replay

    model = drivers.Memorizer(world)
    walked = [here for _, _, here in replay(model.own, world.sample(0, "test", 0, drivers.REMEMBERED))]
    if all(model.remembers(here).all() for here in walked):
        return f"{drivers.REMEMBERED} training documents show every state of the world {world.name!r}"
    if all(np.allclose(model.own_law(here), model.own.law(here), atol=1e-9) for here in walked):
        return f"random legal tokens are the exact law of the world {world.name!r}"
    return None


def _components(world: World, allowed: Kinds) -> str | None:
    from worldbench.core.abilities import HasComponents

    if isinstance(world, HasComponents) and world.component_of_entry().max() > 0:
        return None
    return f"the documents of the world {world.name!r} have no hidden component"


FAULTS: tuple[Fault, ...] = (
    Fault("wrong-goal", "aims at another goal, which a hash of the goal chooses", drivers.WrongGoal, _allowed("blind")),
    Fault(
        "half-wrong-goals",
        "aims at another goal after half of the prompts",
        _corrupted(wrong_goal=0.5),
        _allowed("blind"),
    ),
    Fault("blind", "does not know the goal: the law averaged over goals", _corrupted(blind=1.0), _allowed("blind")),
    Fault("wrong-origin", "starts at another place than the origin of the ride", drivers.WrongOrigin, _rides),
    Fault("confused-places", "takes a fifth of the places for another place", drivers.ConfusedPlaces, _rides),
    Fault("mirrored", "takes two tokens for each other; on a map two opposite moves", drivers.Mirrored, _always),
    Fault("rewired", "8 of 75 edges of its map lead elsewhere", _corrupted(rewired=_edges), _allowed("rewired")),
    Fault("deleted", "8 of 75 edges are missing in its map", _corrupted(deleted=_edges), _allowed("rewired")),
    Fault("added", "8 edges too many for each 75 in its map", _corrupted(added=_edges), _allowed("rewired")),
    Fault("late", "gives the distribution of one token earlier", _corrupted(late=1.0), _allowed("late")),
    Fault(
        "sometimes-late",
        "gives the distribution of one token earlier at a tenth of the positions",
        _corrupted(late=0.1),
        _allowed("late"),
    ),
    Fault("ten-then-random", "exact for ten tokens, then uniform", _corrupted(forgets=_share_after), _long),
    Fault("timeless", "does not know how many moves were made", drivers.Timeless, _rides),
    Fault(
        "memorizer", "exact in the states of 200 training documents, else random-legal", drivers.Memorizer, _forgettable
    ),
    Fault("5-gram", "counts of the last four tokens in 5,000 training documents", _ngram, _always),
    Fault("planner", "takes shortest routes alone, and ends at once", drivers.Planner, _rides),
    Fault("never-ends", "gives the end of a ride no probability", drivers.NeverEnds, _rides),
    Fault("ends-at-once", "ends as soon as it can", drivers.EndsAtOnce, _rides),
    Fault("ends-anywhere", "ends with probability .1 at every position", drivers.EndsAnywhere, _rides),
    Fault(
        "component-blind",
        "never learns the component of a mixture",
        drivers.ComponentBlind,
        _components,
    ),
    Fault("leaky", "5% of the probability goes to illegal tokens", _corrupted(leak=0.05), _allowed("leak")),
    Fault("hot", "less sure: temperature 2", _corrupted(temperature=2.0), _allowed("temperature")),
    Fault("cold", "too sure: temperature 1/2", _corrupted(temperature=0.5), _allowed("temperature")),
    Fault("noisy", "Gaussian noise of .5 nats on the logits", _corrupted(noise=0.5), _allowed("noise")),
    Fault("blurred", "exact, but its hidden states have noise of one standard deviation", _blurred(False), _always),
    Fault("drifting", "exact, but transitions of its hidden states have such noise", _blurred(True), _always),
)
"""All wrong models. The last two are exact in what they predict."""


def left_out(world: World) -> dict[str, str]:
    """{fault: the reason why the world has no such model}."""
    allowed = kinds(world)
    reasons = {fault.name: fault.impossible(world, allowed) for fault in FAULTS}
    return {name: reason for name, reason in reasons.items() if reason is not None}
