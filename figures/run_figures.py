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
            from worldbench.figures import interactive_map, maze_map, street_map

            written += street_map.draw(evidence, out / "map", title=title)
            written += interactive_map.draw(evidence, out / "map", title=title)
            written += maze_map.draw(evidence, out / "maze", title=title)
        written += _evidence_figures(folder / "evidence", out, title)
        solved = folder / "evidence" / "solved_paths.npz"
        if solved.exists():
            from worldbench.figures import maze_gallery

            written += maze_gallery.draw(solved, out / "gallery", title=title)
        if (folder / "metrics.jsonl").exists():
            from worldbench.figures import learning_curves

            written += learning_curves.draw(folder / "metrics.jsonl", out / "learning", title=title)
        for trace in sorted(folder.glob("trace*.json")):
            written += _draw_trace(trace, out, title)
    except OSError as error:
        raise RunError(f"cannot draw into {str(out)!r} ({error.strerror or error}); the result is safe, worldbench figures {folder} draws again") from error
    return written


def _draw_trace(trace: Path, out: Path, title: str) -> list[Path]:
    from worldbench.figures import filmstrip, matched

    ending = trace.stem.removeprefix("trace")
    written: list[Path] = []
    if trace.with_name(f"trace-evidence{ending}").is_dir():
        written += filmstrip.draw(trace, out / f"filmstrip{ending}", title=title)
    record = read_json(trace)
    if matched.applies(record):
        written += matched.draw([(record["model"]["name"], record)], out / f"matched{ending}", title=title)
    return written


def _evidence_figures(evidence: Path, out: Path, title: str) -> list[Path]:
    """What single metrics' evidence allows; evidence of an older version, without what a figure needs, is passed over."""
    from worldbench.figures import belief_distances, belief_simplex, position_loss, spectra
    from worldbench.figures.style import array_names

    have = {name: array_names(evidence / f"{name}.npz") for name in ("belief_probe", "excess_loss", "effective_rank")}
    written: list[Path] = []
    if "predicted" in have["belief_probe"]:
        written += belief_simplex.draw(evidence / "belief_probe.npz", out / "beliefs", title=title)
    if "distance_belief" in have["belief_probe"]:
        written += belief_distances.draw(evidence / "belief_probe.npz", out / "belief-distances", title=title)
    if "by_exact_bayes" in have["excess_loss"]:
        written += position_loss.draw(evidence / "excess_loss.npz", out / "position-loss", title=title)
    if "singular_values" in have["effective_rank"]:
        written += spectra.draw(evidence / "effective_rank.npz", out / "spectra", title=title)
    return written


def _title(folder: Path) -> str:
    """Who drew it: model, preset and seed, from the folder's config."""
    path = folder / "config.json"
    if not path.exists():
        return folder.name
    config = read_json(path)
    seed = f", seed {config['seed']}" if "train" in config["groups"] else ""
    rides = config["groups"].get("data", {}).get("rides")
    arm = "" if rides is None else (f", {rides:,} documents" if rides else ", unlimited documents")
    return f"{config['model']} ({config['preset']}{arm}{seed})"
