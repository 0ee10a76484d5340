"""How fast the worlds draw documents on one core: `python examples/speed.py`. Prints the best of a few tries, in
processor time."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from worldbench.core import streams
from worldbench.envs.hmm.library import named
from worldbench.envs.maze.generators import GENERATORS
from worldbench.envs.maze.solve import SolveWorld
from worldbench.envs.maze.solve_config import SolveConfig
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.envs.text.world import TextWorld


def seconds(work: Callable[[], object], tries: int = 5) -> float:
    took = []
    for _ in range(tries):
        start = time.process_time()
        work()
        took.append(time.process_time() - start)
    return min(took)


def main() -> None:
    for spec in ("mess3", "z1r", "rrxor"):
        process = named(spec)
        tokens = process.sample(streams.uniform(0, 50_000, 21, "speed"))
        drawn = seconds(lambda p=process: p.sample(streams.uniform(0, 50_000, 21, "speed")))
        believed = seconds(lambda p=process, t=tokens: p.beliefs(t))
        print(
            f"hmm {spec}: {tokens.size / drawn / 1e6:.1f} million tokens per second drawn, "
            f"{tokens.size / believed / 1e6:.1f} with their beliefs"
        )
    for kind in GENERATORS:
        world = SolveWorld(SolveConfig(rows=10, generator=kind))
        print(
            f"maze-solve 10x10 {kind}: "
            f"{4096 / seconds(lambda w=world: w.sample(0, 'train', 0, 4096), 3):,.0f} documents per second"
        )
    text = TextWorld()
    print(
        f"text, windows of {text.context} bytes: "
        f"{4096 * text.context / seconds(lambda: text.sample(0, 'train', 0, 4096)) / 1e6:.1f} million bytes per second"
    )
    city = TaxiWorld(TaxiConfig(map="city:500", min_moves=5, max_moves=60))
    tokens = int(city.sample(0, "train", 0, 16_384).length.sum())
    print(
        "taxi city:500: "
        f"{tokens / seconds(lambda: city.sample(0, 'train', 0, 16_384)) / 1e6:.1f} million "
        "tokens per second"
    )
    for kind in ("shortest", "noisy"):
        on_paths = TaxiWorld(TaxiConfig(map="city:500", min_moves=5, max_moves=60, rides=kind))
        tokens = int(on_paths.sample(0, "train", 0, 65_536).length.sum())
        rate = tokens / seconds(lambda w=on_paths: w.sample(0, "train", 0, 65_536)) / 1e6
        print(f"taxi city:500, {kind} rides: {rate:.1f} million tokens per second")
    small = TaxiWorld(TaxiConfig(map="city:48", min_moves=2, max_moves=9))
    print(
        "taxi city:48, rides between held-out pairs: "
        f"{2000 / seconds(lambda: small.walker.rides(0, 'test', 0, 2000)):,.0f} rides per second"
    )


if __name__ == "__main__":
    np.seterr(all="raise", under="ignore")
    main()
