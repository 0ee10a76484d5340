"""Othello: games whose players never see the board."""
