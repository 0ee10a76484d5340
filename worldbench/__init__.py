"""worldbench: has a sequence model learned a world model, or does it only predict well?"""

__version__ = "0.1.0"
