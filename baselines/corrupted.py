"""The oracle with deliberate damage, which metrics must detect. `corrupted_config.py` lists the kinds of damage.

Shape letters: N rows, T tokens, A answers.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

from worldbench.baselines import prefixes
from worldbench.baselines.corrupted_config import MAP_DAMAGE, CorruptedConfig
from worldbench.baselines.damaged_laws import leaking, mixed, noisy, tempered, uniform_over
from worldbench.baselines.from_states import FromStates
from worldbench.core import streams
from worldbench.core.abilities import Able, HasDamage, HasGoals, HasLaw, require
from worldbench.core.errors import InputError
from worldbench.core.hashing import extended
from worldbench.core.world import ILLEGAL, OPEN, Automaton, States, World


@dataclass
class CorruptedStates(States):
    """own: states of the damaged world; for a lost row the last state before the row was lost. lost: bool [N], whether
    the row has taken a move that the model thinks impossible. prefix: uint64 [N], hashes of the tokens so far. read:
    int64 [N], number of tokens since the prompt."""

    own: States
    lost: np.ndarray
    prefix: np.ndarray
    read: np.ndarray


@dataclass
class LateStates(CorruptedStates):
    """before: the own states one token earlier; after the prompt, the states there."""

    before: States


class Corrupted(FromStates):
    """The exact law of a damaged world, with damage to the goals and to the law. The damage is applied in the order of
    the options.

    A prefix that takes a move which the model thinks impossible (the damaged map lacks the move) is lost: from then on
    the model predicts a uniform distribution over the legal moves of its last state. If the model aims at another goal
    and the prefix leads where no document with that goal goes, the model predicts as the law of the world does in
    states that no document reaches.
    """

    name = "corrupted"
    needs = (Automaton, HasLaw)

    def __init__(self, world: World, config: CorruptedConfig | None = None, seed: int = 0) -> None:
        super().__init__(world)
        self.config = config or CorruptedConfig()
        self.own: Able = world
        c = self.config
        if c.deleted or c.added or c.rewired:
            _require_map(world, c)
            self.own = self.own.damaged(c.deleted, c.added, c.rewired, seed)
        if c.wrong_goal or c.blind:
            require((HasGoals,), world)
        if c.leak and world.labelled:
            raise InputError(f"labels of the world {world.name!r} are never illegal: model.leak must be 0")
        self._key = np.uint64(streams.integer("noise", seed))
        self._exact_until = (1 - c.forgets) * world.longest

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> CorruptedStates:
        own = self.own.start(tokens, lengths)
        prefix = np.full(len(tokens), self._key)
        for t in range(tokens.shape[1]):
            prefix = np.where(t < np.asarray(lengths), extended(prefix, tokens[:, t]), prefix)
        if self.config.wrong_goal:
            own = self.misled(own, prefix)
        lost = np.asarray(self.own.outcome(own)) == ILLEGAL
        states = CorruptedStates(own, lost, prefix, np.zeros(len(tokens), np.int64))
        return self._late(states, own) if self.config.late else states

    def misled(self, own: States, prefix: np.ndarray) -> States:
        """The states with another goal at a share of the rows, which a hash of the prompt chooses. A row without
        another possible goal keeps its own."""
        chance = _chance("wrong goal", prefix, 2)
        others = self.own.other_goals(own, chance[:, 1])
        misled = (chance[:, 0] < self.config.wrong_goal) & (others >= 0)
        return self.own.with_goals(own, np.where(misled, others, self.own.goals(own)))

    def _late(self, states: CorruptedStates, before: States) -> LateStates:
        fields = {f.name: getattr(states, f.name) for f in dataclasses.fields(CorruptedStates)}
        return LateStates(**fields, before=before)

    def step(self, states: States, tokens: np.ndarray) -> CorruptedStates:
        assert isinstance(states, CorruptedStates)
        own = self.own.step(states.own, tokens)
        lost = states.lost | (
            (np.asarray(self.own.outcome(states.own)) == OPEN) & (np.asarray(self.own.outcome(own)) == ILLEGAL)
        )
        own = own.copy()
        own.put(np.flatnonzero(lost), states.own.take(lost))
        prefix = extended(states.prefix, np.asarray(tokens))
        after = CorruptedStates(own, lost, prefix, states.read + 1)
        return self._late(after, states.own) if self.config.late else after

    def answer_law(self, states: States) -> np.ndarray:
        assert isinstance(states, CorruptedStates)
        c = self.config
        law = self.own_law(states.own)
        if isinstance(states, LateStates):
            late = _chance("late", states.prefix, 1)[:, 0] < c.late
            if late.any():
                law[late] = self.own_law(states.before.take(late))
        if states.lost.any():
            lost = states.own.take(states.lost)
            legal = np.ones((len(lost), law.shape[1]), bool) if self.own.labelled else self.own.legal(lost)
            law[states.lost] = uniform_over(legal)
        if c.forgets:
            law[states.read >= self._exact_until] = 1 / law.shape[1]
        if c.temperature != 1:
            law = tempered(law, c.temperature)
        if c.noise:
            law = noisy(law, states.prefix, c.noise)
        if c.leak:
            law = leaking(law, self.own.legal(states.own), c.leak)
        return (1 - c.floor) * law + c.floor / law.shape[1]

    def own_law(self, own: States) -> np.ndarray:
        """The law of the own states, with the weight of `blind` on the law of a reader who does not see the goal."""
        law = self.own.law(own)
        return mixed(law, self.own.blind_law(own), self.config.blind) if self.config.blind else law


def _require_map(world: World, config: CorruptedConfig) -> None:
    """Raises InputError, with the options of the map that are not 0, if the world has no map to damage."""
    if isinstance(world, HasDamage):
        return
    defaults = CorruptedConfig()
    values = {name: getattr(config, name) for name in MAP_DAMAGE if getattr(config, name)}
    named = " and ".join(
        f"model.{name} is {value}{' (the default)' if value == getattr(defaults, name) else ''}"
        for name, value in values.items()
    )
    words = " ".join(f"--model.{name} 0" for name in values)
    raise InputError(f"the world {world.name!r} has no map to damage, and {named}; add {words}")


def _chance(name: str, prefix: np.ndarray, width: int) -> np.ndarray:
    """Random numbers [N, width] in (0, 1) for one kind of damage, a function of the prefix hashes. They are independent
    of those of other kinds and of the noise."""
    return prefixes.uniforms(prefix ^ np.uint64(streams.integer(name)), width)
