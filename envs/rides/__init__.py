"""Rides over a map with labelled moves: what street maps and mazes share."""
