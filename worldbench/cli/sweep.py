"""`worldbench sweep RECIPE`: many runs from one file."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from worldbench.cli import jobs
from worldbench.cli.parser import Parser
from worldbench.core.console import put_path
from worldbench.core.errors import InputError, RunError
from worldbench.core.text import counted, visible

if TYPE_CHECKING:
    from worldbench.runs.display import Display
    from worldbench.settings.sweep import Sweep
    from worldbench.settings.sweep_jobs import SweepJob
    from worldbench.studies.sweep.plan import SweepCell

SECONDS = 2.0
"""How long --dry-run times the first training steps of a configuration."""
LINE = "make the runs of a sweep recipe that are still missing, several at a time, and write the tables of the recipe"


def add_arguments(parser: Parser) -> None:
    """The options of the verb. Typed options win over the recipe."""
    parser.groups = ("env", "data", "model", "train", "eval")
    parser.usage = (
        "worldbench sweep RECIPE [--out FOLDER] [--workers N] [--seeds N..] [--dry-run] [options of run, such as "
        "--train.steps 200]"
    )
    add = parser.add_argument
    add(
        "--out", type=Path, default=Path("sweeps"), metavar="FOLDER",
        help="the folder that holds the run folders (default sweeps)",
    )  # fmt: skip
    add(
        "--workers", type=int, default=None, metavar="N",
        help="number of runs at a time, each in a process of its own (default: the number of cores, or 1 if training "
        "uses a graphics card); does not change the results",
    )  # fmt: skip
    add(
        "--ray", metavar="ADDRESS",
        help="run the cells on a Ray cluster, such as 10.0.0.1:6379, or auto for the cluster of this machine "
        "(needs worldbench[ray]); the runs use all processor cores of the cluster",
    )  # fmt: skip
    add(
        "--seeds", type=int, nargs="+", metavar="N",
        help="run these seeds instead of the seeds of the recipe; the tables show all seeds that the folder holds",
    )  # fmt: skip
    add("--dry-run", action="store_true", help="print the runs and how long they may take, and run nothing")
    add(
        "--seconds", type=float, metavar="N",
        help="with --dry-run: for how many seconds to time the first training steps of a configuration that has no "
        "finished run yet (default 2; 0: time nothing)",
    )  # fmt: skip
    jobs.add_common(parser, help="print this help; worldbench run WORLD --help prints the options of run")


def run(arguments: argparse.Namespace) -> int:
    """Run what is missing, write the tables, and print the counts. Raises RunError if a cell failed."""
    workers, seeds = arguments.workers, arguments.seeds
    if arguments.help:
        jobs.print_help(arguments)
        return 0
    if not arguments.names:
        raise InputError("which recipe? name a TOML file (docs/sweeps.md), or a sweep that worldbench ls lists")
    if workers is not None and arguments.ray is not None:
        raise InputError("--workers is for this machine, and --ray uses all cores of its cluster; leave one out")
    if workers is not None and workers < 1:
        raise InputError(f"--workers must be 1 or more, not {workers}")
    if arguments.seconds is not None and not arguments.dry_run:
        raise InputError("--seconds belongs to --dry-run; add --dry-run, or leave --seconds out")
    seconds = SECONDS if arguments.seconds is None else arguments.seconds
    if not 0 <= seconds < float("inf"):
        raise InputError(f"--seconds must be a number from 0, not {arguments.seconds}")
    from worldbench.runs.display import Display
    from worldbench.runs.processes import Processes
    from worldbench.settings import shipped
    from worldbench.settings.sweep import load_sweep
    from worldbench.settings.sweep_jobs import jobs_of
    from worldbench.studies.sweep.plan import cells_of
    from worldbench.studies.sweep.sweeping import cores_and_cards, default_workers, sweep
    from worldbench.studies.sweep.tables import WrongColumns, require_cells, write_tables

    recipe = load_sweep(shipped.find(Path(arguments.names[0]), "sweep"))
    out, display = arguments.out, Display(quiet=arguments.quiet)
    jobs_ = jobs_of(recipe, arguments.plugin, arguments.options, seeds)
    cells = cells_of(jobs_, out, display, count_parts=not arguments.dry_run)
    require_cells(recipe, cells)
    workers = workers or default_workers(cells)
    if arguments.dry_run:
        from worldbench.studies.sweep.estimate import show

        show(cells, workers, seconds, display)
        return 0
    to_show = _cells_to_show(recipe, cells, jobs_, arguments, display)
    look = WrongColumns(recipe, display).look
    if arguments.ray is None:
        swept = sweep(cells, out, display, lambda watch: Processes(workers, arguments.plugin, watch=watch), look)
    else:
        from worldbench.runs.ray_pool import Ray

        needs = cores_and_cards(cells)
        swept = sweep(cells, out, display, lambda watch: Ray(arguments.ray, arguments.plugin, watch, *needs), look)
    tables = write_tables(recipe, to_show, out, display)
    for path in tables.paths:
        put_path(path)
    lost = {f"the table {name}": reason for name, reason in tables.failed.items()}
    for name, reason in {**swept.failed, **lost}.items():
        print(visible(f"failed: {name}: {reason}"))
    for line in (tables.line(cells, out), _in_no_table(recipe, tables.shown, arguments) if tables.paths else None):
        if line is not None:
            print(visible(line))
    print(swept.line())
    if swept.failed:
        count = f"{len(swept.failed)} of {counted(len(cells), 'cell')} failed"
        raise RunError(f"{count}, for the reasons above; the same command tries them again")
    if lost:
        raise RunError(f"{counted(len(lost), 'table')} could not be written, for the reasons above")
    return 0


def _cells_to_show(
    recipe: Sweep, cells: list[SweepCell], jobs_: list[SweepJob], arguments: argparse.Namespace, display: Display
) -> Sequence[SweepCell]:
    """The cells of the tables: those of the command; and where its options choose some values of [vary], those of all
    values. If these cannot be run here, such as one whose map is missing, a message says so."""
    from worldbench.runs.display import Display
    from worldbench.settings.sweep_jobs import whole_recipe
    from worldbench.studies.sweep.plan import cells_of

    try:
        whole = whole_recipe(recipe, jobs_, arguments.plugin, arguments.options, arguments.seeds)
        return cells if whole is jobs_ else cells_of(whole, arguments.out, Display(quiet=True))
    except InputError as error:
        display.say(f"the tables show no other values of [vary] than those of this command: {error}")
        return cells


def _in_no_table(recipe: Sweep, shown: Mapping[Path, SweepCell], arguments: argparse.Namespace) -> str | None:
    """How many results of the recipe itself the tables of a command leave out, because typed options changed its cells;
    None for none."""
    from worldbench.runs.display import Display
    from worldbench.settings.sweep_jobs import jobs_of
    from worldbench.studies.sweep.plan import cells_of, with_other_seeds

    if not (words := arguments.options):
        return None
    try:
        own = cells_of(jobs_of(recipe, arguments.plugin, (), arguments.seeds), arguments.out, Display(quiet=True))
    except InputError:  # the recipe cannot be run without these options
        return None
    left = [c for c in with_other_seeds(own, arguments.out) if c.prepared.job.trained and c.result.exists()]
    count = len({cell.result for cell in left} - shown.keys())
    what = f"{counted(count, 'result')} of the recipe without {' '.join(words)}, which {str(arguments.out)!r} holds"
    return f"the tables do not show {what}; name another folder with --out to keep both tables" if count else None
