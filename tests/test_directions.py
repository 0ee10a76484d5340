"""Which way scores are better: of primary scores, of scores that damage makes worse, and of others."""

from __future__ import annotations

import pytest
from sample_records import metric

from worldbench.core.metric import Direction
from worldbench.core.registry import metrics
from worldbench.records.directions import direction_of

NAMES = list(metrics.names())


@pytest.mark.parametrize("name", NAMES)
def test_directions_agree_with_the_primary_and_with_damage(name: str) -> None:
    """A pattern that fits a score states what the primary, or damage to this score, states."""
    entry = metrics[name].load()
    assert entry.direction_of(entry.primary) == entry.direction
    for damage in entry.damage:
        assert entry.direction_of(damage.score) == (
            entry.direction if damage.score == entry.primary else damage.direction
        )
        alone = type("Alone", (type(entry),), {"damage": (), "primary": ""})()
        assert alone.direction_of(damage.score) in ("none", damage.direction)


@pytest.mark.parametrize(
    ("column", "way"),
    [
        ("excess_loss.kl", "lower"),
        ("excess_loss.loss", "lower"),
        ("excess_loss.bayes", "none"),
        ("valid_trajectories.arrives_greedy", "higher"),
        ("valid_trajectories.wrong_end_sampled", "lower"),
        ("detours.arrives_p0.75", "higher"),
        ("detours.forced_p0.75", "none"),
        ("state_probe.place_median_error", "lower"),
        ("state_probe.place_median_error_untrained", "none"),
        ("map_reconstruction.red_edges", "lower"),
        ("effective_rank.rank", "none"),
        ("mine.x", "none"),
    ],
)
def test_the_direction_of_a_column(column: str, way: Direction) -> None:
    """A record knows the direction of its primary score alone; `mine` is of a plugin that is not loaded."""
    name, _, score = column.partition(".")
    primary = metrics[name].load().primary if name in NAMES else "p"
    record = metric({primary: 0.5, score: 0.5}, direction="lower" if column == "excess_loss.kl" else "none")
    assert direction_of(column, record) == way
    assert direction_of(f"{name}.{primary}", record) == record.direction
