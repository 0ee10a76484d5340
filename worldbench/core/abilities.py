"""What a world can do beyond the contract of every world: small protocols, checked with `isinstance(world, HasLaw)`.

A world has an ability if its class has the methods. Nothing is declared or registered. A metric lists the abilities
that it needs (`Metric.needs`). So does a model that is built from a world. Where an ability is missing, this file
gives the reason, in the same words for every metric and model. A world that wraps another world (damaged, shifted)
must be of a class that has the same methods as the wrapped world: `isinstance` does not see methods behind
`__getattr__`.

Shape letters: N rows, A answers or actions, P prompt tokens, S entries of a belief.
"""

from __future__ import annotations

import inspect
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
    """Decorates an ability with the sentence for worlds or models that lack the ability. {name!r} is replaced by the
    name of the world or model."""

    def keep(ability: T) -> T:
        _WITHOUT[ability] = sentence
        return ability

    return keep


def lacking(needs: Iterable[type], of: Any) -> str | None:
    """A sentence on the first of the abilities `needs` that a world or a model lacks. None if nothing is missing."""
    for need in needs:
        if not isinstance(of, need):
            return _WITHOUT.get(need, f"{{name!r}} does not have the ability {need.__name__}").format(name=of.name)
    return None


def without_methods(kind: type, need: type) -> bool:
    """Do all instances of the class `kind` lack the ability `need`, because the class lacks a method? Data attributes
    are not asked for: an instance may set them when it is made."""
    if not getattr(need, "_is_protocol", False):
        return not issubclass(kind, need)
    methods = [name for name, value in vars(need).items() if inspect.isfunction(value) and not name.startswith("_")]
    return not all(hasattr(kind, name) for name in methods)


def require(needs: Iterable[type], of: Any) -> None:
    """Raises InputError if a world or a model lacks one of the abilities `needs`."""
    if (reason := lacking(needs, of)) is not None:
        raise InputError(reason)


def exact_law(world: World, states: Any) -> np.ndarray | None:
    """The law of the world in these states, float64 [N, A]. None if the law is not known."""
    return world.law(states) if isinstance(world, HasLaw) else None


def asks_for_tokens(world: World) -> str | None:
    """The reason why a method for labels does not apply to a world that asks for the next token. None: it has
    labels."""
    return None if world.labelled else f"the world {world.name!r} asks for the next token, not for labels"


def asks_for_labels(world: World) -> str | None:
    """The reason why a method that learns from the next token does not apply to a world with labels. None: no
    labels."""
    return f"the world {world.name!r} asks for labels, not for the next token" if world.labelled else None


Able: TypeAlias = Any
"""A world or model whose abilities were checked before. (Python has no type for "a world and HasLaw".)"""


@without("the exact law of the world {name!r} is not known")
@runtime_checkable
class HasLaw(Protocol):
    def law(self, states: Any, /) -> np.ndarray:
        """The exact law of the data, float64 [N, A]: the distribution of the answer over the columns
        `Vocabulary.answers`. The answer is the next token, or the label where the world has labels. In a state that
        no document reaches, the law is uniform over the legal actions, or over all columns where no action is legal.
        A world may define another law there, and then says which (rides on shortest paths: a ride that begins
        there)."""
        ...


@without("the expected entropies of the exact law of the world {name!r} are not known")
@runtime_checkable
class HasEntropies(Protocol):
    def expected_entropies(self) -> np.ndarray:
        """The expected entropy of the exact law at each position after the prompt, in nats, float64 [longest]: the
        mean over all documents. No model has a lower loss. NaN at positions where only an estimate from sampled
        documents exists."""
        ...


@without("the world {name!r} cannot walk backwards from a state")
@runtime_checkable
class HasHistories(Protocol):
    def draw_states(self, uniform: np.ndarray, /) -> Any:
        """One state for each row, uniform over the structural states of the world that are still open. `uniform`:
        random numbers [N, 4] in [0, 1)."""
        ...

    def histories(self, states: Any, moves: np.ndarray, uniform: np.ndarray, /) -> Documents:
        """A random document prefix for each state: a prompt, then `moves` [N] legal tokens that lead to the
        structural key of the state (a random backward walk).

        uniform: random numbers [N, W] in [0, 1), W at least the largest of `moves`. A row has length 0 if no such
        prefix exists. In a world whose states fix the number of tokens (Othello), `moves` is not used.
        """
        ...


@without("the world {name!r} has no distances, so no shortest route")
@runtime_checkable
class HasDistance(Protocol):
    def distance(self, states: Any, /) -> np.ndarray:
        """The fewest tokens until the end, int [N]. -1 where the distance is not known."""
        ...


@without("the world {name!r} has no budget of moves that limits detours")
@runtime_checkable
class HasBudget(Protocol):
    def within_budget(self, states: Any, /) -> np.ndarray:
        """The legal moves, `end` excluded, after which the goal can still be reached within the budget: bool [N, A].
        Detours stay within these moves."""
        ...


@without("the world {name!r} has no street map")
@runtime_checkable
class HasMap(Protocol):
    def graph(self) -> Graph:
        """The true map. Its directions are the first actions of the vocabulary."""
        ...

    def route_ends(self, prompts: np.ndarray, /) -> tuple[np.ndarray, np.ndarray]:
        """The nodes int [N] where the routes of prompts [N, P] start, and the nodes int [N] where they should end."""
        ...


@without("the world {name!r} has no belief: its state is known after every prefix")
@runtime_checkable
class HasBeliefs(Protocol):
    def beliefs(self, states: Any, /) -> np.ndarray:
        """The exact belief over hidden states in each state of the world, float64 [N, S]."""
        ...


