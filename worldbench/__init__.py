"""worldbench: has a sequence model learned a world model, or does it only predict well?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from worldbench.core.version import __version__

if TYPE_CHECKING:
    from worldbench.api import (
        Run,
        compare,
        evaluate,
        hugging_face,
        leaderboard,
        load,
        measure,
        metric_names,
        model,
        model_names,
        record,
        run,
        score,
        world,
        world_names,
    )

__all__ = [
    "Run",
    "__version__",
    "compare",
    "evaluate",
    "hugging_face",
    "leaderboard",
    "load",
    "measure",
    "metric_names",
    "model",
    "model_names",
    "record",
    "run",
    "score",
    "world",
    "world_names",
]


def __getattr__(name: str) -> Any:
    """The functions of `worldbench.api`, which is imported when the first of them is used."""
    if name not in __all__:
        raise AttributeError(f"module 'worldbench' has no attribute {name!r}")
    import importlib

    return getattr(importlib.import_module("worldbench.api"), name)


def __dir__() -> list[str]:
    return __all__
