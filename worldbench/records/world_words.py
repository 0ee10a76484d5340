"""What tables call a world: its name and facts in words, such as "taxi, Greenwich Village, 43 intersections"."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from worldbench.core.cells import LONGEST
from worldbench.core.files import identity_hash
from worldbench.core.registry import worlds
from worldbench.core.text import visible
from worldbench.core.world import World
from worldbench.records.differences import differing, plain
from worldbench.records.parts import Head
from worldbench.records.runs import Result


def world_key(record: Head) -> str:
    """Eight hex digits that identify the world of a record: of the digest of its map, or else of its identity."""
    return record.world.get("map_digest", identity_hash(record.world))[:8]


def in_words(record: Result) -> str:
    """The world of a result in words, as `words_of` has it."""
    return words_of(record.world_name, record.world, record.card)


def words_of(name: str, identity: dict[str, Any], card: dict[str, Any]) -> str:
    """A world in words, at most LONGEST characters: "taxi, Greenwich Village, 43 intersections". The words come from
    the class of the world, or from the identity if the world is of a plugin that is not loaded."""
    entry = worlds.find(name)
    kind: type[World] = World if entry is None else entry.load()
    facts = kind.in_words(identity, card)
    return visible(f"{name}, {facts}" if facts else name, LONGEST)


def places_in_words(records: Sequence[Result]) -> list[str]:
    """World and preset of each result: "taxi, Greenwich Village, 43 intersections, preset small". If the words of two
    worlds are equal, the key of the world is added."""
    out = [f"{in_words(record)}, preset {record.preset}" for record in records]
    keys: dict[str, set[str]] = defaultdict(set)
    for words, record in zip(out, records):
        keys[words].add(world_key(record))
    return [words if len(keys[words]) == 1 else f"{words} ({world_key(r)})" for words, r in zip(out, records)]


def distinct_words(records: Sequence[Result]) -> list[str]:
    """`in_words` for results of different worlds. If the words of two worlds are equal, the facts in which their
    identities differ are added."""
    out = [in_words(record) for record in records]
    alike: dict[str, list[int]] = defaultdict(list)
    for i, words in enumerate(out):
        alike[words].append(i)
    for places in alike.values():
        facts = [_facts(records[i].world) for i in places]
        for i, mine, names in zip(places, facts, differing(facts, absent=True)):
            out[i] = visible(", ".join([out[i], *(f"{name} {plain(mine[name])}" for name in names)]), 2 * LONGEST)
    return out


def _facts(world: dict[str, Any]) -> dict[str, Any]:
    """The identity of a world, with digests cut to eight digits."""
    return {name: value[:8] if isinstance(value, str) and len(value) == 64 else value for name, value in world.items()}
