"""The recipes that come with worldbench: `worldbench ls` lists them, `--config NAME` uses one. The first line of a
recipe is a comment that describes it."""

from __future__ import annotations

import os
from pathlib import Path

from worldbench.core.errors import InputError
from worldbench.settings.renamed import hint

FOLDER = Path(__file__).parent / "recipes"


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def line(name: str) -> str:
    """The description of a recipe, in one line."""
    return (FOLDER / f"{name}.toml").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def find(config: Path) -> Path:
    """The file that `--config` names: a recipe that comes with worldbench, else a file. Raises InputError where
    there is neither."""
    known = names()
    if str(config) in known:
        return FOLDER / f"{config}.toml"
    if config.parent == Path() and not config.suffix and not os.path.exists(config):
        close = hint(str(config), known)
        listed = close if close and not close.startswith("; there are") else "; worldbench ls lists the recipes"
        raise InputError(f"there is neither a recipe nor a file {str(config)!r}{listed}")
    if not os.path.exists(config):
        raise InputError(f"there is no recipe file {str(config)!r}; worldbench ls lists the recipes by name")
    return config
