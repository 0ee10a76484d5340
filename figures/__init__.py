"""Figures are drawn from the files of a run. Each writes its data beside the picture, and is registered with the kind
of file that it reads."""

from worldbench.core.registry import figures

_HERE = "worldbench.figures"

figures.add(
    "street_map", "the reconstructed street map", f"{_HERE}.street_map:draw", metric="map_reconstruction", stem="map"
)
figures.add(
    "interactive_map",
    "the reconstructed street map as an interactive HTML page",
    f"{_HERE}.interactive_map:draw",
    metric="map_reconstruction",
    stem="map",
)
figures.add("maze", "the reconstructed maze", f"{_HERE}.maze_map:draw", metric="map_reconstruction")
figures.add(
    "beliefs",
    "exact beliefs and probed beliefs on the simplex",
    f"{_HERE}.belief_simplex:draw",
    metric="belief_probe",
    arrays=("predicted",),
)
figures.add(
    "belief-distances",
    "distances between probed beliefs against distances between exact beliefs",
    f"{_HERE}.belief_distances:draw",
    metric="belief_probe",
    arrays=("distance_belief",),
)
figures.add(
    "position-loss",
    "loss of the model and of the exact law by position in the document",
    f"{_HERE}.position_loss:draw",
    metric="excess_loss",
    arrays=("by_exact_bayes",),
)
figures.add(
    "spectra",
    "singular values of the hidden states",
    f"{_HERE}.spectra:draw",
    metric="effective_rank",
    arrays=("singular_values",),
)
figures.add(
    "gallery",
    "mazes with the true paths and the answers of the model",
    f"{_HERE}.maze_gallery:draw",
    metric="solved_paths",
)
figures.add("learning", "training loss and held-out loss by step", f"{_HERE}.learning_curves:draw", source="curve")
figures.add("filmstrip", "probed beliefs at every checkpoint", f"{_HERE}.filmstrip:draw_kept", source="trace")
figures.add(
    "matched",
    "R^2 of the probed belief against excess loss, by checkpoint",
    f"{_HERE}.matched:draw_trace",
    source="trace",
)
