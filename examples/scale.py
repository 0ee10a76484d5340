"""What a street map costs by its size: `python examples/scale.py city:100 city:10000 [--moves 199]`.

For each map, in processor time of one process: reading or generating the map, drawing rides, 1,000 prompts, and 1,000
rides of the oracle, which need the exact law. Give maps from the smallest to the largest: the memory is the largest
resident set of the process so far.
"""

from __future__ import annotations

import argparse
import resource
import time

import numpy as np

from worldbench.baselines.references import Oracle
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics.rollout import roll_out

RIDES = 1000


def memory() -> str:
    return f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:,.0f} MiB"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("maps", nargs="+")
    parser.add_argument("--moves", type=int, default=99, help="the most moves of a ride")
    options = parser.parse_args()
    for name in options.maps:
        times = [time.process_time()]
        world = TaxiWorld(TaxiConfig(map=name, region="all", min_moves=2, max_moves=options.moves))
        times.append(time.process_time())
        drawn = sum(int(world.sample(0, "train", low, 4096).length.sum()) for low in range(0, 16_384, 4096))
        times.append(time.process_time())
        prompts, lengths = world.prompts(0, RIDES)
        times.append(time.process_time())
        before = memory()
        roll_out(world, Oracle(world), prompts, lengths, 0, "sampled")
        times.append(time.process_time())
        build, draw, ask, decode = np.diff(times)
        print(
            f"{name}: {world.graph().n_places:,} places; map {build:.2f} s; {drawn / draw / 1e6:.1f} million tokens "
            f"drawn per second; {len(prompts)} prompts {ask:.2f} s; memory {before}; rides of the oracle "
            f"{decode:.2f} s, {len(np.unique(prompts[:, 1]))} destinations, memory {memory()}",
            flush=True,
        )


if __name__ == "__main__":
    main()
