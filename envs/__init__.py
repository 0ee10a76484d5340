"""The worlds: their ground truth is known exactly. This file registers each one by name."""

from worldbench.core.registry import worlds

worlds.add(
    "taxi",
    "rides over a street map; a ride is an origin, a destination, the moves, and end",
    "worldbench.envs.taxi.world:TaxiWorld",
    config="worldbench.envs.taxi.config:TaxiConfig",
    presets="worldbench.envs.taxi.presets:PRESETS",
)
worlds.add(
    "hmm",
    "tokens of a hidden Markov process, whose beliefs are known exactly",
    "worldbench.envs.hmm.world:HMM",
    config="worldbench.envs.hmm.config:HMMConfig",
    presets="worldbench.envs.hmm.presets:PRESETS",
)
worlds.add(
    "maze",
    "rides in one maze; a ride is an origin, a destination, the moves, and end",
    "worldbench.envs.maze.nav:MazeWorld",
    config="worldbench.envs.maze.config:MazeConfig",
    presets="worldbench.envs.maze.presets:NAV",
)
worlds.add(
    "maze-solve",
    "a new maze in every prompt; the answer is its shortest path",
    "worldbench.envs.maze.solve:SolveWorld",
    config="worldbench.envs.maze.solve_config:SolveConfig",
    presets="worldbench.envs.maze.presets:SOLVE",
)
worlds.add(
    "path-star",
    "a star of arms in every prompt; the answer is the path to a goal, whose first step must be planned",
    "worldbench.envs.path_star.world:PathStarWorld",
    config="worldbench.envs.path_star.config:PathStarConfig",
    presets="worldbench.envs.path_star.presets:PRESETS",
)
worlds.add(
    "group",
    "random elements of a group; the label after each is their running product",
    "worldbench.envs.group.world:GroupWorld",
    config="worldbench.envs.group.config:GroupConfig",
    presets="worldbench.envs.group.presets:PRESETS",
)
worlds.add(
    "countdown",
    "numbers and a target in every prompt; the answer is equations that reach the target",
    "worldbench.envs.countdown.world:CountdownWorld",
    config="worldbench.envs.countdown.config:CountdownConfig",
    presets="worldbench.envs.countdown.presets:PRESETS",
)
worlds.add(
    "othello",
    "moves of games of Othello; the board is never shown",
    "worldbench.envs.othello.world:OthelloWorld",
    config="worldbench.envs.othello.config:OthelloConfig",
    presets="worldbench.envs.othello.presets:PRESETS",
)
worlds.add(
    "text",
    "windows of text files, as bytes or as tokens of a byte-pair encoding; no states are known",
    "worldbench.envs.text.world:TextWorld",
    config="worldbench.envs.text.config:TextConfig",
    presets="worldbench.envs.text.presets:PRESETS",
)
