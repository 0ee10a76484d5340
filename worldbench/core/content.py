"""Checks parsed JSON or TOML before other code uses it: bounds on nesting depth and on whole numbers."""

from __future__ import annotations

from typing import Any

DEEPEST = 32
"""The deepest nesting of lists and objects."""
SHOWN = 80
"""Most characters of a wrong value that a message quotes."""


def require_bounded(value: Any, path: str = "$", depth: int = 1) -> None:
    """Raises ValueError for lists and objects nested more than DEEPEST deep, and for whole numbers of more than 64
    bits."""
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    else:
        if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
            raise ValueError(f"a whole number at `{path}` has more than 64 bits")
        return
    if depth > DEEPEST:
        raise ValueError("its lists and objects are nested too deeply")
    for name, child in children:
        if isinstance(child, (dict, list, int)):
            here = path if depth > 3 else f"{path}.{name}" if isinstance(name, str) else f"{path}[{name}]"
            require_bounded(child, here, depth + 1)


def quoted(value: Any) -> str:
    """A value of a file for a message, shortened if it is long."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}.. ({len(text):,} characters)"
