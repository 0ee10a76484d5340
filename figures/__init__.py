"""Figures are drawn from the files of a run. Each writes its data beside the picture, and is registered with the kind
of file that it reads."""

from worldbench.core.registry import figures

for _name, _line, _target, _what in (
    ("street_map", "the reconstructed street map", "street_map:draw", {"metric": "map_reconstruction", "stem": "map"}),
    (
        "interactive_map",
        "the reconstructed street map as an interactive HTML page",
        "interactive_map:draw",
        {"metric": "map_reconstruction", "stem": "map"},
    ),
    ("maze", "the reconstructed maze", "maze_map:draw", {"metric": "map_reconstruction"}),
    (
        "beliefs",
        "exact beliefs and probed beliefs on the simplex",
        "belief_simplex:draw",
        {"metric": "belief_probe", "arrays": ("predicted",)},
    ),
    (
        "belief-distances",
        "distances between probed beliefs against distances between exact beliefs",
        "belief_distances:draw",
        {"metric": "belief_probe", "arrays": ("distance_belief",)},
    ),
    (
        "position-loss",
        "loss of the model and of the exact law by position in the document",
        "position_loss:draw",
        {"metric": "excess_loss", "arrays": ("by_exact_bayes",)},
    ),
    (
        "spectra",
        "singular values of the hidden states",
        "spectra:draw",
        {"metric": "effective_rank", "arrays": ("singular_values",)},
    ),
    (
        "gallery",
        "mazes with the true paths and the answers of the model",
        "maze_gallery:draw",
        {"metric": "solved_paths"},
    ),
    ("learning", "training loss and held-out loss by step", "learning_curves:draw", {"source": "curve"}),
    ("filmstrip", "probed beliefs at every checkpoint", "filmstrip:draw_kept", {"source": "trace"}),
    (
        "matched",
        "R^2 of the probed belief against excess loss, by checkpoint",
        "matched:draw_trace",
        {"source": "trace"},
    ),
):
    figures.add(_name, _line, f"worldbench.figures.{_target}", **_what)
