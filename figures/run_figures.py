"""The figures of a run folder, each drawn from the files in it."""

from __future__ import annotations

from pathlib import Path

from worldbench.core.errors import RunError
from worldbench.core.files import read_json


def draw_run(folder: Path) -> list[Path]:
    """Draw whatever the folder's files allow into `<folder>/figures`; the files written."""
    out = folder / "figures"
    title = _title(folder)
    written: list[Path] = []
    try:
        out.mkdir(exist_ok=True)
        evidence = folder / "evidence" / "map_reconstruction.npz"
        if evidence.exists():
            from worldbench.figures import interactive_map, street_map

            written += street_map.draw(evidence, out / "map", title=title)
            written += interactive_map.draw(evidence, out / "map", title=title)
        solved = folder / "evidence" / "solved_paths.npz"
        if solved.exists():
            from worldbench.figures import maze_gallery

            written += maze_gallery.draw(solved, out / "gallery", title=title)
        if (folder / "metrics.jsonl").exists():
            from worldbench.figures import learning_curves

            written += learning_curves.draw(folder / "metrics.jsonl", out / "learning", title=title)
    except OSError as error:
        raise RunError(f"cannot draw into {str(out)!r} ({error.strerror or error}); the result is safe, worldbench figures {folder} draws again") from error
    return written


def _title(folder: Path) -> str:
    """Who drew it: model, preset and seed, from the folder's config."""
    path = folder / "config.json"
    if not path.exists():
        return folder.name
    config = read_json(path)
    seed = f", seed {config['seed']}" if "train" in config["groups"] else ""
    rides = config["groups"].get("data", {}).get("rides")
    arm = "" if rides is None else (f", {rides:,} rides" if rides else ", unlimited rides")
    return f"{config['model']} ({config['preset']}{arm}{seed})"
