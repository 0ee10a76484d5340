"""Damage to the file of a learning curve, by kind; and the broken files beside the checkout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path


def change(text: str) -> str:
    """Another loss at the second point of the curve."""
    lines = [json.loads(line) for line in text.splitlines()]
    [line for line in lines if line["kind"] == "eval"][1]["loss"] += 0.125
    return "".join(json.dumps(line) + "\n" for line in lines)


DAMAGE: dict[str, Callable[[str], str | None]] = {
    "lost": lambda text: None,
    "empty": lambda text: "",
    "cut in a line": lambda text: text[:-20],
    "cut after a line": lambda text: text.rstrip().rpartition("\n")[0] + "\n",
    "a bad line": lambda text: text.replace('"kind"', "kind", 3),
    "not an object": lambda text: "1\n" + text,
    "another number": change,
}


def damage(log: Path, kind: str) -> None:
    text = DAMAGE[kind](log.read_text())
    log.unlink()
    if text is not None:
        log.write_text(text)
