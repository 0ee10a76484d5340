"""Figures: programs over result files. Each writes its data beside the picture, and is registered with what it
reads."""

from worldbench.core.registry import figures

for _name, _line, _target, _what in (
    ("street_map", "the reconstructed street map", "street_map:draw", {"metric": "map_reconstruction", "stem": "map"}),
    (
        "interactive_map",
        "the reconstructed street map as a page to look around in",
        "interactive_map:draw",
        {"metric": "map_reconstruction", "stem": "map"},
    ),
    ("maze", "the reconstructed maze", "maze_map:draw", {"metric": "map_reconstruction"}),
    (
        "beliefs",
        "exact and probed beliefs on the simplex",
        "belief_simplex:draw",
        {"metric": "belief_probe", "arrays": ("predicted",)},
    ),
    (
        "belief-distances",
        "distances between probed beliefs against those between exact ones",
        "belief_distances:draw",
        {"metric": "belief_probe", "arrays": ("distance_belief",)},
    ),
    (
        "position-loss",
        "loss by position in the document, beside the exact law's",
        "position_loss:draw",
        {"metric": "excess_loss", "arrays": ("by_exact_bayes",)},
    ),
    (
        "spectra",
        "singular values of the hidden states",
        "spectra:draw",
        {"metric": "effective_rank", "arrays": ("singular_values",)},
    ),
    ("gallery", "mazes with true paths and answers", "maze_gallery:draw", {"metric": "solved_paths"}),
    ("learning", "training loss and held-out loss by step", "learning_curves:draw", {"source": "curve"}),
    ("filmstrip", "probed beliefs at every checkpoint", "filmstrip:draw_kept", {"source": "trace"}),
    ("matched", "the probed belief against excess loss", "matched:draw_trace", {"source": "trace"}),
):
    figures.add(_name, _line, f"worldbench.figures.{_target}", **_what)
