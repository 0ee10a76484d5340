"""A record of the data of a world as text."""

from __future__ import annotations

from typing import Any

from worldbench.core.text import counted
from worldbench.records.data import Coverage, Data, Split
from worldbench.runs.display import number, print_notes

MOST_PARTS = 6
"""Most parts of a fact that are printed in one line."""


def show(record: Data) -> None:
    """Print the card of the data, a fact a line, and then the card of the world."""
    print_notes([*lines(record), *(line for name, value in record.card.items() for line in _fact(name, value))])


def _fact(name: str, value: Any) -> list[str]:
    """A fact of the card of a world; facts with many parts have a line for each part."""
    words = name.replace("_", " ")
    if isinstance(value, dict) and len(value) > MOST_PARTS:
        return [f"{words}, {part.replace('_', ' ')}: {_value(each)}" for part, each in value.items()]
    return [f"{words}: {_value(value)}"]


def lines(record: Data) -> list[str]:
    """The facts about the documents, about their words, and about the map if there is one."""
    train, words = record.train, record.words
    which = "training repeats these documents" if record.fixed else "training draws more, all of them new"
    entropy = "" if words.entropy is None else f"; entropy of their frequencies {words.entropy:.3f} nats"
    out = [
        f"{record.world['world']}, preset {record.preset}, seed {record.seed}",
        f"training documents: {_split(train)} ({which})",
        f"held-out documents: {_split(record.held_out)}; also among the training documents: {record.both:,}",
        f"words: {words.seen:,} of {words.vocabulary:,} occur in training; "
        f"{train.tokens / max(words.vocabulary, 1):,.1f} tokens per word of the vocabulary{entropy}",
    ]
    return out + ([] if record.coverage is None else _map(record.coverage, train))


def _split(split: Split) -> str:
    size = f"each of {counted(split.most, 'token')}"
    if split.least < split.most:
        size = f"of {split.least} to {split.most} tokens (median {split.median:g})"
    return (
        f"{split.documents:,}, of which {split.distinct:,} are different; {size}, {split.prompt:.3g} of them prompt; "
        f"{split.tokens:,} tokens, {split.asked:,} asked"
    )


def _map(c: Coverage, train: Split) -> list[str]:
    fewest, median, most = c.per_street
    rides = train.documents
    shortest = "" if c.shortest is None else f"; {c.shortest:.1f} on a shortest route between the same ends"
    out = [
        f"map: {counted(c.places, 'place')}, {counted(c.streets, 'street')}, {counted(c.pairs, 'ordered pair')}",
        f"streets that a ride uses: {c.streets_seen:,} ({c.streets_seen / c.streets:.1%}); rides of a street: "
        f"{fewest:,} to {most:,}, median {median:,.0f}; {c.moves / c.streets:,.1f} moves per street",
        f"pairs that have a ride: {c.pairs_seen:,} ({c.pairs_seen / c.pairs:.1%}); "
        f"{number(rides / c.pairs)} rides per pair",
        f"moves of a ride: {c.moves / rides:.1f}{shortest}",
    ]
    return out + ([f"rides that leave the map: {c.off:,}"] if c.off else [])


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(each)}" for name, each in value.items())
    if isinstance(value, (list, tuple)):
        return " ".join(map(_value, value))
    return f"{value:.4g}" if isinstance(value, float) else f"{value:,}" if type(value) is int else str(value)
