"""Mazes: generators, a fixed maze to find one's way in, and a new maze in every prompt."""
