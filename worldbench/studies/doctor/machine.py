"""Checks of the machine: versions, processor, memory, folders, figures, maps. CUDA is in `card.py`."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from worldbench.core.text import counted
from worldbench.studies.doctor import packages
from worldbench.studies.doctor.checks import Check, Outcome

LEAST_MEMORY, LEAST_DISK = 2 << 30, 1 << 30
"""Bytes of free memory and of free disk below which a check fails."""
MEMORY = Path("/proc/meminfo")


def checks() -> list[Check]:
    """The checks of the machine, without those of CUDA."""
    folder = "set TMPDIR to a folder that can be written to, on a disk with free space"
    install = "install the packages of worldbench again: docs/installing.md"
    return [
        Check("machine", "versions", versions, install),
        Check("machine", "processor", processor),
        Check("machine", "memory", memory),
        Check("machine", "folders", folders, folder),
        Check("machine", "figures", figures, install),
        Check("machine", "maps", maps, packages.remedy([p for p in packages.PACKAGES if p.optional]), optional=True),
    ]


def versions() -> Outcome:
    """Python, torch, numpy and worldbench; `values` holds the record's `Environment` and the version of each
    package."""
    import msgspec

    from worldbench.training.environment import environment

    here = environment()
    text = f"worldbench {here.worldbench}, Python {here.python}, torch {here.torch}, numpy {here.numpy}"
    values = {"environment": msgspec.to_builtins(here), "packages": packages.versions()}
    absent = packages.missing()
    if not absent:
        return Outcome(text, values=values)
    text += "; not installed: " + ", ".join(f"{package.name} ({package.purpose})" for package in absent)
    state = "absent" if all(package.optional for package in absent) else "failed"
    return Outcome(text, state, packages.remedy(absent), values)


def processor() -> Outcome:
    """The processor, its instructions, and the cores that this process may use."""
    import torch

    from worldbench.runs.processes import usable_cores
    from worldbench.training.environment import processor as name

    usable, cores = usable_cores(), os.cpu_count() or 1
    some = counted(usable, "core") if usable == cores else f"{usable} of {counted(cores, 'core')} usable"
    instructions = torch.backends.cpu.get_cpu_capability()
    values = {"processor": name(), "cores": cores, "usable_cores": usable, "instructions": instructions}
    if hasattr(os, "getloadavg"):
        values["load"] = os.getloadavg()[0]
        if values["load"] > usable:
            some += f"; {values['load']:.1f} processes are running, so times measured now are too long"
    return Outcome(f"{name()} ({instructions} instructions), {some}", values=values)


def memory() -> Outcome:
    """Memory of the machine, and memory that is free."""
    try:
        lines = dict(line.split(":", 1) for line in MEMORY.read_text(encoding="ascii").splitlines())
        total, free = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, KeyError, ValueError):
        return Outcome("not known: this system has no /proc/meminfo")
    values = {"bytes": total, "free_bytes": free}
    text = f"{total / 2**30:.1f} GiB, of which {free / 2**30:.1f} GiB are free"
    if free < LEAST_MEMORY:
        return Outcome(text, "failed", f"end other processes: a run needs about {LEAST_MEMORY >> 30} GiB", values)
    return Outcome(text, values=values)


def folders() -> Outcome:
    """Files can be written and locked in a temporary folder, and in the present folder, where runs are written."""
    with tempfile.TemporaryDirectory(prefix="worldbench-doctor-") as folder:
        kept = _locks(Path(folder))
        free = shutil.disk_usage(folder).free
    values = {"temporary": tempfile.gettempdir(), "free_bytes": free, "locks": kept}
    if free < LEAST_DISK:
        text = f"{tempfile.gettempdir()} has {free / 2**20:,.0f} MiB of free space"
        return Outcome(text, "failed", "remove files there, or set TMPDIR to another folder", values)
    text = f"{tempfile.gettempdir()} can be written to, {free / 2**30:.0f} GiB free"
    text += ", and locks hold" if kept else ", but its file system has no locks"
    if not os.access(Path.cwd(), os.W_OK):
        text += f"; the present folder {str(Path.cwd())!r} cannot be written to"
        return Outcome(text, "absent", "name a folder for runs with --out", values)
    if not kept:
        return Outcome(text, "absent", "let no two commands work in one folder at the same time", values)
    return Outcome(text, values=values)


def _locks(folder: Path) -> bool:
    """Write a file, lock the folder, and try to lock it again. False if the file system has no locks. Raises RunError
    if the file cannot be written."""
    from worldbench.core.errors import RunError
    from worldbench.core.files import lock, write_atomic

    write_atomic(folder / "file", b"content")
    with lock(folder):
        try:
            with lock(folder):
                return False
        except RunError:
            return True


def figures() -> Outcome:
    """A figure with text is drawn as PNG and as SVG."""
    from worldbench.figures import style

    with style.paper_style():
        from matplotlib.figure import Figure

        figure = Figure(figsize=(2, 1))
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1])
        axes.set_title("0.5 ± 0.1")
        sizes = {kind: len(style.picture(figure, kind)) for kind in ("png", "svg")}
    return Outcome(f"a figure is drawn (PNG {sizes['png']:,} bytes, SVG {sizes['svg']:,} bytes)", values=sizes)


def maps() -> Outcome:
    """The map of Manhattan is in the cache, or osmnx can be loaded to download it."""
    from worldbench.core.cache import cache_folder
    from worldbench.envs.taxi.download import cached

    values: dict[str, object] = {"cache": str(cache_folder()), "cached": cached()}
    instead = "--env.map city:500 generates a city without a network"
    try:
        import osmnx
        import pyproj
    except Exception as error:  # osmnx loads geometry libraries, which raise many types
        here = "the map of Manhattan is in the cache" if cached() else "the map of Manhattan is not in the cache"
        what = getattr(error, "name", None) or "osmnx"
        wanted = [p for p in packages.PACKAGES if p.optional]
        return Outcome(f"{here}; {what} cannot be loaded", "absent", f"{packages.remedy(wanted)}; {instead}", values)
    values |= {"osmnx": str(getattr(osmnx, "__version__", "")), "pyproj": pyproj.__version__}
    if cached():
        return Outcome(f"the map of Manhattan is in {cache_folder()}; osmnx can be loaded", values=values)
    text = f"osmnx can be loaded; the map of Manhattan is not in {cache_folder()} yet"
    return Outcome(text, "absent", f"a run with --env.map manhattan downloads it; {instead}", values)
