"""`data.json`: what the training documents of a world are like: their number, length and words; and on a map, which
streets and pairs of places they cover."""

from __future__ import annotations

from typing import Any, ClassVar

from worldbench.records.parts import Count, Environment, Part, Record, check_world


class Split(Part, frozen=True, kw_only=True):
    """The documents of a split. distinct: different documents. tokens: of all documents, prompts included. asked:
    tokens or labels that a model is asked for. least, median, most: tokens of the shortest, the median and the longest
    document. prompt: mean tokens of a prompt.
    """

    documents: Count
    distinct: Count
    tokens: Count
    asked: Count
    least: Count
    median: float
    most: Count
    prompt: float


class Words(Part, frozen=True, kw_only=True):
    """The words of the training documents. vocabulary: all words of the world but padding. seen: words that occur.
    entropy: of the frequencies of the words after the prompts, in nats; None where no word follows a prompt.
    """

    vocabulary: Count
    seen: Count
    entropy: float | None


class Coverage(Part, frozen=True, kw_only=True):
    """The map, and what the training documents cover. pairs: ordered pairs of places, also of a place and itself.
    streets_seen, pairs_seen: streets that a document uses, pairs that are the ends of one. moves: of all documents.
    per_street: documents that use a street: the fewest, the median and the most. shortest: mean moves of a shortest
    route between the ends of a document; NaN is None. off: documents that leave the map.
    """

    places: Count
    streets: Count
    pairs: Count
    streets_seen: Count
    pairs_seen: Count
    moves: Count
    per_street: tuple[Count, float, Count]
    shortest: float | None
    off: Count


class Data(Record, frozen=True, kw_only=True):
    """The data of a world. command: repeats this record. fixed: whether training repeats these documents; else every
    document of training is new, and these are the first. both: held-out documents that are also among the training
    documents. card: facts about the world, for people. coverage: None for a world without a map.
    """

    kind: ClassVar[str] = "data"
    marks: ClassVar[tuple[str, ...]] = ("held_out", "both")
    remedy: ClassVar[str] = "delete the file and run worldbench data again"

    environment: Environment
    command: str
    world: dict[str, Any]
    preset: str
    seed: Count
    fixed: bool
    train: Split
    held_out: Split
    both: Count
    words: Words
    card: dict[str, Any]
    coverage: Coverage | None = None

    def __post_init__(self) -> None:
        check_world(self.world)
