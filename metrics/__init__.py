"""Questions that tell a world model from a good predictor. One metric a file, with its options."""

from worldbench.core.registry import metrics

for _name, _options, _line in (
    ("next_token", "", "share of held-out positions whose most likely token is legal"),
    ("valid_trajectories", "", "share of rides from unseen prompts that stay legal and end at the destination"),
    ("detours", "detours:DetourOptions", "share of rides that arrive although legal moves are forced"),
    ("lookahead", "", "share of greedy rides that arrive by a shortest way"),
    (
        "sequence_compression",
        "options:SuffixOptions",
        "share of states whose two histories accept the same suffixes",
    ),
    (
        "sequence_distinction",
        "sequence_distinction:DistinctionOptions",
        "precision and recall of the suffixes that distinguish two states",
    ),
    (
        "split_merge",
        "split_merge:PairOptions",
        "does the model separate, and merge, prefixes as the exact law of the world does",
    ),
    ("excess_loss", "", "nats lost against the exact law of the data, 0 for the law itself"),
    ("state_probe", "options:ProbeOptions", "can a linear map read the state off the hidden state"),
    ("belief_probe", "belief_probe:BeliefOptions", "is the exact belief an affine function of the hidden state"),
    (
        "transition_consistency",
        "transition_consistency:DynamicsOptions",
        "does the hidden state and the next token determine the next hidden state",
    ),
    (
        "state_swap",
        "state_swap:SwapOptions",
        "does the predicted future follow the hidden state when two hidden states are swapped",
    ),
    ("effective_rank", "effective_rank:RankOptions", "how many directions the hidden states spread over"),
    (
        "solved_paths",
        "",
        "share of unseen mazes whose path is found: exactly, legally, shortest",
    ),
    (
        "retelling",
        "options:StructureOptions",
        "distance between the laws of the path after two tellings of the same maze",
    ),
    (
        "minimal_pairs",
        "options:StructureOptions",
        "does moving one wall change the path where it should, and only there",
    ),
    (
        "out_of_distribution",
        "out_of_distribution:ShiftOptions",
        "share of solved prompts whose mazes come from other distributions, in the same vocabulary",
    ),
    (
        "map_reconstruction",
        "map_reconstruction:ReconstructionOptions",
        "the street map that explains the rides of the model: true edges black, invented edges red",
    ),
):
    _config = f"worldbench.metrics.{_options}" if _options else None
    metrics.add(_name, _line, f"worldbench.metrics.{_name}:METRIC", config=_config)
