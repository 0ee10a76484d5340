"""What the fuzz tests try: the readers of all files, by name."""

from __future__ import annotations

from collections.abc import Callable

from fuzz_reader import Reader
from fuzz_run_files import arrays, checkpoints, curves, recipes, records, saved_runs
from fuzz_world_files import maps, routes, worlds

READERS: dict[str, Callable[[], dict[str, Reader]]] = {
    "maps": maps,
    "routes": routes,
    "worlds": worlds,
    "recipes": recipes,
    "records": records,
    "arrays": arrays,
    "checkpoints": checkpoints,
    "curves": curves,
    "saved runs": saved_runs,
}
