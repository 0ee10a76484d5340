"""The version of worldbench, which every record names, and its title."""

__version__ = "0.1.0"
TITLE = "worldbench: has a sequence model learned a world model, or does it only predict well?"
