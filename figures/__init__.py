"""Figures are drawn from the files of a run. Each writes its data beside the picture, and is registered with the kind
of file that it reads."""

from worldbench.core.registry import figures

_HERE = "worldbench.figures"

figures.add(
    "street_map",
    "the reconstructed street map, with true streets in black, implied streets in red and wrong ends as rings",
    f"{_HERE}.street_map:draw",
    metric="map_reconstruction",
    stem="map",
)
figures.add(
    "interactive_map",
    "the reconstructed street map as an interactive HTML page",
    f"{_HERE}.interactive_map:draw",
    metric="map_reconstruction",
    stem="map",
)
figures.add(
    "maze", "the maze that explains the rides of the model", f"{_HERE}.maze_map:draw", metric="map_reconstruction"
)
figures.add(
    "beliefs",
    "the exact beliefs, and the beliefs that the probe predicts, on the simplex",
    f"{_HERE}.belief_simplex:draw",
    metric="belief_probe",
    arrays=("predicted",),
)
figures.add(
    "belief-distances",
    "distances between predicted beliefs, plotted against distances between exact beliefs",
    f"{_HERE}.belief_distances:draw",
    metric="belief_probe",
    arrays=("distance_belief",),
)
figures.add(
    "position-loss",
    "the loss of the model and the loss of the exact law, by position in the document",
    f"{_HERE}.position_loss:draw",
    metric="excess_loss",
    arrays=("by_exact_bayes",),
)
figures.add(
    "decisions",
    "the share of right answers at each place after the prompt, beside the best guess without the goal",
    f"{_HERE}.decisions:draw",
    metric="decisions",
    arrays=("by_right",),
)
figures.add(
    "labels",
    "the share of right labels at each place, and where the length of training ends",
    f"{_HERE}.label_accuracy:draw",
    metric="label_accuracy",
    arrays=("by_right",),
)
figures.add(
    "boards",
    "the true board, the board that the probe reads, and the moves that the model expects",
    f"{_HERE}.boards:draw",
    metric="board_probe",
    arrays=("shown_true",),
)
figures.add(
    "ahead",
    "what linear probes say about the tokens ahead (shares, bits), by distance, beside an untrained network",
    f"{_HERE}.ahead_probe:draw",
    metric="ahead_probe",
    arrays=("by_distance",),
)
figures.add(
    "arrival",
    "the probability that a sampled ride arrives, by distance, and its histogram over prompts",
    f"{_HERE}.arrival_curve:draw",
    metric="arrival_calibration",
    arrays=("arrived",),
)
figures.add(
    "lost-rides",
    "the rides that do not arrive, lost by tracking or by planning, by distance",
    f"{_HERE}.lost_rides:draw",
    metric="planning_tracking",
    arrays=("tracking",),
)
figures.add(
    "state-curve",
    "the score of a linear probe of the state, by layer, beside an untrained network",
    f"{_HERE}.state_curve:draw",
    metric="state_curve",
    arrays=("by_score",),
)
figures.add(
    "spectra",
    "the singular values of the hidden states",
    f"{_HERE}.spectra:draw",
    metric="effective_rank",
    arrays=("singular_values",),
)
figures.add(
    "gallery",
    "mazes, each with the true path and the answer of the model",
    f"{_HERE}.maze_gallery:draw",
    metric="solved_paths",
    arrays=("passages",),
)
figures.add(
    "learning", "the training loss and the held-out loss, by step", f"{_HERE}.learning_curves:draw", source="curve"
)
figures.add(
    "filmstrip",
    "the beliefs that the probe predicts, at every checkpoint",
    f"{_HERE}.filmstrip:draw_kept",
    source="trace",
)
figures.add(
    "matched",
    "R^2 of the belief probe, plotted against the excess loss, one point for each checkpoint",
    f"{_HERE}.matched:draw_trace",
    source="trace",
)
figures.add(
    "state-steps",
    "the score of a linear probe of the state, by layer, at every checkpoint",
    f"{_HERE}.state_curve:draw_trace",
    source="trace",
)
