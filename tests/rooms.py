"""The rooms of the sources and what they import: `python tests/rooms.py` prints them.

A room is a folder of worldbench/, or one of the folders beside it. An arrow is an import of one room by another: at the
top of a module, inside a function, or for types alone. Modules in a circle import one another in the end.
"""

from __future__ import annotations

import ast
import functools
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import networkx as nx

ROOT = Path(__file__).resolve().parent.parent
BESIDE = {"envs": ("core",), "baselines": ("core",), "metrics": ("core",), "figures": ("core", "records")}
"""The folders beside worldbench/, and the rooms that each may import."""
PACKAGES = {"worldbench": "worldbench", **{folder: f"worldbench.{folder}" for folder in BESIDE}}
"""Folders of the checkout, and the packages as which they are installed."""
LADDER = ("core", "settings", "records", "training", "runs", "studies", "cli")
"""The rooms of worldbench/, from the ground up: each may import the rooms before it."""
ALLOWED = {
    **{room: {*LADDER[: i + 1], *(BESIDE if i >= LADDER.index("training") else ())} for i, room in enumerate(LADDER)},
    **{room: {room, *below} for room, below in BESIDE.items()},
    "api": {*LADDER[:-1], *BESIDE, "api"},  # the Python interface stands beside the command line
}
"""The rooms that each room may import."""


def sources() -> list[Path]:
    """Every Python file of the packages, relative to the root; with or without git."""
    return sorted(path.relative_to(ROOT) for folder in PACKAGES for path in (ROOT / folder).rglob("*.py"))


def module_of(path: Path) -> str:
    """`envs/taxi/world.py` -> `worldbench.envs.taxi.world`."""
    parts = [PACKAGES[path.parts[0]], *path.with_suffix("").parts[1:]]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def room_of(module: str) -> str:
    """`worldbench.envs.taxi.world` -> `envs`; "" for worldbench itself, which loads `api` when it is used."""
    room = module.partition(".")[2].partition(".")[0]
    return room if room in ALLOWED else ""


@functools.cache
def imports(path: Path) -> tuple[str, ...]:
    """Every name that a file imports, also inside functions and for types alone; `from a import b` gives `a.b`."""
    return tuple(_imports(path))


def _imports(path: Path) -> Iterator[str]:
    module = module_of(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def module_graph() -> nx.DiGraph:
    """An edge for each module that imports another one of the project."""
    modules = {module_of(path): path for path in sources()}
    graph = nx.DiGraph()
    graph.add_nodes_from(modules)
    for module, path in modules.items():
        for name in imports(path):
            target = name if name in modules else name.rpartition(".")[0]
            if target in modules and target != module:
                graph.add_edge(module, target)
    return graph


def circles(graph: nx.DiGraph) -> list[list[str]]:
    """The groups of nodes that reach one another."""
    return [sorted(group) for group in nx.strongly_connected_components(graph) if len(group) > 1]


def against_the_order(graph: nx.DiGraph) -> list[tuple[str, str]]:
    """The imports of a room that ALLOWED does not have."""
    rooms = [(a, b, room_of(a), room_of(b)) for a, b in graph.edges]
    return sorted((a, b) for a, b, one, other in rooms if one and other and other not in ALLOWED[one])


def lengths() -> dict[Path, int]:
    """The number of lines of every file."""
    return {path: len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in sources()}


def main() -> None:
    """Print the rooms, the arrows between them, the circles, and the arrows against the order."""
    graph, lines = module_graph(), lengths()
    print("room        files  lines  median  longest")
    for room in ALLOWED:
        mine = [n for path, n in lines.items() if room_of(module_of(path)) == room]
        print(f"{room:10} {len(mine):6} {sum(mine):6} {median(mine):7.0f} {max(mine):8}")
    full = [n for path, n in lines.items() if path.name != "__init__.py"]
    print(f"{'all':10} {len(lines):6} {sum(full):6} {median(full):7.0f} {max(full):8}   (without __init__.py)")
    arrows = Counter((room_of(a), room_of(b)) for a, b in graph.edges)
    print("\narrows (importing modules and imported ones, in pairs)")
    for room in ALLOWED:
        to = [f"{other} {n}" for (one, other), n in sorted(arrows.items()) if one == room and other not in ("", room)]
        print(f"{room:10} -> {', '.join(to) or '-'}")
    wrong, round_about = against_the_order(graph), circles(graph)
    print(f"\ncircles: {len(round_about)}", *map(" ".join, round_about), sep="\n  ")
    print(f"arrows against the order: {len(wrong)}", *(f"{a} -> {b}" for a, b in wrong), sep="\n  ")


if __name__ == "__main__":
    main()
