"""What a world can do beyond what every world must: small protocols, asked for with `isinstance(world, HasLaw)`.

A world has an ability if its class has the methods; nothing is declared or registered. A metric names what it needs
(`Metric.needs`), and so does a model that is made from a world; why one does not apply is said here, in the same words
for all. A world that stands for another (damaged, shifted, wrapped) must be of a class that has the methods which the
other has: `isinstance` does not see what `__getattr__` would hand on.

Shape letters: N rows, A answers or actions, P prompt tokens, S entries of a belief.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

import numpy as np

from worldbench.core.documents import Documents
from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.core.world import Automaton, World

T = TypeVar("T", bound=type)

_WITHOUT: dict[type, str] = {Automaton: "the world {name!r} has no states that can be followed from token to token"}


def without(sentence: str) -> Callable[[T], T]:
    """Decorates an ability with the sentence that is said of those who lack it; {name!r} stands for the name of the
    world or model."""

    def keep(ability: T) -> T:
        _WITHOUT[ability] = sentence
        return ability

    return keep


def lacking(needs: Iterable[type], of: Any) -> str | None:
    """A sentence on the first of the abilities `needs` that a world or a model lacks; None: it has them all."""
    for need in needs:
        if not isinstance(of, need):
            return _WITHOUT.get(need, f"{{name!r}} is no {need.__name__}").format(name=of.name)
    return None


def require(needs: Iterable[type], of: Any) -> None:
    """Raises InputError where a world or a model lacks one of the abilities `needs`."""
    if (reason := lacking(needs, of)) is not None:
        raise InputError(reason)


def exact_law(world: World, states: Any) -> np.ndarray | None:
    """The law of the world in these states, float64 [N, A]; None where it is not known."""
    return world.law(states) if isinstance(world, HasLaw) else None


def asks_for_labels(world: World) -> str | None:
    """The sentence on a world whose documents ask for labels of their own; None: it asks for the next token."""
    return f"the world {world.name!r} asks for labels of its own, not for the next token" if world.labelled else None


Able: TypeAlias = Any
"""A world or model with the abilities that were asked for before (Python has no type for "a world and HasLaw")."""


@without("the exact law of the world {name!r} is not known")
@runtime_checkable
class HasLaw(Protocol):
    def law(self, states: Any, /) -> np.ndarray:
        """The data's exact law of what is asked for, float64 [N, A], over the vocabulary's answers (as a rule the next
        token, over the actions). Where no document leads: uniform over what is legal, else over all."""
        ...


@without("the expected entropies of the exact law of the world {name!r} are not known")
@runtime_checkable
class HasEntropies(Protocol):
    def expected_entropies(self) -> np.ndarray:
        """By place after the prompt, the expected entropy of the exact law there, in nats, over all documents: what no
        model's loss can fall below. float64, `longest` of them; NaN where it is known only as a mean over sampled
        documents."""
        ...


@without("the world {name!r} cannot walk backwards from a state")
@runtime_checkable
class HasHistories(Protocol):
    def draw_states(self, uniform: np.ndarray, /) -> Any:
        """A state a row, uniform over the world's structural states that are still open, from draws [N, 4], each from
        0 up to 1."""
        ...

    def histories(self, states: Any, moves: np.ndarray, uniform: np.ndarray, /) -> Documents:
        """A random prefix for each state: a prompt, then `moves` [N] legal tokens that lead to the structural key of
        the state (a random backward walk).

        uniform: [N, W] in [0, 1), W at least the most moves. A row without such a prefix has length 0.
        """
        ...


@without("the world {name!r} has no distances: there is no shortest ride")
@runtime_checkable
class HasDistance(Protocol):
    def distance(self, states: Any, /) -> np.ndarray:
        """Fewest tokens still needed before the end, int [N]; -1 where it is not known."""
        ...


@without("the world {name!r} has no budget of moves to keep detours within")
@runtime_checkable
class HasBudget(Protocol):
    def within_budget(self, states: Any, /) -> np.ndarray:
        """bool [N, A]: legal moves (no end) after which the goal can still be reached within the budget: the rule of
        detours."""
        ...


@without("the world {name!r} has no street map")
@runtime_checkable
class HasMap(Protocol):
    def graph(self) -> Graph:
        """The true map. Its directions are the first actions of the vocabulary."""
        ...

    def route_ends(self, prompts: np.ndarray, /) -> tuple[np.ndarray, np.ndarray]:
        """The places int [N] where the rides asked for by prompts [N, P] start and should end."""
        ...


@without("the world {name!r} has no belief: its state is known after every prefix")
@runtime_checkable
class HasBeliefs(Protocol):
    def beliefs(self, states: Any, /) -> np.ndarray:
        """float64 [N, S]: the exact belief over hidden states, in each state of the world."""
        ...


@without("the prompts of the world {name!r} tell no rule of their own that could be told another way")
@runtime_checkable
class HasTellings(Protocol):
    def retold(self, documents: Documents, seed: int, /) -> Documents:
        """The same documents with each prompt told another way, so that the state after it is the same; lengths stay. A
        longer request extends a shorter."""
        ...


@without("the prompts of the world {name!r} tell no rule of their own of which one fact could be changed")
@runtime_checkable
class HasMinimalPairs(Protocol):
    def minimal_pairs(self, prompts: np.ndarray, lengths: np.ndarray, seed: int, /) -> tuple[np.ndarray, np.ndarray]:
        """Each prompt with one fact of its rule changed and all else told alike, [N, P], and its length, 0 where that
        cannot be."""
        ...


@without("the prompts of the world {name!r} have no picture")
@runtime_checkable
class HasDrawings(Protocol):
    def drawing(self, prompts: np.ndarray, lengths: np.ndarray, /) -> dict[str, np.ndarray]:
        """Arrays that a picture of each prompt needs."""
        ...


@without("the world {name!r} has no prompts of another law in the same words")
@runtime_checkable
class HasShifts(Protocol):
    def shifted(self) -> Mapping[str, World]:
        """Worlds of the same words and abilities whose prompts come from another law, by name: what training did not
        show."""
        ...


@without("the world {name!r} has no map to damage: deleted, added and rewired must be 0")
@runtime_checkable
class HasDamage(Protocol):
    def damageable(self) -> int:
        """How many edges damage can be done to: those of the map, or of one prompt's."""
        ...

    def damaged(self, deleted: int, added: int, rewired: int, seed: int) -> World:
        """A world of the same abilities on a map with so many edges deleted, added and led elsewhere; what is held out
        stays held out. More damage keeps what less did."""
        ...


ABILITIES: tuple[type, ...] = (
    HasLaw, HasEntropies, HasHistories, HasDistance, HasBudget, HasMap, HasBeliefs, HasTellings, HasMinimalPairs,
    HasDrawings, HasShifts, HasDamage,
)  # fmt: skip
"""All of them."""
