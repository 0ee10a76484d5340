"""Recipes that come with worldbench: `--config NAME` takes them, `worldbench ls` lists them. A recipe's first line, a
comment, says what it is."""

from __future__ import annotations

import os
from pathlib import Path

from worldbench.core.errors import InputError
from worldbench.settings.renamed import hint

FOLDER = Path(__file__).parent / "recipes"


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def line(name: str) -> str:
    """One line about a recipe."""
    return (FOLDER / f"{name}.toml").read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")


def find(config: Path) -> Path:
    """The file that `--config` means: the recipe of that name, else a file. Raises InputError for a bare word that is
    neither."""
    known = names()
    if str(config) in known:
        return FOLDER / f"{config}.toml"
    if config.parent == Path() and not config.suffix and not os.path.exists(config):
        close = hint(str(config), known)
        listed = close if close and not close.startswith("; there are") else "; worldbench ls names those there are"
        raise InputError(f"there is neither a recipe nor a file {str(config)!r}{listed}")
    return config
