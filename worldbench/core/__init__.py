"""What every other part stands on: types, errors, random streams, registry, statistics. No torch."""