@without("the beliefs of the world {name!r} are about one component")
@runtime_checkable
class HasComponents(Protocol):
    """A component is a hidden choice that is made once, before the first token. No prompt gives it, and no token
    changes it. An example is the part of a mixture."""

    def component_of_entry(self) -> np.ndarray:
        """The component that each entry of a belief (HasBeliefs) is about, int [S], from 0 on."""
        ...

    def components(self, beliefs: np.ndarray, /) -> np.ndarray:
        """The probability of each component, float64 [N, C], at beliefs [N, S]: a linear function of the belief. C is
        1 if there is no choice."""
        ...


@without("the prompts of the world {name!r} hold no rule that could be written another way")
@runtime_checkable
class HasTellings(Protocol):
    def retold(self, documents: Documents, seed: int, /) -> Documents:
        """The same documents with another telling of each prompt. The state after the prompt and all lengths stay
        the same. With more documents, the first ones get the same telling."""
        ...


@without("the prompts of the world {name!r} hold no rule in which one fact could be changed")
@runtime_checkable
class HasMinimalPairs(Protocol):
    def minimal_pairs(self, prompts: np.ndarray, lengths: np.ndarray, seed: int, /) -> tuple[np.ndarray, np.ndarray]:
        """Prompts that differ from the given prompts in one fact of their rule, and in nothing else: tokens [N, P]
        and lengths [N]. The length is 0 where no such prompt exists."""
        ...


@without("the prompts of the world {name!r} have no picture")
@runtime_checkable
class HasDrawings(Protocol):
    def drawing(self, prompts: np.ndarray, lengths: np.ndarray, /) -> dict[str, np.ndarray]:
        """The arrays that a picture of each prompt needs, by name."""
        ...


@without("the world {name!r} has no second distribution of prompts in the same words")
@runtime_checkable
class HasShifts(Protocol):
    def shifted(self) -> Mapping[str, World]:
        """Worlds with the same words and abilities whose prompts are drawn from another distribution, by name.
        Training saw no such prompts."""
        ...


@without("the documents of the world {name!r} have no goal")
@runtime_checkable
class HasGoals(Protocol):
    """A state of the world has two parts: the place, which the tokens move, and the goal, which the prompt gives and no
    token changes. `goal` names the goal in the words of the world ("destination")."""

    goal: str

    def goals(self, states: Any, /) -> np.ndarray:
        """The goal of each state, int [N]."""
        ...

    def other_goals(self, states: Any, uniform: np.ndarray, /) -> np.ndarray:
        """For each state a random other goal under which documents reach the same place after the same number of
        tokens, int [N]; -1 where there is none. uniform: random numbers [N] in [0, 1)."""
        ...

    def with_goals(self, states: Any, goals: np.ndarray, /) -> Any:
        """The states at the same places, with these goals int [N]."""
        ...

    def prompts_with_goals(self, prompts: np.ndarray, lengths: np.ndarray, goals: np.ndarray, /) -> np.ndarray:
        """The prompts [N, P] with these goals int [N] in place of their own: tokens of the same shape and lengths."""
        ...

    def blind_law(self, states: Any, /) -> np.ndarray:
        """The law of a reader who sees every token but the goal, float64 [N, A]: the law averaged over the goals that
        are possible there, each weighted with its probability given the place."""
        ...


@without("the world {name!r} has no board")
@runtime_checkable
class HasBoards(Protocol):
    """A state of the world is a board of squares."""

    board_shape: tuple[int, int]
    """Rows and columns of the board."""
    square_of_action: np.ndarray
    """The square that each action names, int [A]; -1 for an action that names none."""

    def boards(self, states: Any, /) -> Mapping[str, np.ndarray]:
        """The class of every square, int [N, squares], row by row, by the name of a view. Class 0 is an empty square.
        The first view is in the terms of the player to move."""
        ...


@without("the world {name!r} has no checkers of answers")
@runtime_checkable
class HasCheckers(Protocol):
    def checks(
        self, prompts: np.ndarray, lengths: np.ndarray, tokens: np.ndarray, length: np.ndarray, /
    ) -> Mapping[str, np.ndarray]:
        """Which answers pass each check: bool [N] by the name of the check, the strictest first.

        prompts: int [N, P], of `lengths` [N] tokens. tokens: answers int [N, L], of `length` [N] tokens.
        """
        ...


@without("the held-out documents of the world {name!r} are as long as those of training")
@runtime_checkable
class HasLonger(Protocol):
    """Held-out documents may be longer than the documents of training."""

    trained_length: int
    """The number of tokens of the longest document of training."""


@without("the tokens of the world {name!r} are not bytes of a text")
@runtime_checkable
class HasBytes(Protocol):
    """Documents are text: each token stands for some bytes."""

    def token_bytes(self) -> np.ndarray:
        """The number of bytes of each token, int [V]. 0 for padding."""
        ...


@without("the world {name!r} has no map to damage: deleted, added and rewired must be 0")
@runtime_checkable
class HasDamage(Protocol):
    def damageable(self) -> int:
        """How many edges can be damaged: the edges of the map, or the edges in one prompt."""
        ...

    def damaged(self, deleted: int, added: int, rewired: int, seed: int) -> World:
        """A world with the same abilities, on a map with some edges deleted, added or rewired. What is held out
        stays held out. A larger damage with the same seed contains the smaller damage."""
        ...


ABILITIES: tuple[type, ...] = (
    HasLaw, HasEntropies, HasHistories, HasDistance, HasBudget, HasMap, HasBeliefs, HasComponents, HasTellings,
    HasMinimalPairs, HasDrawings, HasShifts, HasGoals, HasBoards, HasCheckers, HasLonger, HasBytes, HasDamage,
)  # fmt: skip
"""All abilities."""
