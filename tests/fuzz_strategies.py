"""What hypothesis makes up for the fuzz tests: files that were never whole, of the shapes that each reader looks
for."""

from __future__ import annotations

import json
from typing import Any

from fuzz_words import ODD
from hypothesis import strategies as st
from mutation_values import VALUES, WORDS, toml_bytes
from sample_records import every_kind

from worldbench.records.parts import Record

Made = st.SearchStrategy[bytes]
NUMBERS = st.one_of(st.floats(), st.floats(0, 1), st.sampled_from([0, 1, 0.5, 0.25]), st.integers(-5, 5), st.integers())
TEXT = st.one_of(st.sampled_from(WORDS), st.text(max_size=8))
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXT, st.sampled_from(VALUES)),
    lambda inside: st.one_of(st.lists(inside, max_size=4), st.dictionaries(TEXT, inside, max_size=4)),
    max_leaves=12,
)


def dumped(strategy: st.SearchStrategy[Any]) -> Made:
    return strategy.map(lambda content: json.dumps(content).encode())


def record(kind: type[Record]) -> Made:
    """With the keys of a kind, and of none."""
    keys = ("schema_version", "kind", *kind.__struct_fields__, "x")
    head = st.fixed_dictionaries({"schema_version": st.sampled_from([1, 2, 3, 4]), "kind": st.just(kind.kind)})
    filled = st.fixed_dictionaries({}, optional=dict.fromkeys(keys, JSON))
    return dumped(st.tuples(filled, head).map(lambda two: two[0] | two[1]))


@st.composite
def processes(draw: st.DrawFn) -> bytes:
    """Matrices of one size, or nearly, in each layout; often normalized."""
    tokens, states = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    entry = draw(st.sampled_from([st.floats(0, 1), st.sampled_from([0.0, 1.0, 0.5]), NUMBERS]))

    def matrix(rows: int, columns: int) -> list[list[Any]]:
        out = [[draw(entry) for _ in range(columns)] for _ in range(rows)]
        if draw(st.booleans()) and all(isinstance(x, float) for row in out for x in row):
            out = [[x / (sum(row) or 1) for x in row] for row in out]
        return out

    layout = draw(st.sampled_from(["transition", "transition_matrices", "transmat", "list"]))
    if layout == "transmat":
        content: Any = {"transmat": matrix(states, states), "emissionprob": matrix(states, tokens)}
    else:
        whole = matrix(states, tokens * states)
        cut = [[row[x * states : (x + 1) * states] for row in whole] for x in range(tokens)]
        content = cut if layout == "list" else {layout: cut}
    if isinstance(content, dict):
        for key in ("start", "startprob", "initial_state", "phi", "words"):
            if draw(st.integers(0, 5)) == 0:
                content[key] = draw(st.one_of(st.lists(entry, max_size=3), st.lists(TEXT, max_size=3)))
    return json.dumps(content).encode()


PLACES, DIRECTIONS = ("a", "b", "c", "d", "end"), ("N", "E", "SW", "up", "<pad>")
EDGES = st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(DIRECTIONS), st.sampled_from(PLACES)), max_size=14)
TABLES = EDGES.map(lambda edges: "".join(f"{','.join(edge)}\n" for edge in edges).encode())
"""Small maps of any form: most have places that lead nowhere, or from which nothing can be held out."""


def lines(*words: str) -> Made:
    """Lines of these words and of odd ones."""
    word = st.one_of(st.sampled_from(words), st.sampled_from(words), TEXT)
    texts = st.lists(st.lists(word, max_size=12).map(" ".join), max_size=5).map("\n".join)
    return texts.map(lambda text: text.encode("utf-8", "surrogatepass"))


MAZE_WORDS = (
    "<ADJLIST_START>",
    "(0,0)",
    "<-->",
    "(0,1)",
    ";",
    "(1,1)",
    "<ADJLIST_END>",
    "<ORIGIN_START>",
    "<ORIGIN_END>",
    "<TARGET_START>",
    "<TARGET_END>",
    "<PATH_START>",
    "<PATH_END>",
    "(",
    ",",
    ")",
    "#",
)
SETTINGS = st.dictionaries(
    st.sampled_from(["steps", "horizon", "name", "process", "metrics", "learning_rate", "map", "x"]), JSON, max_size=4
)
RECIPES = st.dictionaries(
    st.sampled_from(["world", "preset", "seed", "tuned", "plugin", "model", "train", "eval", "env", "data", "x"]),
    st.one_of(SETTINGS, JSON, st.sampled_from(["hmm", "taxi", "gpt", "quick", 0])), max_size=6,
)  # fmt: skip
METRIC_LINES = st.lists(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("kind", "step", "loss", "learning_rate", "bayes"), JSON)),
    max_size=4,
).map(lambda records: b"".join(json.dumps(r).encode() + b"\n" for r in records))
FILES: dict[tuple[str, str, str], tuple[Made, int]] = {
    ("worlds", "process", "made.json"): (processes(), 400),
    ("worlds", "mazes", "made.txt"): (lines(*MAZE_WORDS), 200),
    ("maps", "walked table", "made.csv"): (TABLES, 400),
    ("maps", "JSON table", "made.json"): (dumped(JSON), 200),
    ("routes", "routes", "made.txt"): (lines("p0", "p1", "p2", "N", "E", "SW", "end", "#"), 200),
    ("routes", "positions", "made.csv"): (lines("node,lon,lat", "a,0,1", "b,1,2"), 100),
    ("recipes", "recipe", "made.toml"): (RECIPES.map(toml_bytes), 200),
    ("curves", "curve", "metrics.jsonl"): (METRIC_LINES, 150),
    **{("records", f"{kind.kind} record", f"{kind.kind}.json"): (record(type(kind)), 60) for kind in every_kind()},
}
"""By the group and the name of the reader, and the name of the file: what is made, and how many."""
ARGUMENTS = st.lists(
    st.one_of(
        st.sampled_from(ODD), st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)
    ),
    max_size=5,
)
"""Words after a verb."""
