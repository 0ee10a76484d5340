"""Questions that tell a world model from a good predictor. Each file holds one metric and its options."""

from worldbench.core.registry import metrics

for _name, _options, _line in (
    ("next_token", "", "share of positions in held-out documents at which the most likely token of the model is legal"),
    (
        "valid_trajectories",
        "",
        "share of unseen prompts from which the model makes only legal moves and ends at the destination",
    ),
    (
        "arrival_calibration",
        "arrival_calibration:ArrivalOptions",
        "probability, for each prompt, that a ride of the model arrives; it is 1 under the exact law",
    ),
    (
        "planning_tracking",
        "planning_tracking:PlanningOptions",
        "of the rides that do not arrive, the share on which the model knew the place but aimed wrongly",
    ),
    ("decisions", "", "how often the model is right at the places where only the goal determines what comes next"),
    ("label_accuracy", "", "share of labels that are right, also beyond the length of training"),
    (
        "label_structure",
        "options:StructureOptions",
        "share of states for which the model gives the same labels along suffixes after two different prefixes",
    ),
    ("checked_answers", "", "share of unseen prompts whose answer passes each checker of the world"),
    (
        "detours",
        "detours:DetourOptions",
        "share of rides that arrive although the referee replaces some moves by other legal moves",
    ),
    ("lookahead", "", "share of greedy rides that arrive by a shortest path"),
    (
        "sequence_compression",
        "options:SuffixOptions",
        "share of states for which the model accepts the same suffixes after two different histories",
    ),
    (
        "sequence_distinction",
        "sequence_distinction:DistinctionOptions",
        "precision and recall of the suffixes by which the model distinguishes two states",
    ),
    (
        "split_merge",
        "split_merge:PairOptions",
        "how well the model separates prefixes of different states, and treats prefixes of one state alike",
    ),
    ("excess_loss", "", "KL divergence of the model from the exact law, in nats; the law itself scores 0"),
    ("bits_per_byte", "", "bits per byte of held-out text, whatever the tokens are"),
    (
        "ahead_probe",
        "ahead_probe:AheadOptions",
        "how well linear maps predict the tokens 1 to 20 ahead from the hidden state of the model",
    ),
    (
        "state_probe",
        "options:ProbeOptions",
        "how well a linear map predicts the state of the world from the hidden state of the model",
    ),
    (
        "board_probe",
        "board_probe:BoardOptions",
        "share of the squares of the board that a linear map reads off the hidden state of the model",
    ),
    (
        "belief_probe",
        "belief_probe:BeliefOptions",
        "how well an affine map predicts the exact belief from the hidden state of the model",
    ),
    (
        "state_curve",
        "state_curve:CurveOptions",
        "the first layer from which a linear map predicts the state of the world",
    ),
    (
        "transition_consistency",
        "transition_consistency:DynamicsOptions",
        "how well the hidden state and the next token determine the next hidden state",
    ),
    (
        "state_swap",
        "state_swap:SwapOptions",
        "how far the predictions follow a hidden state that is copied from another prefix",
    ),
    (
        "effective_rank",
        "effective_rank:RankOptions",
        "number of directions over which the hidden states of the model spread",
    ),
    (
        "solved_paths",
        "",
        "share of unseen mazes that the model solves: exactly as the document, by a legal path, by a shortest path",
    ),
    (
        "retelling",
        "options:StructureOptions",
        "distance between the predictions of the model after two tellings of the same maze",
    ),
    (
        "minimal_pairs",
        "options:StructureOptions",
        "how often the answer is right after a passage has moved, and how often it stays the same where it should",
    ),
    (
        "out_of_distribution",
        "out_of_distribution:ShiftOptions",
        "share of mazes from other distributions, written in the same vocabulary, that the model solves",
    ),
    (
        "map_reconstruction",
        "map_reconstruction:ReconstructionOptions",
        "the map that explains the rides of the model, and the share of its streets that exist",
    ),
):
    _config = f"worldbench.metrics.{_options}" if _options else None
    metrics.add(_name, _line, f"worldbench.metrics.{_name}:METRIC", config=_config)
