"""`worldbench sweep`: many runs from one file."""
