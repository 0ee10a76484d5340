"""Mazes: generators, the world of rides in one fixed maze, and the world with a new maze in every prompt."""
