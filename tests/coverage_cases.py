"""The worlds, models and sizes on which coverage is measured, and the scores that have no interval, with the reason."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import Path

from coverage import Case

SIZES = {"trials": 60, "documents": 100, "probe_documents": 80, "structure_trials": 60, "pairs": 60, "suffixes": 4}

RIDES = Case(
    world="taxi",
    options={"map": "city:24", "min_moves": 2, "max_moves": 8, "held_out_share": 0.5},
    damage={"rewired": 4, "noise": 0.5},
    sizes=SIZES | {
        "suffix_limit": 32, "suffix_tokens": 3, "recall_depth": 2, "arrival_prompts": 60, "arrival_rides": 4,
        "detours": (0.5,), "curve_documents": 60, "dynamics_documents": 300, "swap_pairs": 60,
        "reconstruction_rides": 100, "reconstruction_orders": 3,
    },
    metrics=(
        "next_token", "valid_trajectories", "arrival_calibration", "planning_tracking", "detours", "lookahead",
        "sequence_compression", "sequence_distinction", "split_merge", "excess_loss", "state_probe", "state_curve",
        "transition_consistency", "state_swap", "map_reconstruction",
    ),
)  # fmt: skip

PROCESS = Case(
    world="hmm",
    options={"process": "rrxor", "length": 8},
    damage={"rewired": 0, "noise": 0.5},
    sizes=SIZES | {"suffix_limit": 32, "suffix_tokens": 3, "dynamics_documents": 300, "curve_documents": 60},
    metrics=(
        "next_token",
        "excess_loss",
        "split_merge",
        "belief_probe",
        "state_curve",
        "transition_consistency",
        "effective_rank",
    ),
)

MAZES = Case(
    world="maze-solve",
    options={"rows": 3},
    damage={"rewired": 2},
    sizes=SIZES | {"shift_trials": 30},
    metrics=("solved_paths", "retelling", "minimal_pairs", "out_of_distribution"),
)

MIXTURE = Case(
    world="hmm",
    options={"process": "mixture(0.5*mess3, 0.5*mess3(x=0.3, a=0.6))", "length": 8},
    damage={"rewired": 0, "noise": 0.5},
    sizes=SIZES | {"suffix_limit": 32, "suffix_tokens": 3},
    metrics=("split_merge", "belief_probe"),
)

PATHS = Case(
    world="path-star",
    options={"arms": 2, "length": 3, "labels": 10},
    damage={"rewired": 0, "late": 0.3},
    sizes=SIZES,
    metrics=("decisions",),
)

PRODUCTS = Case(
    world="group",
    options={"group": "S3", "length": 6, "test_length": 10},
    damage={"rewired": 0, "late": 0.1},
    sizes=SIZES,
    metrics=("label_accuracy", "label_structure"),
)

PROBLEMS = Case(
    world="countdown",
    options={"numbers": 3, "largest": 20},
    damage=None,
    sizes=SIZES,
    metrics=("checked_answers",),
)

BOARDS = Case(
    world="othello",
    options={"size": 4},
    damage={"rewired": 0, "noise": 0.5},
    sizes=SIZES | {"board_documents": 80},
    metrics=("board_probe",),
)

TEXT = Case(
    world="text",
    options={"files": str(Path(__file__).parent / "*.py"), "window": 24, "held_out_share": 0.3},
    damage=None,
    sizes=SIZES | {"ahead_documents": 60, "ahead": 5},
    metrics=("bits_per_byte", "ahead_probe"),
)

CASES = {
    "rides": RIDES,
    "process": PROCESS,
    "mixture": MIXTURE,
    "mazes": MAZES,
    "paths": PATHS,
    "products": PRODUCTS,
    "problems": PROBLEMS,
    "boards": BOARDS,
    "text": TEXT,
}

WITHOUT = {
    "*_shuffled": "Each evaluation draws another order of the labels, which is not a choice of documents.",
    "effective_rank.*": "The rank of a matrix of hidden states is not a mean over rows, and grows with their number.",
    "state_curve.layers": "The number of layers of the network.",
    "state_curve.threshold": "A share of the best score, which has an interval, under another name.",
    "map_reconstruction.control_*": "A control puts errors into true routes at random, once for each evaluation.",
    "map_reconstruction.edge_precision_*est": "Few orders are much worse than the others, and five often hold none.",
    "decisions.solved": "Whether the accuracy, which has an interval, is at least .95.",
    "label_accuracy.reach": "The last place before the accuracy falls below a threshold.",
    "board_probe.*_constant": "The most frequent class of each square, without any model.",
    "ahead_probe.mean_constant": "The most frequent token, without any model.",
    "excess_loss.exact_bayes": "It is computed from the world alone, at the positions of the documents.",
}
"""Scores without an interval, by pattern, and why."""

SOMETIMES = {
    "arrival_calibration.spread": "Too few prompts lose a ride, or too few arrive, for a bootstrap.",
    "arrival_calibration.concentration": "Too few prompts lose a ride, or too few arrive, for a bootstrap.",
}
"""Scores that have no interval in some evaluations."""

OTHERWISE = {"map_reconstruction.*_orders": "Over orders of the same rides; another evaluation has other rides."}
"""Scores whose interval is about something else than the draws of an evaluation. Tests of their own judge them."""

NOWHERE = {
    "*_untrained": "The models of the cases have no untrained twin: each evaluation would draw another network.",
}
"""Scores that have a value in none of the cases."""


def listed(score: str, patterns: dict[str, str]) -> bool:
    """Is there a pattern for the score `metric.score`?"""
    return any(fnmatch(score, pattern) for pattern in patterns)
