"""The street map that the rides of a model imply, as an interactive page: one HTML file that needs no network, from the
evidence of `map_reconstruction`.

The same streets, colors and curves as `street_map`, with every intersection, direction and number of uses under the
pointer, a list of the red streets, and a ring where rides end that should end elsewhere. The page is
`interactive_map.html.j2` with `interactive_map.css` and `interactive_map.js` put into it; they are plain CSS and
JavaScript.
"""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined

from worldbench.core.errors import InputError
from worldbench.core.files import write_atomic
from worldbench.core.text import counted, visible
from worldbench.figures import street_map, wrong_ends
from worldbench.figures.style import LONGEST

PER_METRE = 10
"""Positions are whole numbers of tenths of a meter, which makes the file five times smaller than decimals."""


def draw(evidence: Path, out: Path, *, title: str = "") -> list[Path]:
    """Write `out`.html: the same bytes for the same evidence and title. Returns the file written.

    evidence: the file map_reconstruction.npz of a scored run. Its optional arrays: `map` (the map's name), `lonlat`
    (then OpenStreetMap is credited), `streets` (str [E], the name of each true edge, "" unnamed).
    Errors: InputError for a file that is no evidence of a map reconstruction; RunError where the page cannot be
    written.
    """
    data = street_map.load(evidence)
    path = out.with_name(f"{out.name}.html")
    write_atomic(path, page(data, title))
    return [path]


def page(data: dict[str, np.ndarray], title: str = "") -> str:
    """The HTML page from the arrays of the evidence."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    name = str(data["map"].reshape(-1)[0]) if "map" in data else ""
    used, true, red = int(data["black"].sum()), len(data["edges"]), len(data["red"])
    rides = wrong_ends.Counts.of(data)
    return environment.from_string(_asset("html.j2")).render(
        title=visible(title, LONGEST) or "A model's street map",
        map=name,
        counts={
            "true": true,
            "used": used,
            "unused": true - used,
            "red": red,
            "rides": rides.rides,
            "turned": rides.turned,
            "ends": rides.elsewhere,
            "never": rides.never,
            "failed": rides.unexplained,
        },
        red_words=wrong_ends.red_words(data)[0],
        precision=f"{used / (used + red):.4f}" if used + red else "undefined",
        osm="lonlat" in data,
        data=contents(data),
        style=_asset("css"),
        script=_asset("js"),
    )


def contents(data: dict[str, np.ndarray]) -> dict[str, Any]:
    """The data of the page: positions in tenths of a meter (east, north, ..), nodes and directions by index, and a list
    for each field of the edges."""
    curves = street_map.red_streets(data)
    edges, red = data["edges"].reshape(-1, 3), data["red"].reshape(-1, 3)
    out: dict[str, Any] = {
        "perMetre": PER_METRE,
        "osm": "lonlat" in data,
        "places": [str(p) for p in data["places"]],
        "directions": [str(d) for d in data["directions"]],
        "at": _whole(data["metres"]),
        "true": {
            "from": edges[:, 0].tolist(),
            "to": edges[:, 1].tolist(),
            "direction": edges[:, 2].tolist(),
            "uses": data["uses"].tolist(),
        },
        "used": data["black"].astype(int).tolist(),
        "red": {
            "from": red[:, 0].tolist(),
            "to": red[:, 1].tolist(),
            "direction": red[:, 2].tolist(),
            "uses": data["red_uses"].tolist(),
        },
        "bend": _whole(curves.control),
        "ends": {"at": [], "rides": []},
        "redWord": wrong_ends.red_words(data)[1],
        "streets": [],
        "street": [],
    }
    if (ends := wrong_ends.wrong_ends(data)) is not None:
        out["ends"] = {"at": ends.place.tolist(), "rides": ends.rides.tolist()}
    if "streets" in data:
        if len(data["streets"]) != len(edges):
            raise InputError(
                f"the evidence names {counted(len(data['streets']), 'street')} for "
                f"{counted(len(edges), 'edge')}; score the run again"
            )
        names, which = np.unique(data["streets"].astype(str), return_inverse=True)
        out["streets"], out["street"] = names.tolist(), which.reshape(-1).tolist()
    return out


def _whole(metres: np.ndarray) -> list[int]:
    return np.round(metres * PER_METRE).astype(np.int64).reshape(-1).tolist()


def _asset(ending: str) -> str:
    return (
        resources.files(__package__ or "worldbench.figures")
        .joinpath(f"interactive_map.{ending}")
        .read_text(encoding="utf-8")
    )
