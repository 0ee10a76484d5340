"""Figures: programs over result files. Each writes its data beside the picture."""
