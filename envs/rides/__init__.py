"""Rides over a map with labeled moves: the code that street maps and mazes share."""
