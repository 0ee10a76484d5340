"""The packages that worldbench needs: which are there. Loads none of them."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from dataclasses import dataclass


@dataclass(frozen=True)
class Needed:
    """A package. name: as pip calls it; `import` takes the same name. purpose: what it is needed for. optional:
    everything else works without it."""

    name: str
    purpose: str
    optional: bool = False


PACKAGES = (
    Needed("torch", "training"),
    Needed("numpy", "all arithmetic"),
    Needed("scipy", "statistics"),
    Needed("networkx", "shortest routes"),
    Needed("osmnx", "the download of the map of Manhattan", optional=True),
    Needed("matplotlib", "figures"),
    Needed("tyro", "options of the command line"),
    Needed("safetensors", "checkpoints"),
    Needed("rich", "tables in a terminal"),
    Needed("jinja2", "pages"),
    Needed("msgspec", "records"),
    Needed("threadpoolctl", "one thread for each BLAS library"),
    Needed("pyproj", "coordinates of maps", optional=True),
)
"""The dependencies in pyproject.toml."""
FIRST = ("torch", "numpy", "msgspec")
"""The packages without which no check can be made."""


def missing() -> list[Needed]:
    """The packages that are not installed."""
    return [package for package in PACKAGES if not _is_there(package.name)]


def versions() -> dict[str, str]:
    """The version of each package that is installed."""
    out = {}
    for package in PACKAGES:
        try:
            out[package.name] = importlib.metadata.version(package.name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return out


def _is_there(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def remedy(packages: list[Needed]) -> str:
    """The command that installs packages."""
    return f"python -m pip install -c constraints.txt {' '.join(package.name for package in packages)}"
