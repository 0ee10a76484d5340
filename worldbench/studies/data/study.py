"""`worldbench data`: draw the documents of a world, count, draw the figures, write `data.json`."""

from __future__ import annotations

import dataclasses
import resource
import sys
from pathlib import Path

import numpy as np

from worldbench.core.abilities import HasMap
from worldbench.core.errors import RunError
from worldbench.core.files import identity_hash, lock, make_folder
from worldbench.core.text import counted
from worldbench.core.world import World
from worldbench.records.data import Data
from worldbench.records.reading import write
from worldbench.runs.display import Display
from worldbench.runs.prepared import load_world
from worldbench.settings.job import Job
from worldbench.studies.data.documents import Counts, count, in_both
from worldbench.studies.data.routes import Distances, Routes

FIRST = 10_000
"""Training documents that are counted where every document of training is new."""
HELD_OUT = 10_000
"""Most held-out documents that are counted."""


def describe(job: Job, out: Path, display: Display) -> tuple[Data, Path, list[Path]]:
    """Count the documents of a job's world, and draw them. Returns the record, its file, and the figures.

    out: the folder below which the folder of the data goes. Raises RunError where nothing can be written.
    """
    from worldbench.training.environment import environment

    job, world = load_world(job, display)
    fixed = job.groups["data"].documents
    number = fixed or FIRST
    display.say(f"counting {counted(number, 'training document')} of {world.name}")
    routes = Routes.of(world) if isinstance(world, HasMap) else None
    train = count(world, job.seed, "train", number, None if routes is None else routes.add)
    display.say(cost(train))
    held_out = count(world, job.seed, "test", min(number, HELD_OUT))
    distances = None if routes is None else Distances.of(routes, job.seed)
    options = " ".join(_options(job))
    record = Data(
        environment=environment(),
        command=f"worldbench data {job.world} --preset {job.preset} --seed {job.seed} {options}".rstrip(),
        world=world.identity(),
        preset=job.preset,
        seed=job.seed,
        fixed=bool(fixed),
        train=train.split(),
        held_out=held_out.split(),
        both=in_both(train, held_out),
        words=train.words(world.vocabulary.pad),
        card=world.card(number),
        coverage=None if routes is None or distances is None else routes.coverage(distances),
    )
    key = identity_hash([record.world, number, job.seed])[:10]
    folder = out / f"data-{job.world}-{job.preset}-s{job.seed}-{key}"
    make_folder(folder)
    try:
        with lock(folder):
            path = folder / "data.json"
            write(path, record)
            paths = draw(world, train, held_out, folder, f"{job.world}, {counted(number, 'training document')}")
            if routes is not None and distances is not None:
                paths += draw_routes(routes, distances, folder, f"{routes.graph.name}, {counted(number, 'ride')}")
    except OSError as error:
        raise RunError(f"cannot write into {str(folder)!r} ({error.strerror or error})") from error
    return record, path, paths


def cost(counts: Counts) -> str:
    """How fast documents were drawn. The processor time of all threads counts; worlds use one."""
    rate = 1 / max(counts.seconds, 1e-9)
    tokens = int(counts.lengths @ np.arange(len(counts.lengths)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return (
        f"drawn at {int(counts.lengths.sum()) * rate:,.0f} documents and {tokens * rate:,.0f} tokens per second of "
        f"processor time; largest resident set {peak / 2**20:,.0f} MiB"
    )


def draw(world: World, train: Counts, held_out: Counts, folder: Path, title: str) -> list[Path]:
    """The figures of every world."""
    from worldbench.figures.documents import draw_lengths, draw_words

    words, pad = world.vocabulary.words, world.vocabulary.pad
    return [
        *draw_lengths(train.lengths, held_out.lengths, folder / "lengths", title=title),
        *draw_words(words, train.before, train.after, pad, folder / "words", title=title),
    ]


def draw_routes(routes: Routes, distances: Distances, folder: Path, title: str) -> list[Path]:
    """The figures of a world with a map."""
    from worldbench.figures.coverage import draw_curve, draw_map
    from worldbench.figures.distances import draw_degrees, draw_distances

    graph = routes.graph
    moves, shortest = distances.of_routes
    sizes = (len(graph.edges), graph.n_places**2)
    return [
        *draw_map(graph, routes.users, routes.moves, routes.first, folder / "streets", title=title),
        *draw_curve(*routes.curve(), sizes, folder / "coverage", title=title),
        *draw_degrees(graph, folder / "degrees", title=graph.name),
        *draw_distances(distances.hops, moves, shortest, folder / "distances", title=title),
    ]


def _options(job: Job) -> list[str]:
    """The words of the options of the world and the data that differ from the preset."""
    kept = {name: value for name, value in job.given.items() if name.partition(".")[0] in ("env", "data")}
    return dataclasses.replace(job, given=kept).options()
